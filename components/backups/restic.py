"""Backups: containers that back up the product's own data stores and its monitoring, on a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pulumi

from components.monitoring.stack import PROMETHEUS_PORT, MonitoringStack
from components.secret import secret
from components.stores.connection import Connection
from components.stores.container import STORE_USER
from components.stores.dumps import Dumps
from components.stores.external import DOCKER_HOST
from runtime.base import Instance, Job, all_ready
from runtime.context import StackContext
from runtime.secret_files import SECRETS_FOLDER, required_secret
from runtime.shell import SCHEDULE_FILE, scheduled, script
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount
from runtime.textfile import writable
from settings.backups import BACKUP_KEY_SECRET, S3, Keep
from settings.container import Limits
from settings.names import METRICS_FOLDER
from settings.product import Product
from settings.schedule import expand

MONITORING_USER = "65534:0"
"""Prometheus' user, who may delete its snapshots, with the group that owns Grafana's database."""

SCRIPTS = "/run/backup"
"""Folder in the containers with the scripts."""

SOURCES = Path(__file__).parent / "scripts"
REPOSITORIES = "/backups"
TOOLS_FOLDER = "/tools"
SCRATCH = "/scratch"
DUMPS = "/dumps"
CHECKS = "checks"
"""Folder, beside the scripts, with the SQL checks of restore drills: drill-postgres.sh."""

GRAFANA_DATA = "/grafana"
PROMETHEUS_DATA = "/prometheus"
CREDENTIALS = "s3-credentials"

COMMON = ("backup-common.sh", "backup-start.sh", "lock.sh")
FOR_POSTGRES = ("backup-postgres.sh", "manifest-postgres.sh", "restore-postgres.sh", "drill-postgres.sh")
"""Scripts of Postgres' container, also those that `./dockyard` runs in it."""


@dataclass(frozen=True)
class BackupSetArgs:
    """Arguments of BackupSet."""

    product: Product
    context: StackContext
    connections: Mapping[str, Connection]
    """The product's data stores."""

    monitoring: MonitoringStack
    dumps: Dumps | None = None
    """Dumps taken before releases, where there are any: they are restored like backups."""


@dataclass(frozen=True)
class _BackupContainer:
    """The properties in which the backup containers differ."""

    stores: Sequence[str]
    image: str
    user: str
    limits: Limits
    network: pulumi.Output[str]
    files: Mapping[str, pulumi.Input[str]]
    env: Mapping[str, str]
    mounts: Sequence[Mount]
    after: Sequence[pulumi.Resource]
    scratch: bool = False
    """Whether it has a volume for throwaway restores."""


class BackupSet(pulumi.ComponentResource):
    """Creates the backup containers, and a data volume with a restic repository for each of them.

    A container runs the image of the store it backs up, for that store's client programs; restic's binary is mounted
    from a volume. The repositories are encrypted with the secret `backup-key`: keep a copy of it elsewhere, since they
    cannot be read without it. External stores and logs are not backed up.
    """

    containers: dict[str, Instance]
    secrets: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: BackupSetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:backups:BackupSet", name, None, opts)
        self._name, self._args, self._backups = name, args, args.product.backups
        specs = {role: spec for role, spec in self._container_specs() if spec} if self._backups.on else {}
        self.containers, self.secrets = {}, {}
        if specs:
            self._key = secret(BACKUP_KEY_SECRET, f"{name}-{BACKUP_KEY_SECRET}", self)
            self.secrets = {BACKUP_KEY_SECRET: self._key}
            self._repositories = args.context.data_volume(f"{name}-data", self)
            self._tools = args.context.config_volume(f"{name}-tools", self)
            self._scratch = args.context.config_volume(f"{name}-scratch", self)
            self._opened = self._open({role: spec.user for role, spec in specs.items()})
            self.containers = {f"backup-{role}": self._run(role, spec) for role, spec in specs.items()}
        self.register_outputs({"containers": sorted(self.containers)})

    def _container_specs(self) -> list[tuple[str, _BackupContainer | None]]:
        return [("postgres", self._postgres()), ("redis", self._redis()), ("monitoring", self._monitoring())]

    def _postgres(self) -> _BackupContainer | None:
        postgres, args = self._args.product.own_postgres, self._args
        if postgres is None:
            return None
        store = args.connections["postgres"]
        pgpass = pulumi.Output.concat("postgres:5432:*:", postgres.user, ":", store.files["database-password"], "\n")
        return _BackupContainer(
            stores=["postgres"],
            image=args.context.image(postgres.image),
            user=STORE_USER,
            limits=self._backups.limits.postgres,
            network=args.context.app_network,
            files={
                "pgpass": pgpass,
                **{name: script(name, SOURCES) for name in FOR_POSTGRES},
                **{f"{CHECKS}/{name}.sql": f"{sql}\n" for name, sql in self._backups.drill.checks.items()},
            },
            env={
                "PGHOST": store.env["DATABASE_HOST"],
                "PGUSER": store.env["DATABASE_USER"],
                "PGDATABASE": store.env["DATABASE_NAME"],
                "PGPASSFILE": f"{SECRETS_FOLDER}/pgpass",
                "DRILL_RTO": str(self._backups.drill.rto),
                **({"DRILL_SCHEDULE": expand(drill)} if (drill := self._backups.drill.schedule) else {}),
            },
            mounts=(Mount(args.dumps.volume.name, DUMPS),) if args.dumps else (),
            scratch=True,
            after=_ready(store),
        )

    def _redis(self) -> _BackupContainer | None:
        redis, args = self._args.product.own_redis, self._args
        if redis is None:
            return None
        store = args.connections["redis"]
        return _BackupContainer(
            stores=["redis"],
            image=args.context.image(redis.image),
            user=STORE_USER,
            limits=self._backups.limits.redis,
            network=args.context.app_network,
            files={
                "redis-password": store.files["redis-password"],
                "backup-redis.sh": script("backup-redis.sh", SOURCES),
            },
            env=store.env,
            mounts=(),
            after=_ready(store),
        )

    def _monitoring(self) -> _BackupContainer | None:
        args, data = self._args, self._args.monitoring.data
        if not self._backups.monitoring:
            return None
        return _BackupContainer(
            stores=["grafana", "prometheus"],
            image=args.context.image("restic"),
            user=MONITORING_USER,
            limits=self._backups.limits.monitoring,
            network=args.context.monitoring_network,
            files={"backup-monitoring.sh": script("backup-monitoring.sh", SOURCES)},
            env={
                "GRAFANA_DATA": GRAFANA_DATA,
                "PROMETHEUS_DATA": PROMETHEUS_DATA,
                "PROMETHEUS_URL": f"http://prometheus:{PROMETHEUS_PORT}",
            },
            mounts=(
                Mount(data["grafana"].name, GRAFANA_DATA),
                # Writable: it deletes the snapshot that Prometheus created for it.
                Mount(data["prometheus"].name, PROMETHEUS_DATA, read_only=False),
            ),
            after=[instance.resource for instance in args.monitoring.containers.values()],
        )

    def _open(self, users: Mapping[str, str]) -> Job:
        """Copy restic's binary into the tools volume, and create each container's repository folder."""
        restic = f"{TOOLS_FOLDER}/restic"
        folders = [(f"{REPOSITORIES}/{role}", user) for role, user in users.items()]
        lines = [
            # A container that is running restic keeps the old file until it exits.
            f"cp $(command -v restic) {restic}.new",
            f"chmod 0555 {restic}.new",
            f"mv {restic}.new {restic}",
            *(f"mkdir -p {folder}; chmod 0700 {folder}; chown {user} {folder}" for folder, user in folders),
            f"chmod 0700 {SCRATCH}; chown {STORE_USER} {SCRATCH}",
        ]
        context = self._args.context
        return context.job(
            f"{self._name}-writer",
            ContainerSpec(
                role="backups-writer",
                image=self._args.context.image("restic"),
                # Root owns new volumes.
                user="0:0",
                capabilities=("CHOWN", "FOWNER"),
                limits=Limits.of("64MB", cpus=0.5),
                networks=(Attachment(context.monitoring_network),),
                mounts=(
                    Mount(self._repositories.name, REPOSITORIES, read_only=False),
                    Mount(self._tools.name, TOOLS_FOLDER, read_only=False),
                    Mount(self._scratch.name, SCRATCH, read_only=False),
                ),
                entrypoint=("/bin/sh", "-ec"),
                command=("\n".join(lines),),
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _run(self, role: str, backup: _BackupContainer) -> Instance:
        context, s3 = self._args.context, self._backups.s3
        name = f"{self._name}-{role}"
        credentials = {CREDENTIALS: _credentials(s3)} if s3 else {}
        # Scripts and secrets share a volume: another one would slow down every `up` and preview.
        files = context.files(
            f"{name}-files",
            FileSet(
                files={
                    BACKUP_KEY_SECRET: self._key,
                    **credentials,
                    **{file: script(file, SOURCES) for file in COMMON},
                    SCHEDULE_FILE: script(SCHEDULE_FILE),
                    **backup.files,
                },
                owner=backup.user,
                image=self._args.context.image("busybox"),
            ),
            self,
        )
        _, command, health = scheduled(
            self._backups.schedule, ("/bin/sh", f"{SCRIPTS}/backup-{role}.sh"), f"{SCRIPTS}/{SCHEDULE_FILE}"
        )
        folder = context.metrics
        scratch = [Mount(self._scratch.name, SCRATCH, read_only=False)] if backup.scratch else []
        ready = all_ready(files.ready, self._opened.done, folder.ready if folder else [], list(backup.after))
        return context.service(
            name,
            ContainerSpec(
                role=f"backup-{role}",
                image=backup.image,
                user=backup.user,
                entrypoint=("/bin/sh", f"{SCRIPTS}/backup-start.sh"),
                command=(",".join(backup.stores), *command),
                env={
                    "RESTIC_REPOSITORY": f"{REPOSITORIES}/{role}",
                    "RESTIC_PASSWORD_FILE": f"{SECRETS_FOLDER}/{BACKUP_KEY_SECRET}",
                    "RESTIC_CACHE_DIR": "/tmp/restic",
                    "BACKUP_HOST": f"{context.product}-{context.environment}",
                    # Without it restic's heap grows up to the container's limit, and the kernel kills it.
                    "GOMEMLIMIT": f"{backup.limits.memory // 2}MiB",
                    "BACKUP_KEEP": _keep(self._backups.keep),
                    "METRICS_FOLDER": METRICS_FOLDER,
                    **(_s3_environment(s3, role, context) if s3 else {}),
                    **backup.env,
                },
                limits=backup.limits,
                # Two schedulers would take two backups.
                exclusive=True,
                networks=(Attachment(backup.network),),
                mounts=(
                    Mount(self._repositories.name, REPOSITORIES, read_only=False),
                    Mount(self._tools.name, TOOLS_FOLDER),
                    files.mounted_at(SECRETS_FOLDER),
                    files.mounted_at(SCRIPTS),
                    *scratch,
                    *backup.mounts,
                    *([writable(folder)] if folder else []),
                ),
                tmpfs=("/tmp",),
                health=health,
                # An interrupted backup is worthless; short ones finish in this time.
                stop_grace=30,
                content=files.fingerprint,
                reaches_host=bool(s3 and urlsplit(s3.endpoint).hostname == DOCKER_HOST),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=ready),
        )


def _ready(store: Connection) -> list[pulumi.Resource]:
    return [store.ready] if store.ready else []


def _keep(keep: Keep) -> str:
    """Return the retention as arguments of `restic forget`."""
    counts = {"daily": keep.daily, "weekly": keep.weekly, "monthly": keep.monthly}
    return " ".join(f"--keep-{unit} {count}" for unit, count in counts.items() if count)


def _s3_environment(s3: S3, role: str, context: StackContext) -> dict[str, str]:
    prefix = s3.prefix or f"{context.product}/{pulumi.get_stack()}"
    env = {
        "BACKUP_S3_REPOSITORY": f"s3:{s3.endpoint}/{s3.bucket}/{prefix}/{role}",
        "AWS_SHARED_CREDENTIALS_FILE": f"{SECRETS_FOLDER}/{CREDENTIALS}",
    }
    return env | ({"AWS_DEFAULT_REGION": s3.region} if s3.region else {})


def _credentials(s3: S3) -> pulumi.Output[str]:
    """Return the content of an AWS shared credentials file."""
    return pulumi.Output.concat(
        "[default]\naws_access_key_id = ",
        required_secret(s3.access_key),
        "\naws_secret_access_key = ",
        required_secret(s3.secret_key),
        "\n",
    )

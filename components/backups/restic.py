"""BackupSet: containers that back up the product's own data stores and its monitoring by restic, on a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pulumi

from components.common import DOCKER_HOST, s3_prefix, textfile_mounts, textfile_ready
from components.monitoring.stack import MonitoringStack
from components.secret import secret
from components.stores.connection import STORE_USER, Connection
from components.stores.dumps import Dumps
from components.stores.postgres import client_env, pgpass
from runtime.base import Instance, Job, all_ready
from runtime.context import StackContext
from runtime.secret_files import SECRETS_FOLDER, required_secret
from runtime.shell import SCHEDULE_FILE, scheduled, script
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, writer_spec
from settings.backups import BACKUP_KEY_SECRET, S3, Keep
from settings.container import Limits
from settings.names import METRICS_FOLDER, TOOLS
from settings.product import Product
from settings.schedule import expand
from settings.stores import Postgres, Redis

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

COMMON_SCRIPTS = ("backup-common.sh", "backup-start.sh", "lock.sh")
POSTGRES_SCRIPTS = ("backup-postgres.sh", "manifest-postgres.sh", "restore-postgres.sh", "drill-postgres.sh")
"""Scripts of Postgres' container, also those that `./dockyard` runs in it."""


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
    after: Sequence[pulumi.Resource]
    mounts: Sequence[Mount] = ()
    scratch: bool = False
    """Whether it has a volume for throwaway restores."""


class BackupSet(pulumi.ComponentResource):
    """Creates the backup containers, and a data volume with a restic repository for each of them.

    A container runs the image of the store it backs up, for that store's client programs; restic's binary is mounted
    from a volume. The repositories are encrypted with the secret `backup-key`: keep a copy of it elsewhere, since they
    cannot be read without it. External stores and logs are not backed up. `dumps`, taken before releases, are restored
    like backups.
    """

    containers: dict[str, Instance]
    secrets: dict[str, pulumi.Output[str]]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        product: Product,
        connections: Mapping[str, Connection],
        monitoring: MonitoringStack,
        dumps: Dumps | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:backups:BackupSet", name, None, opts)
        self._name, self._context, self._backups = name, context, product.backups
        specs: dict[str, _BackupContainer] = {}
        if product.own_postgres:
            specs["postgres"] = self._postgres(product.own_postgres, connections["postgres"], dumps)
        if product.own_redis:
            specs["redis"] = self._redis(product.own_redis, connections["redis"])
        if product.backups.monitoring:
            specs["monitoring"] = self._monitoring(monitoring)
        self.containers, self.secrets = {}, {}
        if product.backups.on and specs:
            self._key = secret(BACKUP_KEY_SECRET, f"{name}-{BACKUP_KEY_SECRET}", self)
            self.secrets = {BACKUP_KEY_SECRET: self._key}
            self._repositories = context.data_volume(f"{name}-data", self)
            self._tools = context.config_volume(f"{name}-tools", self)
            self._scratch = context.config_volume(f"{name}-scratch", self)
            self._prepared = self._prepare_volumes({role: spec.user for role, spec in specs.items()})
            self.containers = {f"backup-{role}": self._run(role, spec) for role, spec in specs.items()}
        self.register_outputs({"containers": sorted(self.containers)})

    def _postgres(self, postgres: Postgres, store: Connection, dumps: Dumps | None) -> _BackupContainer:
        return _BackupContainer(
            stores=["postgres"],
            image=self._context.image(postgres.image),
            user=STORE_USER,
            limits=self._backups.limits.postgres,
            network=self._context.app_network,
            files={
                "pgpass": pgpass(postgres.user, store.files["database-password"]),
                **{name: script(name, SOURCES) for name in POSTGRES_SCRIPTS},
                **{f"{CHECKS}/{name}.sql": f"{sql}\n" for name, sql in self._backups.drill.checks.items()},
            },
            env={
                **client_env(store),
                "DRILL_RTO": str(self._backups.drill.rto),
                **({"DRILL_SCHEDULE": expand(drill)} if (drill := self._backups.drill.schedule) else {}),
            },
            mounts=(Mount(dumps.volume.name, DUMPS),) if dumps else (),
            scratch=True,
            after=store.ready,
        )

    def _redis(self, redis: Redis, store: Connection) -> _BackupContainer:
        return _BackupContainer(
            stores=["redis"],
            image=self._context.image(redis.image),
            user=STORE_USER,
            limits=self._backups.limits.redis,
            network=self._context.app_network,
            files={
                "redis-password": store.files["redis-password"],
                "backup-redis.sh": script("backup-redis.sh", SOURCES),
            },
            env=store.env,
            after=store.ready,
        )

    def _monitoring(self, monitoring: MonitoringStack) -> _BackupContainer:
        return _BackupContainer(
            stores=["grafana", "prometheus"],
            image=self._context.image("restic"),
            user=MONITORING_USER,
            limits=self._backups.limits.monitoring,
            network=self._context.monitoring_network,
            files={"backup-monitoring.sh": script("backup-monitoring.sh", SOURCES)},
            env={
                "GRAFANA_DATA": GRAFANA_DATA,
                "PROMETHEUS_DATA": PROMETHEUS_DATA,
                "PROMETHEUS_URL": f"http://prometheus:{TOOLS['prometheus']}",
            },
            mounts=(
                Mount(monitoring.data["grafana"].name, GRAFANA_DATA),
                # Writable: it deletes the snapshot that Prometheus created for it.
                Mount(monitoring.data["prometheus"].name, PROMETHEUS_DATA, read_only=False),
            ),
            after=[instance.resource for instance in monitoring.containers.values()],
        )

    def _prepare_volumes(self, users: Mapping[str, str]) -> Job:
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
        volumes = {REPOSITORIES: self._repositories, TOOLS_FOLDER: self._tools, SCRATCH: self._scratch}
        spec = writer_spec(
            "backups-writer",
            self._context.image("restic"),
            self._context.monitoring_network,
            ["\n".join(lines)],
            [Mount(volume.name, folder, read_only=False) for folder, volume in volumes.items()],
            capabilities=("CHOWN", "FOWNER"),
        )
        return self._context.job(f"{self._name}-writer", spec, pulumi.ResourceOptions(parent=self))

    def _run(self, role: str, backup: _BackupContainer) -> Instance:
        context, s3 = self._context, self._backups.s3
        name = f"{self._name}-{role}"
        credentials = {CREDENTIALS: _credentials(s3)} if s3 else {}
        # Scripts and secrets share a volume: another one would slow down every `up` and preview.
        files = context.files(
            f"{name}-files",
            FileSet(
                files={
                    BACKUP_KEY_SECRET: self._key,
                    **credentials,
                    **{file: script(file, SOURCES) for file in COMMON_SCRIPTS},
                    SCHEDULE_FILE: script(SCHEDULE_FILE),
                    **backup.files,
                },
                owner=backup.user,
                image=context.image("busybox"),
            ),
            self,
        )
        _, command, health = scheduled(
            self._backups.schedule, ("/bin/sh", f"{SCRIPTS}/backup-{role}.sh"), f"{SCRIPTS}/{SCHEDULE_FILE}"
        )
        scratch = [Mount(self._scratch.name, SCRATCH, read_only=False)] if backup.scratch else []
        ready = all_ready(files.ready, self._prepared.done, textfile_ready(context), backup.after)
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
                    *textfile_mounts(context),
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


def _keep(keep: Keep) -> str:
    """Return the retention as arguments of `restic forget`."""
    counts = {"daily": keep.daily, "weekly": keep.weekly, "monthly": keep.monthly}
    return " ".join(f"--keep-{unit} {count}" for unit, count in counts.items() if count)


def _s3_environment(s3: S3, role: str, context: StackContext) -> dict[str, str]:
    env = {
        "BACKUP_S3_REPOSITORY": f"s3:{s3.endpoint}/{s3.bucket}/{s3_prefix(s3, context)}/{role}",
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

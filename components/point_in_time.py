"""Base backups of Postgres and the archive of its log, by pgBackRest: the database at any moment of the last days."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import pulumi
import pulumi_docker as docker

from components.config_volume import ConfigVolume
from components.connection import Connection
from components.container import run_service
from components.context import StackContext
from components.data_stores import PGDATA, SERVER_FILES, SOCKET, STORE_USER, WalArchive
from components.external_stores import required_secret
from components.metrics_files import writable
from components.secret import secret
from components.shell import SCHEDULE_FILE, scheduled, script
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import config_volume, data_volume
from settings.backups import S3
from settings.names import METRICS_FOLDER, POINT_IN_TIME
from settings.point_in_time import PITR_KEY, PointInTime
from settings.stores import Postgres

FOLDER = "/run/pgbackrest"
"""Configuration and scripts."""

REPOSITORY, SCRATCH = "/var/lib/pgbackrest", "/var/lib/pgbackrest-scratch"
"""Folders of the image that belong to Postgres' user, and so do the volumes that are mounted there."""

STANZA = "main"
CONFIGURATION = "pgbackrest.conf"
SCRIPTS = ("wal-push.sh", "base-backup.sh", "restore-at.sh", SCHEDULE_FILE)

_ENV = {"PGBACKREST_CONFIG": f"{FOLDER}/{CONFIGURATION}", "PGBACKREST_STANZA": STANZA}


class PointInTimeBackups:
    """A repository of base backups and of the log, encrypted, and the container that fills it by the clock.

    Postgres itself hands its log over (`archive`, which `run_postgres` takes). The container reads the data folder and
    talks to the server by its socket; it is on no network but the product's. It never writes where the server does:
    what is restored goes into a volume of its own first. The passphrase stands in a file alone.
    """

    archive: WalArchive

    def __init__(
        self,
        name: str,
        config: Postgres,
        *,
        image: str,
        context: StackContext,
        parent: pulumi.Resource,
        s3: S3 | None = None,
    ) -> None:
        if config.point_in_time is None:
            raise ValueError(f"{name}: Postgres without point_in_time has no base backups")
        self._name, self._image, self._context, self._parent = name, image, context, parent
        self._postgres, self._config = config, config.point_in_time
        self._offsite = s3 if config.point_in_time.offsite else None
        self.key = secret(PITR_KEY, f"{name}-point-in-time-key", parent)
        repository = data_volume(f"{name}-base-backups", context, parent)
        socket = config_volume(f"{name}-socket", context, parent)
        self._files = ConfigVolume(
            f"{name}-pgbackrest",
            files={
                CONFIGURATION: configuration(config, self._config, self.key, self._offsite, context),
                **{file: script(file) for file in SCRIPTS},
            },
            owner=STORE_USER,
            image=image,
            context=context,
            parent=parent,
        )
        self._shared = (
            Mount(repository.name, REPOSITORY, read_only=False),
            Mount(socket.name, SOCKET, read_only=False),
            self._files.mounted_at(FOLDER),
        )
        command = " ".join(f"{key}={value}" for key, value in _ENV.items())
        self.archive = WalArchive(
            settings={
                "archive_mode": "on",
                "archive_timeout": f"{self._config.archive_timeout}s",
                "archive_command": f"{command} sh {FOLDER}/wal-push.sh %p",
            },
            mounts=self._shared,
            ready=self._files.ready,
        )

    def run(self, store: Connection) -> docker.Container:
        """Run the container that takes base backups and restores, beside a Postgres that is ready."""
        if store.data is None:
            raise ValueError(f"{self._name}: a Postgres that somebody else runs has its own backups")
        folder = self._context.metrics
        scratch = config_volume(f"{self._name}-scratch", self._context, self._parent)
        backup = f"{FOLDER}/base-backup.sh"
        entrypoint, command, health = scheduled(self._config.schedule, ("/bin/sh", backup), f"{FOLDER}/{SCHEDULE_FILE}")
        # The first one at once, beside the scheduler: until then there is nothing to go back to.
        at_once = f'sh {backup} --first & exec {" ".join(entrypoint)} "$@"'
        spec = ContainerSpec(
            role=POINT_IN_TIME,
            image=self._image,
            user=STORE_USER,
            entrypoint=("/bin/sh", "-c", at_once),
            command=("sh", *command),
            env={
                **_ENV,
                "REPOSITORY": REPOSITORY,
                "REPOSITORIES": "1 2" if self._offsite else "1",
                "FULL_EVERY": str(self._config.full_every),
                "SCRATCH": SCRATCH,
                "PGHOST": SOCKET,
                "PGUSER": self._postgres.user,
                "PGDATABASE": self._postgres.database,
                **({"METRICS_FOLDER": METRICS_FOLDER} if folder else {}),
            },
            limits=self._config.limits,
            networks=(Attachment(self._context.app_network),),
            mounts=(
                *self._shared,
                Mount(store.data, PGDATA),
                Mount(scratch.name, SCRATCH, read_only=False),
                *((writable(folder),) if folder else ()),
            ),
            tmpfs=("/tmp",),
            # What a restore runs may have workers of its own.
            shared_memory=256,
            health=health,
            # Two would back up at once.
            exclusive=True,
            content=self._files.fingerprint,
        )
        ready: list[pulumi.Input[Sequence[pulumi.Resource]]] = [self._files.ready]
        ready += [[store.ready]] if store.ready else []
        ready += [folder.ready] if folder else []
        dependencies = pulumi.Output.all(*ready).apply(
            lambda groups: [resource for group in groups for resource in group]
        )
        options = pulumi.ResourceOptions(parent=self._parent, depends_on=dependencies)
        return run_service(f"{self._name}-{POINT_IN_TIME}", spec, self._context, options)


def configuration(
    config: Postgres, settings: PointInTime, key: pulumi.Output[str], s3: S3 | None, context: StackContext
) -> pulumi.Output[str]:
    """Return pgbackrest.conf, which holds the passphrase, and the keys of S3."""
    plain = {
        "repo1-path": REPOSITORY,
        **_repository(1, settings),
        **(_s3(s3, context) | _repository(2, settings) if s3 else {}),
        "compress-type": "zst",
        "start-fast": "y",
        # The engine keeps what is printed; files of its own would fill up unread.
        "log-level-file": "off",
        "log-level-console": "warn",
        "lock-path": "/tmp/pgbackrest",
    }
    lines = "".join(f"{name}={value}\n" for name, value in plain.items())
    hidden: dict[str, pulumi.Output[str]] = {"repo1-cipher-pass": key}
    if s3:
        hidden |= {
            "repo2-cipher-pass": key,
            "repo2-s3-key": required_secret(s3.access_key),
            "repo2-s3-key-secret": required_secret(s3.secret_key),
        }
    secrets = [part for name, value in hidden.items() for part in (f"{name}=", value, "\n")]
    stanza = f"\n[{STANZA}]\npg1-path={SERVER_FILES}\npg1-socket-path={SOCKET}\npg1-user={config.user}\n"
    return pulumi.Output.concat("[global]\n", lines, *secrets, stanza)


def _repository(number: int, settings: PointInTime) -> dict[str, str]:
    options = {
        "cipher-type": "aes-256-cbc",
        # By age: the youngest full backup that is old enough stays, with all that came after it, the log included.
        "retention-full-type": "time",
        "retention-full": str(settings.keep // 86400),
        # Small files lie together, and of a large one only what changed is copied.
        "bundle": "y",
        "block": "y",
    }
    return {f"repo{number}-{name}": value for name, value in options.items()}


def _s3(s3: S3, context: StackContext) -> dict[str, str]:
    """Return where the second repository is. Buckets stand in the path: not every S3 has a name for each of them."""
    where = urlsplit(s3.endpoint)
    prefix = s3.prefix or f"{context.product}/{pulumi.get_stack()}"
    return {
        "repo2-type": "s3",
        "repo2-path": f"/{prefix}/pgbackrest",
        "repo2-s3-bucket": s3.bucket,
        "repo2-s3-endpoint": where.hostname or "",
        "repo2-storage-port": str(where.port or 443),
        # It has no default, and what is no AWS asks for none.
        "repo2-s3-region": s3.region or "us-east-1",
        "repo2-s3-uri-style": "path",
    }

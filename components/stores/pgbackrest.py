"""Point-in-time recovery of Postgres: base backups and an archive of the write-ahead log, by pgBackRest.

postgres.py has the plain archive of the write-ahead log (`wal_retention`), which excludes this one.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pulumi

from components.common import s3_prefix, textfile_mounts, textfile_ready
from components.secret import secret
from components.stores.connection import STORE_USER, Connection
from components.stores.postgres import PGDATA, SERVER_FILES, SOCKET, WalArchive
from runtime.base import Instance, all_ready
from runtime.context import StackContext
from runtime.secret_files import required_secret
from runtime.shell import SCHEDULE_FILE, scheduled, script
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount
from settings.backups import PITR_KEY_SECRET, S3, PointInTime
from settings.names import METRICS_FOLDER, POINT_IN_TIME
from settings.stores import Postgres

FOLDER = "/run/pgbackrest"
"""Mount point of configuration and scripts."""

REPOSITORY, SCRATCH = "/var/lib/pgbackrest", "/var/lib/pgbackrest-scratch"
"""Folders that Postgres' user owns in the image, and therefore also in the volumes mounted there."""

STANZA = "main"
CONFIGURATION = "pgbackrest.conf"
SCRIPTS = ("wal-push.sh", "base-backup.sh", "restore-at.sh")
SOURCES = Path(__file__).parent / "scripts"

_ENV = {"PGBACKREST_CONFIG": f"{FOLDER}/{CONFIGURATION}", "PGBACKREST_STANZA": STANZA}


class PointInTimeBackups:
    """An encrypted repository of base backups and of the write-ahead log, and the container that takes base backups.

    Postgres itself archives its log (`archive`, an argument of `run_postgres`). The container reads the data folder and
    connects to the server by its socket; it is only on the product's network. It never writes into the server's folder:
    a restore goes into a separate volume first. The passphrase is only in a file.
    """

    archive: WalArchive

    def __init__(
        self,
        name: str,
        context: StackContext,
        config: Postgres,
        parent: pulumi.Resource,
        *,
        s3: S3 | None = None,
    ) -> None:
        if config.point_in_time is None:
            raise ValueError(f"{name}: Postgres without point_in_time has no base backups")
        self._name, self._context, self._parent = name, context, parent
        self._postgres, self._config = config, config.point_in_time
        self._image = context.image(config.run_image)
        self._s3_target = s3 if config.point_in_time.offsite else None
        self.key = secret(PITR_KEY_SECRET, f"{name}-point-in-time-key", parent)
        repository = context.data_volume(f"{name}-base-backups", parent)
        socket = context.config_volume(f"{name}-socket", parent)
        self._files = context.files(
            f"{name}-pgbackrest",
            FileSet(
                files={
                    CONFIGURATION: configuration(config, self._config, self.key, self._s3_target, context),
                    **{file: script(file, SOURCES) for file in SCRIPTS},
                    SCHEDULE_FILE: script(SCHEDULE_FILE),
                },
                owner=STORE_USER,
                image=self._image,
            ),
            parent,
        )
        self._mounts = (
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
            mounts=self._mounts,
            ready=self._files.ready,
        )

    def run(self, store: Connection) -> Instance:
        """Run the container that takes base backups and runs restores, once Postgres is ready."""
        if store.data is None:
            raise ValueError(f"{self._name}: an external Postgres has its own backups")
        context = self._context
        scratch = context.config_volume(f"{self._name}-scratch", self._parent)
        backup = f"{FOLDER}/base-backup.sh"
        entrypoint, command, health = scheduled(self._config.schedule, ("/bin/sh", backup), f"{FOLDER}/{SCHEDULE_FILE}")
        # The first backup is taken at once, beside the scheduler: until then nothing can be restored.
        command_line = f'sh {backup} --first & exec {" ".join(entrypoint)} "$@"'
        spec = ContainerSpec(
            role=POINT_IN_TIME,
            image=self._image,
            user=STORE_USER,
            entrypoint=("/bin/sh", "-c", command_line),
            command=("sh", *command),
            env={
                **_ENV,
                "REPOSITORY": REPOSITORY,
                "REPOSITORIES": "1 2" if self._s3_target else "1",
                "FULL_EVERY": str(self._config.full_every),
                "SCRATCH": SCRATCH,
                "PGHOST": SOCKET,
                "PGUSER": self._postgres.user,
                "PGDATABASE": self._postgres.database,
                **({"METRICS_FOLDER": METRICS_FOLDER} if context.metrics else {}),
            },
            limits=self._config.limits,
            networks=(Attachment(context.app_network),),
            mounts=(
                *self._mounts,
                Mount(store.data, PGDATA),
                Mount(scratch.name, SCRATCH, read_only=False),
                *textfile_mounts(context),
            ),
            tmpfs=("/tmp",),
            # The Postgres of a restore may use parallel workers.
            shared_memory=256,
            health=health,
            # Two containers would take backups at the same time.
            exclusive=True,
            content=self._files.fingerprint,
        )
        ready = all_ready(self._files.ready, store.ready, textfile_ready(context))
        options = pulumi.ResourceOptions(parent=self._parent, depends_on=ready)
        return context.service(f"{self._name}-{POINT_IN_TIME}", spec, options)


def configuration(
    config: Postgres, settings: PointInTime, key: pulumi.Output[str], s3: S3 | None, context: StackContext
) -> pulumi.Output[str]:
    """Return pgbackrest.conf, which contains the passphrase and the keys of S3."""
    options = {
        "repo1-path": REPOSITORY,
        **_repository(1, settings),
        **(_s3(s3, context) | _repository(2, settings) if s3 else {}),
        "compress-type": "zst",
        "start-fast": "y",
        # Docker keeps the output; log files would only grow unread.
        "log-level-file": "off",
        "log-level-console": "warn",
        "lock-path": "/tmp/pgbackrest",
    }
    lines = "".join(f"{name}={value}\n" for name, value in options.items())
    secret_options: dict[str, pulumi.Output[str]] = {"repo1-cipher-pass": key}
    if s3:
        secret_options |= {
            "repo2-cipher-pass": key,
            "repo2-s3-key": required_secret(s3.access_key),
            "repo2-s3-key-secret": required_secret(s3.secret_key),
        }
    secrets = [part for name, value in secret_options.items() for part in (f"{name}=", value, "\n")]
    stanza = f"\n[{STANZA}]\npg1-path={SERVER_FILES}\npg1-socket-path={SOCKET}\npg1-user={config.user}\n"
    return pulumi.Output.concat("[global]\n", lines, *secrets, stanza)


def _repository(number: int, settings: PointInTime) -> dict[str, str]:
    options = {
        "cipher-type": "aes-256-cbc",
        # By age: keeps the newest full backup that is older than this, and all later backups and log segments.
        "retention-full-type": "time",
        "retention-full": str(settings.keep // 86400),
        # Bundle small files, and copy only the changed blocks of large ones.
        "bundle": "y",
        "block": "y",
    }
    return {f"repo{number}-{name}": value for name, value in options.items()}


def _s3(s3: S3, context: StackContext) -> dict[str, str]:
    """Return the options of the second repository. Path-style URLs: not every S3 has a host name for each bucket."""
    endpoint = urlsplit(s3.endpoint)
    return {
        "repo2-type": "s3",
        "repo2-path": f"/{s3_prefix(s3, context)}/pgbackrest",
        "repo2-s3-bucket": s3.bucket,
        "repo2-s3-endpoint": endpoint.hostname or "",
        "repo2-storage-port": str(endpoint.port or 443),
        # pgBackRest has no default for it, and stores other than AWS ignore it.
        "repo2-s3-region": s3.region or "us-east-1",
        "repo2-s3-uri-style": "path",
    }

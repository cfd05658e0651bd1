"""The product's own Postgres: its container, its settings, and plain archiving of the write-ahead log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.secret import secret
from components.stores.connection import STORE_USER, Connection, store_health, store_networks
from runtime.base import all_ready
from runtime.context import StackContext
from runtime.secret_files import SECRETS_FOLDER
from runtime.spec import ContainerSpec, FileSet, Mount
from settings.names import STORES
from settings.stores import Postgres

PORT = STORES["postgres"]
PGDATA = "/var/lib/postgresql/data"
SERVER_FILES = f"{PGDATA}/pgdata"
"""A subfolder of the mount: initdb refuses a folder that is not empty."""

SOCKET = "/var/run/postgresql"
WAL_ARCHIVE = f"{PGDATA}/wal-archive"
"""On the data volume, beside the server's own folder: root would own a separate volume."""


@dataclass(frozen=True)
class WalArchive:
    """Settings and mounts that archiving of the write-ahead log requires of the Postgres server."""

    settings: Mapping[str, str]
    mounts: tuple[Mount, ...]
    """Mounts for the server; one of them is the folder of its socket."""

    ready: pulumi.Output[Sequence[pulumi.Resource]]
    """For `depends_on`: resolves once the archive command's files are written."""


def run_postgres(
    name: str, context: StackContext, config: Postgres, parent: pulumi.Resource, archive: WalArchive | None = None
) -> Connection:
    """Run Postgres with a data volume and a health check by `pg_isready`."""
    image = context.image(config.run_image)
    password = secret("postgres-password", f"{name}-password", parent)
    secrets = context.files(
        f"{name}-secrets",
        FileSet(
            files={"postgres-password": password, "pgpass": pgpass(config.user, password)},
            owner=STORE_USER,
            image=image,
        ),
        parent,
    )
    volume = context.data_volume(f"{name}-data", parent)
    container = context.service(
        name,
        ContainerSpec(
            role="postgres",
            image=image,
            user=STORE_USER,
            command=("postgres", *server_settings(config, archive.settings if archive else {})),
            env={
                "POSTGRES_USER": config.user,
                "POSTGRES_DB": config.database,
                "POSTGRES_PASSWORD_FILE": f"{SECRETS_FOLDER}/postgres-password",
                "PGDATA": SERVER_FILES,
            },
            limits=config.limits,
            exclusive=True,
            networks=store_networks(context, "postgres"),
            mounts=(
                Mount(volume.name, PGDATA, read_only=False),
                secrets.mounted_at(SECRETS_FOLDER),
                *(archive.mounts if archive else ()),
            ),
            tmpfs=("/tmp",) if archive else ("/tmp", SOCKET),
            # Parallel query workers exchange rows there; with 64 MiB: "could not resize shared memory segment".
            shared_memory=256,
            # Over TCP: while the image initialises its data folder, a temporary server answers on the socket alone.
            health=store_health(
                config.health, "pg_isready", "-q", "-h", "127.0.0.1", "-U", config.user, "-d", config.database
            ),
            # "Fast" shutdown: sessions are terminated and data is written. SIGTERM would wait for every session.
            stop_signal="SIGINT",
            stop_grace=60,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=all_ready(secrets.ready, archive.ready if archive else [])),
    )
    return Connection(
        env={
            "DATABASE_HOST": "postgres",
            "DATABASE_PORT": str(PORT),
            "DATABASE_NAME": config.database,
            "DATABASE_USER": config.user,
        },
        files={
            "database-password": password,
            "database-url": pulumi.Output.concat(
                "postgresql://", config.user, ":", password, f"@postgres:{PORT}/", config.database
            ),
        },
        ready=[container.resource],
        admin=(secrets.mounted_at(SECRETS_FOLDER),),
        data=volume.name,
    )


def pgpass(user: str, password: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return the content of libpq's password file."""
    return pulumi.Output.concat(f"postgres:{PORT}:*:", user, ":", password, "\n")


def client_env(store: Connection) -> dict[str, str]:
    """Return libpq's variables for a client with `pgpass` among its secret files."""
    return {
        "PGHOST": store.env["DATABASE_HOST"],
        "PGUSER": store.env["DATABASE_USER"],
        "PGDATABASE": store.env["DATABASE_NAME"],
        "PGPASSFILE": f"{SECRETS_FOLDER}/pgpass",
    }


def server_settings(config: Postgres, archive_settings: Mapping[str, str] | None = None) -> list[str]:
    """Return Postgres' settings as arguments; those under `settings` in the product file come last and win."""
    settings = {
        "shared_buffers": f"{config.shared_buffers}MB",
        "max_connections": str(config.max_connections),
        # Log slow statements without their bound values, which may be secrets.
        "log_min_duration_statement": "500ms",
        "log_parameter_max_length": "0",
    }
    if config.wal_retention:
        minutes = config.wal_retention // 60
        settings |= {
            "archive_mode": "on",
            # A segment is archived whole or not at all, and never overwritten. It is no error if Postgres archives one
            # again, because it was killed before it noted the success. Each call also deletes expired segments.
            "archive_command": f"mkdir -p {WAL_ARCHIVE} && {{ cmp -s %p {WAL_ARCHIVE}/%f"
            f" || {{ test ! -f {WAL_ARCHIVE}/%f && cp %p {WAL_ARCHIVE}/.%f"
            f" && mv {WAL_ARCHIVE}/.%f {WAL_ARCHIVE}/%f; }}; }}"
            # Busybox' find has no -delete.
            f" && find {WAL_ARCHIVE} -type f -mmin +{minutes} -exec rm -f {{}} +",
        }
    settings |= archive_settings or {}
    settings |= config.settings
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

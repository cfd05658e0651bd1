"""Postgres and Redis, where they are the product's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.config_volume import ConfigVolume
from components.connection import SECRETS_FOLDER, Connection
from components.container import run_service
from components.context import StackContext
from components.secret import secret
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount
from components.volume import data_volume
from settings.stores import Postgres, Redis, StoreHealth

STORE_USER = "999:999"
"""User and group of the official Debian-based images, both of postgres and of redis."""

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
    name: str,
    config: Postgres,
    *,
    image: str,
    context: StackContext,
    parent: pulumi.Resource,
    archive: WalArchive | None = None,
) -> Connection:
    """Run Postgres with a data volume; health: `pg_isready` (Tumulte's document, the dating app's interval)."""
    password = secret("postgres-password", f"{name}-password", parent)
    secrets = ConfigVolume(
        f"{name}-secrets",
        files={
            "postgres-password": password,
            "pgpass": pulumi.Output.concat("postgres:5432:*:", config.user, ":", password, "\n"),
        },
        owner=STORE_USER,
        image=image,
        context=context,
        parent=parent,
    )
    volume = data_volume(f"{name}-data", context, parent)
    container = run_service(
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
            networks=_networks(context, "postgres"),
            mounts=(
                Mount(volume.name, PGDATA, read_only=False),
                secrets.mounted_at(SECRETS_FOLDER),
                *(archive.mounts if archive else ()),
            ),
            tmpfs=("/tmp",) if archive else ("/tmp", SOCKET),
            # Parallel query workers exchange rows there; with 64 MiB: "could not resize shared memory segment".
            shared_memory=256,
            # Over TCP: while the image initialises its data folder, a temporary server answers on the socket alone.
            health=_health(
                config.health, "pg_isready", "-q", "-h", "127.0.0.1", "-U", config.user, "-d", config.database
            ),
            # "Fast" shutdown: sessions are terminated and data is written. SIGTERM would wait for every session.
            stop_signal="SIGINT",
            stop_grace=60,
        ),
        context,
        pulumi.ResourceOptions(parent=parent, depends_on=_all_ready(secrets.ready, archive)),
    )
    return Connection(
        env={
            "DATABASE_HOST": "postgres",
            "DATABASE_PORT": "5432",
            "DATABASE_NAME": config.database,
            "DATABASE_USER": config.user,
        },
        files={
            "database-password": password,
            "database-url": pulumi.Output.concat(
                "postgresql://", config.user, ":", password, "@postgres:5432/", config.database
            ),
        },
        ready=container,
        admin=(secrets.mounted_at(SECRETS_FOLDER),),
        data=volume.name,
    )


def _all_ready(
    secrets: pulumi.Output[Sequence[pulumi.Resource]], archive: WalArchive | None
) -> pulumi.Output[Sequence[pulumi.Resource]]:
    if archive is None:
        return secrets
    return pulumi.Output.all(secrets, archive.ready).apply(
        lambda groups: [resource for group in groups for resource in group]
    )


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


def run_redis(name: str, config: Redis, *, image: str, context: StackContext, parent: pulumi.Resource) -> Connection:
    """Run Redis with a data volume and a password; health: `redis-cli ping` (Tumulte's document)."""
    password = secret("redis-password", f"{name}-password", parent)
    directives = {
        "maxmemory": f"{config.maxmemory}mb",
        "maxmemory-policy": config.maxmemory_policy,
        "appendonly": "yes",
        "dir": "/data",
        **config.settings,
    }
    lines = "".join(f"{directive} {value}\n" for directive, value in directives.items())
    secrets = ConfigVolume(
        f"{name}-config",
        files={
            "redis.conf": pulumi.Output.concat(lines, "requirepass ", password, "\n"),
            "redis-password": password,
        },
        owner=STORE_USER,
        image=image,
        context=context,
        parent=parent,
    )
    volume = data_volume(f"{name}-data", context, parent)
    ping = f'REDISCLI_AUTH="$(cat {SECRETS_FOLDER}/redis-password)" redis-cli ping | grep -q PONG'
    container = run_service(
        name,
        ContainerSpec(
            role="redis",
            image=image,
            user=STORE_USER,
            command=("redis-server", f"{SECRETS_FOLDER}/redis.conf"),
            limits=config.limits,
            exclusive=True,
            networks=_networks(context, "redis"),
            mounts=(Mount(volume.name, "/data", read_only=False), secrets.mounted_at(SECRETS_FOLDER)),
            health=_health(config.health, "sh", "-c", ping),
            # Redis reads its settings only when it starts.
            content=secrets.fingerprint,
        ),
        context,
        pulumi.ResourceOptions(parent=parent, depends_on=secrets.ready),
    )
    return Connection(
        env={"REDIS_HOST": "redis", "REDIS_PORT": "6379"},
        files={
            "redis-password": password,
            "redis-url": pulumi.Output.concat("redis://:", password, "@redis:6379"),
        },
        ready=container,
    )


def _networks(context: StackContext, name: str) -> tuple[Attachment, ...]:
    return (Attachment(context.app_network, (name,)), Attachment(context.monitoring_network, (name,)))


def _health(health: StoreHealth, *command: str) -> HealthCheck:
    return HealthCheck(command, health.interval, health.timeout, health.retries, health.start_period)

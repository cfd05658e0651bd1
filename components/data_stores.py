"""Postgres and Redis of the product's own."""

from __future__ import annotations

import pulumi

from components.config_volume import ConfigVolume
from components.connection import SECRETS_FOLDER, Connection
from components.container import run_service
from components.context import StackContext
from components.secret import secret
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount, Publication
from components.volume import data_volume
from settings.stores import Postgres, Redis

POSTGRES_USER = "999:999"
"""User and group of the official Debian-based images, both of postgres and of redis."""

PGDATA = "/var/lib/postgresql/data"


def run_postgres(
    name: str,
    config: Postgres,
    *,
    image: str,
    port: int | None,
    context: StackContext,
    parent: pulumi.Resource,
) -> Connection:
    """Run Postgres with a data volume; health: `pg_isready` (Tumulte's document)."""
    password = secret("postgres-password", f"{name}-password", parent)
    secrets = ConfigVolume(
        f"{name}-secrets",
        files={"postgres-password": password},
        owner=POSTGRES_USER,
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
            user=POSTGRES_USER,
            command=(
                "postgres",
                "-c",
                f"shared_buffers={config.shared_buffers}MB",
                "-c",
                f"max_connections={config.max_connections}",
            ),
            env={
                "POSTGRES_USER": config.user,
                "POSTGRES_DB": config.database,
                "POSTGRES_PASSWORD_FILE": f"{SECRETS_FOLDER}/postgres-password",
                # A folder of its own below the mount: initdb refuses a folder that already holds something.
                "PGDATA": f"{PGDATA}/pgdata",
            },
            limits=config.limits,
            exclusive=True,
            networks=(
                Attachment(context.app_network, ("postgres",)),
                Attachment(context.monitoring_network, ("postgres",)),
            ),
            mounts=(
                Mount(volume.name, PGDATA, read_only=False),
                secrets.mounted_at(SECRETS_FOLDER),
            ),
            tmpfs=("/tmp", "/var/run/postgresql"),
            # Workers of one parallel query exchange rows there: "could not resize shared memory segment" with 64.
            shared_memory=256,
            health=HealthCheck(
                # Over TCP: while the image initialises its data folder, a temporary server answers on the socket only.
                ("pg_isready", "-q", "-h", "127.0.0.1", "-U", config.user, "-d", config.database),
            ),
            publish=(Publication(5432, port),) if port else (),
            # "Fast" shutdown: open sessions are ended, the data is written. SIGTERM would wait for every session.
            stop_signal="SIGINT",
            stop_grace=60,
        ),
        context,
        pulumi.ResourceOptions(
            parent=parent,
            depends_on=secrets.ready,
        ),
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
    )


def run_redis(
    name: str, config: Redis, *, image: str, port: int | None, context: StackContext, parent: pulumi.Resource
) -> Connection:
    """Run Redis with a data volume and a password; health: `redis-cli ping` (Tumulte's document)."""
    password = secret("redis-password", f"{name}-password", parent)
    settings = pulumi.Output.concat(
        f"maxmemory {config.maxmemory}mb\nmaxmemory-policy {config.maxmemory_policy}\n",
        "appendonly yes\ndir /data\nrequirepass ",
        password,
        "\n",
    )
    secrets = ConfigVolume(
        f"{name}-config",
        files={"redis.conf": settings, "redis-password": password},
        owner=POSTGRES_USER,
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
            user=POSTGRES_USER,
            command=("redis-server", f"{SECRETS_FOLDER}/redis.conf"),
            limits=config.limits,
            exclusive=True,
            networks=(
                Attachment(context.app_network, ("redis",)),
                Attachment(context.monitoring_network, ("redis",)),
            ),
            mounts=(
                Mount(volume.name, "/data", read_only=False),
                secrets.mounted_at(SECRETS_FOLDER),
            ),
            health=HealthCheck(("sh", "-c", ping)),
            publish=(Publication(6379, port),) if port else (),
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

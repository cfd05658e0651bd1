"""The product's own Redis: its container and its settings."""

from __future__ import annotations

import pulumi

from components.secret import secret
from components.stores.connection import STORE_USER, Connection, store_health, store_networks
from runtime.context import StackContext
from runtime.secret_files import SECRETS_FOLDER
from runtime.spec import ContainerSpec, FileSet, Mount
from settings.names import STORES
from settings.stores import Redis

PORT = STORES["redis"]


def run_redis(name: str, context: StackContext, config: Redis, parent: pulumi.Resource) -> Connection:
    """Run Redis with a data volume and a password; health: `redis-cli ping` (Tumulte's document)."""
    image = context.image(config.image)
    password = secret("redis-password", f"{name}-password", parent)
    directives = {
        "maxmemory": f"{config.maxmemory}mb",
        "maxmemory-policy": config.maxmemory_policy,
        "appendonly": "yes",
        "dir": "/data",
        **config.settings,
    }
    lines = "".join(f"{directive} {value}\n" for directive, value in directives.items())
    secrets = context.files(
        f"{name}-config",
        FileSet(
            files={
                "redis.conf": pulumi.Output.concat(lines, "requirepass ", password, "\n"),
                "redis-password": password,
            },
            owner=STORE_USER,
            image=image,
        ),
        parent,
    )
    volume = context.data_volume(f"{name}-data", parent)
    ping = f'REDISCLI_AUTH="$(cat {SECRETS_FOLDER}/redis-password)" redis-cli ping | grep -q PONG'
    container = context.service(
        name,
        ContainerSpec(
            role="redis",
            image=image,
            user=STORE_USER,
            command=("redis-server", f"{SECRETS_FOLDER}/redis.conf"),
            limits=config.limits,
            exclusive=True,
            networks=store_networks(context, "redis"),
            mounts=(Mount(volume.name, "/data", read_only=False), secrets.mounted_at(SECRETS_FOLDER)),
            health=store_health(config.health, "sh", "-c", ping),
            # Redis reads its settings only when it starts.
            content=secrets.fingerprint,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=secrets.ready),
    )
    return Connection(
        env={"REDIS_HOST": "redis", "REDIS_PORT": str(PORT)},
        files=redis_files(password, f"redis:{PORT}"),
        ready=[container.resource],
    )


def redis_files(password: pulumi.Output[str], address: str) -> dict[str, pulumi.Output[str]]:
    """Return the secret files of clients. `address` is host and port."""
    return {"redis-password": password, "redis-url": pulumi.Output.concat("redis://:", password, "@", address)}

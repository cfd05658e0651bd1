"""External data stores: their addresses, in the forms that workloads and exporters need."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pulumi

from components.common import DOCKER_HOST
from components.stores.connection import Connection
from components.stores.redis import redis_files
from runtime.secret_files import required_secret
from settings.stores import ExternalPostgres, ExternalRedis


def external_postgres(config: ExternalPostgres) -> Connection:
    """Return the connection to the Postgres whose address is in the stack's secret.

    Raises pulumi.RunError, without the value, where the secret is not an address of a Postgres.
    """
    dsn = required_secret(config.external.dsn).apply(lambda text: _check_dsn(text, config.external.dsn))
    return Connection(
        env={},
        files={
            "database-url": dsn,
            "exporter-uri": dsn.apply(lambda text: _part(text, "uri")),
            "exporter-user": dsn.apply(lambda text: _part(text, "user")),
            "exporter-password": dsn.apply(lambda text: _part(text, "password")),
        },
        # The host in the secret must not be revealed, so every client of such a store can reach the Docker host.
        reaches_host=True,
    )


def external_redis(config: ExternalRedis) -> Connection:
    """Return the connection to the Redis whose address is in the settings."""
    external = config.external
    host, port = external.address.rsplit(":", 1)
    env = {"REDIS_HOST": host, "REDIS_PORT": port}
    if not external.password:
        env["REDIS_URL"] = f"redis://{external.address}"
        return Connection(env, {}, reaches_host=host == DOCKER_HOST)
    password = required_secret(external.password)
    return Connection(env, redis_files(password, external.address), reaches_host=host == DOCKER_HOST)


def _check_dsn(dsn: str, secret: str) -> str:
    parts = urlsplit(dsn)
    if dsn and (parts.scheme not in ("postgresql", "postgres") or not parts.hostname):
        raise pulumi.RunError(
            f"the secret dockyard:{secret} is not the address of a Postgres: expected postgresql://user:password@host:5432/database"
        )
    return dsn


def _part(dsn: str, name: str) -> str:
    """Return a part of the address for the exporter's files; `uri` is `host:5432/database?sslmode=disable`."""
    parts = urlsplit(dsn)
    if name == "uri":
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.hostname or ''}:{parts.port or 5432}{parts.path}{query}"
    return unquote((parts.username if name == "user" else parts.password) or "")

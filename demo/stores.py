"""Where the data stores are: Postgres and Redis out of the environment."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from demo.config import Environment

CONNECT_SECONDS = 3
"""How long one attempt to connect may take."""


@dataclass(frozen=True)
class Database:
    """One Postgres database. `label` may be shown to anybody, `conninfo` holds the password."""

    label: str
    conninfo: str = field(repr=False)


@dataclass(frozen=True)
class Cache:
    """One Redis. `label` may be shown to anybody, `url` holds the password."""

    label: str
    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)


def has_database(environment: Environment) -> bool:
    """Tell whether anything says that there is a database; a half-said one is for `read_database` to refuse."""
    return any(environment.has(f"DATABASE_{name}") for name in ("URL", "HOST", "NAME", "USER", "PASSWORD"))


def has_cache(environment: Environment) -> bool:
    """Tell whether anything says that there is a Redis."""
    return any(environment.has(f"REDIS_{name}") for name in ("URL", "HOST", "PASSWORD"))


def read_database(environment: Environment) -> Database:
    """Read DATABASE_URL[_FILE], else DATABASE_HOST, _PORT, _NAME, _USER and _PASSWORD[_FILE].

    Dockyard gives every workload both forms, since one program wants the one and another the other.
    """
    options = {"connect_timeout": str(CONNECT_SECONDS), "application_name": "demo"}
    if environment.has("DATABASE_URL"):
        url = environment.secret("DATABASE_URL")
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            # The driver's own message quotes the URL, and the URL holds the password.
            environment.problems.append(
                "DATABASE_URL cannot be read, expected postgresql://user:password@host:port/name"
            )
            return Database("", "")
        label = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        return Database(label, make_conninfo(url, **options))
    host, name = environment.text("DATABASE_HOST"), environment.text("DATABASE_NAME")
    port = environment.number("DATABASE_PORT", 5432, 1, 65535)
    user, password = environment.text("DATABASE_USER"), environment.secret("DATABASE_PASSWORD")
    conninfo = make_conninfo(host=host, port=str(port), dbname=name, user=user, password=password, **options)
    return Database(f"{host}:{port}/{name}", conninfo)


def read_cache(environment: Environment) -> Cache:
    """Read REDIS_URL[_FILE], else REDIS_HOST, REDIS_PORT and (optional) REDIS_PASSWORD[_FILE]."""
    if environment.has("REDIS_URL"):
        url = environment.secret("REDIS_URL")
        try:
            parts = redis.ConnectionPool.from_url(url).connection_kwargs
        except ValueError:
            environment.problems.append("REDIS_URL cannot be read, expected redis://:password@host:port/0")
            return Cache("", "")
        return Cache(f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}", url)
    host, port = environment.text("REDIS_HOST"), environment.number("REDIS_PORT", 6379, 1, 65535)
    password = environment.secret_if_set("REDIS_PASSWORD")
    return Cache(f"{host}:{port}", f"redis://{host}:{port}/0", password)


def ping_database(database: Database) -> None:
    """Connect once and ask for an answer. Raises psycopg.Error when it cannot."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("select 1")


def ping_cache(cache: Cache) -> None:
    """Connect once and ask for an answer. Raises redis.RedisError when it cannot."""
    client = redis.Redis.from_url(
        cache.url,
        password=cache.password,
        retry=None,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=CONNECT_SECONDS,
    )
    try:
        client.ping()
    finally:
        client.close()

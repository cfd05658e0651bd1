"""The data stores of a product: its own, or external ones that are run by somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from settings.backups import PITR_IMAGE, SERVER_SETTINGS, PointInTime
from settings.base import Model, SecretRef
from settings.container import ImageName, Limits
from settings.units import Duration, Memory, format_memory

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]
Setting = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]*$")]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$")]
Eviction = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


class StoreHealth(Model):
    """Health check of a data store; the interval is the dating app's."""

    interval: Duration = 10
    timeout: Duration = 5
    retries: int = Field(default=5, ge=1, le=100)
    start_period: Duration = 40


class Postgres(Model):
    """The product's own Postgres server, with its exporter. The figures are from Tumulte's table."""

    database: Identifier
    user: Identifier
    image: ImageName = "postgres"
    """Use a full reference for another version. A change of the major version needs a dump and a restore."""

    shared_buffers: Memory = 1024
    max_connections: int = Field(default=200, ge=5, le=10000)
    wal_retention: Duration | None = None
    """Archive the write-ahead log as plain files on the data volume, and keep it for this long. Tumulte wants 7d."""

    point_in_time: PointInTime | None = None
    """Base backups and an archive of the log by pgBackRest, instead of `wal_retention`; `{}` takes the defaults."""

    settings: dict[Setting, str] = {}
    """Further server settings, as in postgresql.conf."""

    health: StoreHealth = StoreHealth()
    limits: Limits = Limits.of("4GB", cpus=2)

    @model_validator(mode="after")
    def _buffers_fit(self) -> Postgres:
        if self.shared_buffers >= self.limits.memory:
            buffers, limit = format_memory(self.shared_buffers), format_memory(self.limits.memory)
            raise ValueError(f"shared_buffers below the memory limit of {limit}, not {buffers}")
        return self

    @model_validator(mode="after")
    def _one_archive(self) -> Postgres:
        if self.point_in_time and self.wal_retention:
            raise ValueError(
                "wal_retention or point_in_time, not both: pgBackRest keeps the WAL for point_in_time.keep"
                " (wal_retention: null unsets the product file's value)"
            )
        if self.point_in_time and (reserved := [name for name in SERVER_SETTINGS if name in self.settings]):
            raise ValueError(f"settings without {', '.join(reserved)}, which point_in_time sets")
        return self

    @property
    def run_image(self) -> str:
        """The image that the server runs: with `point_in_time`, the variant with pgBackRest from images.yaml.

        A custom image must contain pgBackRest itself, as components/pgbackrest/Dockerfile builds it.
        """
        return PITR_IMAGE if self.point_in_time and self.image == "postgres" else self.image


class Redis(Model):
    """The product's own Redis server, with its exporter. The figures are from Tumulte's table."""

    image: ImageName = "redis"
    maxmemory: Memory = 384
    """Memory at which eviction starts; below the container's limit, since Redis itself needs memory too."""

    maxmemory_policy: Eviction = "allkeys-lru"
    settings: dict[Setting, str] = {}
    """Further directives, as in redis.conf."""

    health: StoreHealth = StoreHealth()
    limits: Limits = Limits.of("512MB")

    @model_validator(mode="after")
    def _maxmemory_fits(self) -> Redis:
        if self.maxmemory >= self.limits.memory:
            maxmemory, limit = format_memory(self.maxmemory), format_memory(self.limits.memory)
            raise ValueError(f"maxmemory below the memory limit of {limit}, not {maxmemory}")
        return self


class PostgresElsewhere(Model):
    """Address of an external Postgres server."""

    dsn: SecretRef
    """Secret with its address, as in DATA_SOURCE_NAME: `postgresql://user:password@host:5432/database`."""


class ExternalPostgres(Model):
    """A Postgres server that somebody else runs; only its exporter runs here."""

    external: PostgresElsewhere


class RedisElsewhere(Model):
    """Address of an external Redis server."""

    address: Address
    """Host and port, as in REDIS_ADDR: `host.docker.internal:6379` is the Docker host itself."""

    password: SecretRef | None = None
    """Secret with its password, if it has one."""


class ExternalRedis(Model):
    """A Redis server that somebody else runs; only its exporter runs here."""

    external: RedisElsewhere


def _whose(value: Any) -> str:
    """Return the tag of the union's member before validation, so that errors are reported for the intended one."""
    if isinstance(value, Mapping):
        return "external" if "external" in value else "own"
    return "external" if hasattr(value, "external") else "own"


AnyPostgres = Annotated[
    Annotated[Postgres, Tag("own")] | Annotated[ExternalPostgres, Tag("external")], Discriminator(_whose)
]
AnyRedis = Annotated[Annotated[Redis, Tag("own")] | Annotated[ExternalRedis, Tag("external")], Discriminator(_whose)]


class PostgresOverride(Model):
    """Overrides of one environment for Postgres."""

    image: ImageName | None = None
    shared_buffers: Memory | None = None
    max_connections: int | None = Field(default=None, ge=5, le=10000)
    wal_retention: Duration | None = None
    point_in_time: PointInTime | None = None
    settings: dict[Setting, str] = {}
    limits: Limits | None = None
    external: PostgresElsewhere | None = None
    """Use an external Postgres in this environment."""


class RedisOverride(Model):
    """Overrides of one environment for Redis."""

    image: ImageName | None = None
    maxmemory: Memory | None = None
    maxmemory_policy: Eviction | None = None
    settings: dict[Setting, str] = {}
    limits: Limits | None = None
    external: RedisElsewhere | None = None
    """Use an external Redis in this environment."""

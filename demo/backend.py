"""The backend command: reads its settings, waits for its stores, migrates if asked, serves."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psycopg
import redis
from starlette.applications import Starlette

from demo.api import Stores, build_app
from demo.config import ConfigError, Environment
from demo.jobs import Queues, RedisJobs
from demo.metrics import BackendMetrics
from demo.migrate import MigrationError, migrate_database
from demo.payments import Payments
from demo.polls import PostgresPolls, RedisPollCache
from demo.serve import leave_on_sigterm, log_as_json, serve
from demo.stores import (
    Cache,
    Database,
    has_cache,
    has_database,
    ping_cache,
    ping_database,
    read_cache,
    read_database,
)
from demo.switches import ServerSettings, read_prefix, read_server
from demo.telegram import Telegram, read_telegram
from demo.waiting import NotThereError, wait_for

LOG = logging.getLogger("demo.backend")

USAGE = "usage: python -m demo backend [--migrate]\n"

SECRETS = ("APP_KEY", "JWT_SECRET", "SENTRY_DSN", "TELEGRAM_BOT_TOKEN")
"""Secrets that the seeds' backends want. The demo only tells by name which it was given."""

KPI_SETS = ("polls", "love-parser", "none")


@dataclass(frozen=True)
class BackendSettings:
    """What the environment says. Times are in seconds; a store is None where nothing names one."""

    server: ServerSettings
    database: Database | None
    cache: Cache | None
    telegram: Telegram | None
    secrets: tuple[str, ...]
    prefix: str
    kpis: str
    most_connections: int
    wait: int
    run_migrations: bool
    fail_migration: bool


def read_settings(environment: Environment, migrate: bool = False) -> BackendSettings:
    """Read everything the backend needs. Raises ConfigError with all problems at once."""
    settings = BackendSettings(
        database=read_database(environment) if has_database(environment) else None,
        cache=read_cache(environment) if has_cache(environment) else None,
        telegram=read_telegram(environment),
        secrets=tuple(name for name in SECRETS if environment.secret_if_set(name)),
        server=read_server(environment, port=3333),
        prefix=read_prefix(environment),
        kpis=environment.choice("DEMO_KPIS", KPI_SETS),
        most_connections=environment.number("DATABASE_POOL_MAX", 10, 1, 100),
        wait=environment.number("WAIT_SECONDS", 60, 1, 3600),
        run_migrations=environment.flag("RUN_MIGRATIONS") or migrate,
        fail_migration=environment.flag("DEMO_MIGRATION_FAIL"),
    )
    if settings.run_migrations and settings.database is None:
        environment.problems.append("migrations are wanted, but neither DATABASE_URL nor DATABASE_HOST is set")
    if settings.kpis == "love-parser" and settings.cache is None:
        environment.problems.append(
            "DEMO_KPIS is 'love-parser', whose queues are in Redis, but REDIS_URL or REDIS_HOST is not set"
        )
    environment.check()
    return settings


def wait_for_stores(settings: BackendSettings) -> None:
    """Return once the stores that there are answer. Raises NotThereError when one of them does not in time."""
    if database := settings.database:
        wait_for(
            f"Postgres at {database.label}",
            lambda: ping_database(database),
            psycopg.Error,
            settings.wait,
            LOG.warning,
        )
    if cache := settings.cache:
        wait_for(f"Redis at {cache.label}", lambda: ping_cache(cache), redis.RedisError, settings.wait, LOG.warning)


def run(settings: BackendSettings) -> int:
    """Wait for the stores, migrate if wanted, serve until SIGTERM.

    Raises NotThereError or MigrationError when the backend must not start.
    """
    wait_for_stores(settings)
    if settings.run_migrations and settings.database:
        migrate_database(settings.database, LOG.info, settings.fail_migration)
    metrics = BackendMetrics(settings.prefix, polls=settings.kpis == "polls")
    polls = PostgresPolls(settings.database, settings.most_connections) if settings.database else None
    cache = RedisPollCache(settings.cache) if settings.cache else None
    jobs = RedisJobs(cache.client) if cache and settings.kpis == "love-parser" else None
    queues = Queues(jobs, metrics.registry) if jobs else None
    payments = Payments(jobs, metrics.registry) if jobs else None
    telegram = settings.telegram.ping if settings.telegram else None

    @asynccontextmanager
    async def open_stores(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if polls:
                await stack.enter_async_context(polls.pool)
            if cache:
                await stack.enter_async_context(cache.client)
            await stack.enter_async_context(metrics.node.lag.watched())
            if queues:
                await stack.enter_async_context(queues.working())
            yield

    LOG.info("backend %s on port %s", settings.server.release, settings.server.port)
    stores = Stores(polls, cache, queues, payments, telegram, settings.secrets)
    return serve(build_app(stores, settings.server, metrics, open_stores), settings.server)


def main(argv: Sequence[str]) -> int:
    """Run the backend; with `--migrate` it brings the schema up to date first, like an entrypoint script.

    Returns 0 after SIGTERM, 1 when it could not start, 2 on bad settings.
    """
    if list(argv) not in ([], ["--migrate"]):
        sys.stderr.write(USAGE)
        return 2
    leave_on_sigterm()
    log_as_json()
    try:
        return run(read_settings(Environment(os.environ), migrate=bool(argv)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (NotThereError, MigrationError) as error:
        sys.stderr.write(f"{error}\n")
        return 1

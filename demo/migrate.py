"""Database migrations: the files of `demo/migrations`, in order, each in a transaction of its own.

Which have run stands in `adonis_schema`, with the columns that AdonisJS (the seed's framework) gives it.
An advisory lock makes two migrations at once safe: the second waits, then finds nothing left to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Literal

from demo.config import ConfigError, Environment
from demo.serve import leave_on_sigterm
from demo.stores import Database, ping_database, read_database
from demo.waiting import NotThereError, reason_of, wait_for

FOLDER = Path(__file__).resolve().parent / "migrations"

LOCK = 1_835_623_282
"""The advisory lock's number; any would do as long as it stays the same in every release."""

VERSION_TABLE = SQL(
    """create table if not exists adonis_schema (
        id serial primary key,
        name varchar(255) not null unique,
        batch integer not null,
        migration_time timestamptz not null default now()
    )"""
)


class MigrationError(Exception):
    """One migration could not be applied; what ran before it stays, it and what follows it does not."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema: its file's name without the ending, and its SQL."""

    name: str
    sql: str


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return the migrations in the order of their names."""
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))]


def migrate(
    connection: psycopg.Connection,
    migrations: Sequence[Migration],
    say: Callable[[str], None],
    lock_seconds: int = 60,
) -> int:
    """Apply what is missing over a connection in autocommit mode and return how many that were.

    Waits at most `lock_seconds` for another migration that is under way. Raises MigrationError with the
    migration's name and the database's reason.
    """
    connection.execute(SQL("set lock_timeout = {}").format(Literal(f"{lock_seconds}s")))
    try:
        connection.execute("select pg_advisory_lock(%s)", [LOCK])
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(f"another migration has held the lock for more than {lock_seconds} s") from error
    try:
        return _apply_missing(connection, migrations, say)
    finally:
        # A connection that the server closed has given up its lock with it.
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [LOCK])


def _apply_missing(connection: psycopg.Connection, migrations: Sequence[Migration], say: Callable[[str], None]) -> int:
    connection.execute(VERSION_TABLE)
    rows = connection.execute("select name, batch from adonis_schema").fetchall()
    applied = {str(name) for name, _ in rows}
    batch = max((int(number) for _, number in rows), default=0) + 1
    if unknown := sorted(applied - {migration.name for migration in migrations}):
        # A release that was rolled back: its schema stays, and this version must still start.
        say(f"the database has migrations that this release does not know: {', '.join(unknown)}")
    missing = [migration for migration in migrations if migration.name not in applied]
    for migration in missing:
        try:
            with connection.transaction():
                # The files are ours and part of the image, so their text is SQL, not data.
                connection.execute(migration.sql.encode())
                connection.execute("insert into adonis_schema (name, batch) values (%s, %s)", [migration.name, batch])
        except psycopg.Error as error:
            raise MigrationError(f"migration {migration.name} failed: {reason_of(error)}") from error
        say(f"applied {migration.name}")
    return len(missing)


def migrate_database(database: Database, say: Callable[[str], None], fail: bool = False) -> int:
    """Connect, apply what is missing and return how many that were.

    `fail` adds one migration that cannot work. Raises MigrationError.
    """
    migrations = read_migrations()
    if fail:
        migrations.append(Migration("9999_asked_to_fail", "select 1 / 0"))
    try:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            return migrate(connection, migrations, say)
    except psycopg.OperationalError as error:
        raise MigrationError(f"{database.label}: {reason_of(error)}") from error


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(_argv: Sequence[str]) -> int:
    """Run the missing migrations. Returns 0 when all are applied, 1 on failure, 2 on bad settings."""
    leave_on_sigterm()
    environment = Environment(os.environ)
    database = read_database(environment)
    limit = environment.number("WAIT_SECONDS", 60, 1, 3600)
    fail = environment.flag("DEMO_MIGRATION_FAIL")
    try:
        environment.check()
        wait_for(f"Postgres at {database.label}", lambda: ping_database(database), psycopg.Error, limit, _say)
        count = migrate_database(database, _say, fail)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (NotThereError, MigrationError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say(f"{count} applied, the schema is up to date" if count else "the schema is up to date")
    return 0

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest

from demo.migrate import Migration, MigrationError, migrate

ONE, TWO = Migration("0001_one", "create one"), Migration("0002_two", "create two")


class FakeConnection:
    """The driver's connection: remembers what ran, and takes back what a failed transaction did."""

    def __init__(self, applied: list[tuple[str, int]] | None = None, locked: bool = False) -> None:
        self.rows = applied or []
        self.ran: list[str] = []
        self.locked = locked
        self.closed = False

    def execute(self, query: Any, params: list[Any] | None = None) -> FakeConnection:
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string()
        if "pg_advisory_lock" in text and self.locked:
            raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
        if text == "broken":
            raise psycopg.errors.SyntaxError('syntax error at or near "broken"\nLINE 1: broken')
        if text.startswith("insert into adonis_schema") and params:
            self.rows.append((params[0], params[1]))
        self.ran.append(text)
        return self

    def fetchall(self) -> list[tuple[str, int]]:
        return list(self.rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        rows, ran = list(self.rows), list(self.ran)
        try:
            yield
        except psycopg.Error:
            self.rows, self.ran = rows, ran
            raise


def run(connection: FakeConnection, *migrations: Migration) -> tuple[int, list[str]]:
    said: list[str] = []
    count = migrate(cast(psycopg.Connection, connection), migrations, said.append)
    return count, said


def test_missing_migrations_are_applied_in_order_and_said() -> None:
    connection = FakeConnection()
    assert run(connection, ONE, TWO) == (2, ["applied 0001_one", "applied 0002_two"])
    assert connection.rows == [("0001_one", 1), ("0002_two", 1)]
    assert connection.ran.index("create one") < connection.ran.index("create two")


def test_what_has_run_does_not_run_again_and_new_ones_are_a_new_batch() -> None:
    connection = FakeConnection(applied=[("0001_one", 4)])
    assert run(connection, ONE, TWO) == (1, ["applied 0002_two"])
    assert connection.rows[-1] == ("0002_two", 5)
    assert run(connection, ONE, TWO) == (0, [])


def test_a_failing_migration_names_itself_keeps_what_ran_before_and_stops_what_follows() -> None:
    connection = FakeConnection()
    with pytest.raises(MigrationError, match=r'^migration 0002_bad failed: syntax error at or near "broken"$'):
        run(connection, ONE, Migration("0002_bad", "broken"), Migration("0003_three", "create three"))
    assert connection.rows == [("0001_one", 1)]
    assert "create three" not in connection.ran
    assert connection.ran[-1] == "select pg_advisory_unlock(%s)"


def test_an_older_release_starts_on_a_newer_schema_and_says_so() -> None:
    connection = FakeConnection(applied=[("0001_one", 1), ("0009_later", 2)])
    assert run(connection, ONE) == (
        0,
        ["the database has migrations that this release does not know: 0009_later"],
    )

"""Data stores that somebody else runs."""

import pulumi
import pytest

from components.stores.external import external_postgres, external_redis
from settings.stores import ExternalPostgres, ExternalRedis
from tests.support.recording import record

POSTGRES = ExternalPostgres.model_validate({"external": {"dsn": "database-url"}})
REDIS = ExternalRedis.model_validate({"external": {"address": "host.docker.internal:6379", "password": "redis-key"}})


def opened(make, secrets):
    """Return a connection and its files' content, and whether each is secret."""
    found: dict[str, tuple[str, bool]] = {}
    connections = []

    def program():
        connection = make()
        connections.append(connection)
        for name, text in connection.files.items():
            pulumi.Output.all(text, text.is_secret()).apply(lambda pair, name=name: found.update({name: tuple(pair)}))

    record(program, secrets=secrets)
    return connections[0], found


def test_the_exporters_address_is_taken_apart_into_the_files_that_it_reads():
    dsn = "postgresql://user:p%40ss@host:5433/twitch_polls?sslmode=disable"
    connection, files = opened(lambda: external_postgres(POSTGRES), {"database-url": dsn})
    assert files == {
        "database-url": (dsn, True),
        "exporter-uri": ("host:5433/twitch_polls?sslmode=disable", True),
        "exporter-user": ("user", True),
        "exporter-password": ("p@ss", True),
    }
    assert connection.env == {}
    assert not connection.ready


def test_a_secret_that_is_no_address_is_told_without_its_value():
    with pytest.raises(pulumi.RunError, match="database-url is not the address of a Postgres") as caught:
        opened(lambda: external_postgres(POSTGRES), {"database-url": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_redis_elsewhere_is_told_by_host_and_port_and_its_password_is_a_file():
    connection, files = opened(lambda: external_redis(REDIS), {"redis-key": "hush"})
    assert connection.env == {"REDIS_HOST": "host.docker.internal", "REDIS_PORT": "6379"}
    assert files == {"redis-password": ("hush", True), "redis-url": ("redis://:hush@host.docker.internal:6379", True)}
    assert connection.reaches_host


def test_a_redis_without_a_password_has_no_secret_file():
    open_one = ExternalRedis.model_validate({"external": {"address": "cache.example:6379"}})
    connection, files = opened(lambda: external_redis(open_one), {})
    assert files == {}
    assert connection.env["REDIS_URL"] == "redis://cache.example:6379"
    assert not connection.reaches_host

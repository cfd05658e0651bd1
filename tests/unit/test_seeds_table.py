"""docs/seeds.md: every figure of the seeds is in it and stands where it says."""

from collections import Counter

import pytest

from tests.seeds.inspection import shows
from tests.seeds.table import Row, rows

ROWS = rows()

ROWS_OF = {"dev": 38, "love-parser": 15, "pivotal-flow": 32, "dating-app": 40}
"""Stack → how many figures the documents give, so that a row that goes is missed; the snapshots have the values."""


def test_every_figure_of_the_documents_has_its_row():
    assert Counter(row.stack for row in ROWS) == ROWS_OF
    assert len({(row.stack, row.path, row.value) for row in ROWS}) == len(ROWS)


def test_every_figure_stands_where_the_table_says():
    wrong = [f"{row}: {row.file}: {row.path}" for row in ROWS if not stands(row)]
    assert wrong == []


def stands(row: Row) -> bool:
    carried = row.carried
    if isinstance(carried, dict):
        return row.value in carried
    return carried == float(row.value) if isinstance(carried, int | float) else carried == row.value


ATTRIBUTES = {
    "Args": ["--storage.tsdb.retention.time=30d", "-c", "max_connections=200"],
    "Config": {"Env": ["PORT=3000"], "Healthcheck": {"Interval": 30 * 10**9}, "User": "nodejs:1001"},
    "HostConfig": {
        "Memory": 2 * 1024**3,
        "NanoCpus": 2 * 10**9,
        "Init": True,
        "PortBindings": {"61002/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5533"}]},
    },
    "Mounts": [{"Type": "volume", "Destination": "/prometheus", "RW": True}],
}
FILES = {"/etc/x": "global:\n  scrape_interval: 15s\njobs: [backend:3000]\n"}


def show(check: str) -> bool:
    return shows(check, ATTRIBUTES, FILES.__getitem__, 100)


@pytest.mark.parametrize(
    ("start", "there", "not_there"),
    [
        ("Args has", "--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.time=3"),
        ("Args has", "max_connections=200", "connections=200"),
        ("Config.Healthcheck.Interval =", "30s", "3s"),
        ("Config.User =", "nodejs:1001", "nodejs"),
        ("HostConfig.Memory =", "2GB", "1GB"),
        ("HostConfig.PortBindings host", "5433", "5533"),
        ("Mounts has", "/prometheus", "/prom"),
        ("file /etc/x has", "global: scrape_interval: 15s", "scrape_interval: 1"),
    ],
)
def test_a_check_sees_what_is_there_and_nothing_else(start, there, not_there):
    assert show(f"{start} {there}")
    assert not show(f"{start} {not_there}")


def test_a_check_that_is_none_and_a_field_that_is_not_there_are_errors():
    with pytest.raises(ValueError, match="no check"):
        show("HostConfig.Memory is 2GB")
    with pytest.raises(KeyError):
        show("HostConfig.Memmory = 2GB")

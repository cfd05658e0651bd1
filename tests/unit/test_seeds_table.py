"""docs/seeds.md: every figure of the seeds is in it, stands where it says, and its check asks about that figure."""

import re
from collections import Counter

import pytest
import yaml

from settings.units import parse_duration, parse_memory
from tests.seeds.inspection import shows
from tests.seeds.table import CHECKOUT, Row, rows

ROWS = rows()

ROWS_OF = {"dev": 38, "love-parser": 15, "pivotal-flow": 32, "dating-app": 40}
"""Stack → how many figures the documents give, so that a row that goes is missed; the snapshots have the values."""

FIELDS = {
    "cpus": "HostConfig.NanoCpus = ",
    "memory": "HostConfig.Memory = ",
    "reserved": "HostConfig.MemoryReservation = ",
    "user": ("Config.User = ", "Config.Env has "),
    "restart": "HostConfig.RestartPolicy.Name = ",
    "interval": "Config.Healthcheck.Interval = ",
    "health_interval": "Config.Healthcheck.Interval = ",
    "timeout": "Config.Healthcheck.Timeout = ",
    "start_period": "Config.Healthcheck.StartPeriod = ",
    "retries": "Config.Healthcheck.Retries = ",
    "port": "Config.Healthcheck.Test has ",
    "log_max_files": "HostConfig.LogConfig.Config.max-file = ",
}
"""Last part of a path → the field that its check must ask about."""


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


def test_every_row_reads_a_file_that_its_stack_is_made_from():
    for row in ROWS:
        product = yaml.safe_load((CHECKOUT / f"Pulumi.{row.stack}.yaml").read_text())["config"]["dockyard:product"]
        assert row.file in {product, f"Pulumi.{row.stack}.yaml", "settings/names.py"}, row


def test_every_check_asks_about_the_figure_of_its_row():
    wrong = [f"{row}: {row.checks}" for row in ROWS if not asks_about_its_figure(row)]
    assert wrong == []


def asks_about_its_figure(row: Row) -> bool:
    if "publish." in row.path or row.path in ("edge.http", "edge.https"):
        return row.checks == (f"HostConfig.PortBindings host {row.value}",) and row.container == "traefik"
    if row.path == "jobs":
        return row.container == row.value
    asked = row.checks[0].startswith(FIELDS.get(row.path.rsplit(".", 1)[-1], ""))
    text = " ".join(row.checks)
    return asked and any(re.search(rf"(?<!\w){re.escape(found)}(?!\w)", text) for found in spellings(row.value))


def spellings(value: str) -> set[str]:
    """Return how a value may be spelled where a container shows it."""
    found = {value}
    if re.fullmatch(r"\d+[MG]B", value):
        found |= {f"{parse_memory(value)}MB"}
    if re.fullmatch(r"\d+d", value):
        found |= {str(parse_duration(value) // 60)}
    if value.isdigit():
        found |= {str(int(value) * 10**9)}
    return found


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

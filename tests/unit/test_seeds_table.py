"""docs/seeds.md: every figure of the seeds is in it, stands where it says, and its check asks about that figure."""

import re
from pathlib import Path

import pytest
import yaml

from settings.loader import load, read_stack_file
from settings.units import parse_duration, parse_memory
from tests.seeds.inspection import shows
from tests.seeds.table import CHECKOUT, Row, rows

ROWS = rows()

HEALTH = "http interval timeout start_period retries"
FIGURES = {
    # Written down from the documents, not from the table: a row that goes is missed.
    "dev": {
        "services.backend.limits": {"cpus": "2", "memory": "2GB"},
        "services.backend.health": dict(zip(HEALTH.split(), ["/health/ready", "30s", "10s", "40s", "3"], strict=True)),
        "services.backend": {
            "user": "nodejs:1001",
            "port": "3333",
            "metrics": "/metrics",
            "restart": "unless-stopped",
        },
        "services.frontend.limits": {"cpus": "1", "memory": "1GB"},
        "services.frontend.health": dict(zip(HEALTH.split(), ["/health", "30s", "10s", "40s", "3"], strict=True)),
        "services.frontend": {"port": "3000", "metrics": "/metrics", "restart": "unless-stopped"},
        "postgres.limits": {"cpus": "2", "memory": "4GB"},
        "postgres": {
            "database": "twitch_polls",
            "shared_buffers": "1GB",
            "max_connections": "200",
            "wal_retention": "7d",
        },
        "redis.limits": {"cpus": "1", "memory": "512MB"},
        "redis": {"maxmemory_policy": "allkeys-lru"},
        "monitoring.prometheus": {"scrape_interval": "15s", "retention": "30d"},
        "monitoring.grafana": {"admin_user": "admin"},
        "docker": {"log_max_files": "14"},
        "dockyard:publish": {"backend": "3333", "frontend": "3000", "prometheus": "9090", "alertmanager": "9093"},
    },
    "love-parser": {
        "services.backend": {"port": "3000", "metrics": "/metrics"},
        "services.backend.health": {"http": "/health/ready"},
        "monitoring.prometheus": {"scrape_interval": "15s", "retention": "30d"},
        "monitoring.grafana": {
            "admin_user": "admin",
            "datasource_uid": "love-prom",
            "loki_datasource_uid": "love-loki",
        },
        "monitoring.logs.loki": {"retention": "30d"},
        "publish": {"grafana": "3001", "backend": "3000", "alertmanager": "9093"},
        "TOOLS": {"postgres-exporter": "9187", "redis-exporter": "9121", "node-exporter": "9100"},
    },
    "pivotal-flow": {
        "services.backend": {"port": "3000", "user": "nodeuser", "metrics": "/metrics"},
        "services.backend.health": {"http": "/health", "interval": "10s", "timeout": "5s", "retries": "6"},
        "services.backend.env": {
            "PORT": "3000",
            "NODE_ENV": "production",
            "JWT_ACCESS_TTL": "15m",
            "JWT_REFRESH_TTL": "7d",
            "RATE_LIMIT_DEFAULT": "100",
            "RATE_LIMIT_AUTHENTICATED": "1000",
            "DB_TRACE": "false",
            "CACHE_TTL_SECS": "60",
            "POSTGRES_USER": "pivotal",
            "POSTGRES_DB": "pivotal",
            "POSTGRES_HOST": "postgres",
            "POSTGRES_PORT": "5432",
        },
        "services.frontend": {"port": "8080"},
        "": {"jobs": "migrate"},
        "postgres": {"user": "pivotal", "database": "pivotal"},
        "monitoring.prometheus": {"scrape_interval": "15s", "infrastructure_interval": "30s"},
        "monitoring.grafana": {"admin_user": "admin"},
        "publish": {
            "backend": "3000",
            "frontend": "8080",
            "postgres": "5433",
            "redis": "6379",
            "prometheus": "9090",
            "grafana": "3001",
        },
    },
    "dating-app": {
        "edge.limits": {"memory": "256MB", "reserved": "128MB"},
        "postgres.limits": {"memory": "512MB", "reserved": "256MB"},
        "services.bot.limits": {"memory": "512MB", "reserved": "256MB"},
        "services.webapp.limits": {"memory": "128MB", "reserved": "64MB"},
        "monitoring.prometheus.limits": {"memory": "512MB", "reserved": "256MB"},
        "monitoring.grafana.limits": {"memory": "512MB", "reserved": "256MB"},
        "monitoring.logs.loki.limits": {"memory": "512MB", "reserved": "256MB"},
        "monitoring.logs.collector.limits": {"memory": "256MB", "reserved": "128MB"},
        "monitoring.exporters.cadvisor": {"memory": "256MB", "reserved": "128MB"},
        "monitoring.exporters.node": {"memory": "128MB", "reserved": "64MB"},
        "monitoring.exporters.postgres": {"memory": "128MB", "reserved": "64MB"},
        "edge": {"http": "80", "https": "443", "health_interval": "10s"},
        "postgres.health": {"interval": "10s"},
        "services.bot.health": {"interval": "30s"},
        "services.webapp.health": {"interval": "30s"},
        "services.webapp": {"port": "80"},
        "monitoring.prometheus": {"scrape_interval": "15s", "retention": "30d"},
        "monitoring.logs.loki": {"retention": "30d"},
        "dockyard:publish": {"webapp": "8080"},
        "publish": {
            "postgres": "5432",
            "grafana": "3000",
            "prometheus": "9090",
            "loki": "3100",
            "cadvisor": "8081",
            "node-exporter": "9100",
            "postgres-exporter": "9187",
        },
    },
}

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
    expected = {
        (stack, f"{section}.{name}".lstrip("."), value)
        for stack, sections in FIGURES.items()
        for section, figures in sections.items()
        for name, value in figures.items()
    }
    assert {(row.stack, row.path, row.value) for row in ROWS} == expected


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


@pytest.mark.parametrize(
    ("stack", "tunnel", "host"),
    [
        ("staging", "tumulte-monitoring-staging", "monitoring-staging.tumulte.app"),
        ("production", "tumulte-monitoring-prod", "monitoring.tumulte.app"),
    ],
)
def test_tumultes_other_environments_are_what_the_document_says(stack, tunnel, host):
    settings = load(read_stack_file(CHECKOUT, stack), stack, checkout=CHECKOUT, preview=True)
    assert (settings.stack.tunnel.name, settings.stack.tunnel.hostname) == (tunnel, host)
    assert settings.product.monitoring.grafana.root_url == f"https://{host}"
    joined = settings.product.networks["dokploy-network"]
    assert set(joined) == {"prometheus", "node-exporter", "cadvisor", "postgres-exporter", "redis-exporter"}
    assert settings.product.publish == {}, "Grafana is reached by the tunnel, Prometheus and Alertmanager not at all"


def test_no_product_stack_but_tumultes_dev_checks_health_at_another_interval_than_its_seed():
    for file in sorted(Path(CHECKOUT).glob("Pulumi.*.yaml")):
        name = file.name.split(".")[1]
        settings = load(read_stack_file(CHECKOUT, name), name, checkout=CHECKOUT, preview=True)
        assert (settings.product.docker.health_interval is None) == (name != "dev"), name


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
    "check",
    [
        "Args has --storage.tsdb.retention.time=30d",
        "Args has max_connections=200",
        "Config.Env has PORT=3000",
        "Config.Healthcheck.Interval = 30s",
        "Config.User = nodejs:1001",
        "HostConfig.Memory = 2GB",
        "HostConfig.NanoCpus = 2000000000",
        "HostConfig.PortBindings host 5433",
        "Mounts has /prometheus",
        "file /etc/x has global: scrape_interval: 15s",
        "file /etc/x has backend:3000",
    ],
)
def test_a_check_sees_what_is_there(check):
    assert show(check)


@pytest.mark.parametrize(
    "check",
    [
        "Args has --storage.tsdb.retention.time=3",
        "Args has connections=200",
        "Args has max_connections=20",
        "Config.Env has PORT=300",
        "Config.Healthcheck.Interval = 3s",
        "Config.User = nodejs",
        "HostConfig.Memory = 1GB",
        "HostConfig.NanoCpus = 2",
        "HostConfig.PortBindings host 5533",
        "Mounts has /prom",
        "file /etc/x has scrape_interval: 1",
    ],
)
def test_a_check_does_not_see_what_is_not_there(check):
    assert not show(check)


def test_a_check_that_is_none_and_a_field_that_is_not_there_are_errors():
    with pytest.raises(ValueError, match="no check"):
        show("HostConfig.Memory is 2GB")
    with pytest.raises(KeyError):
        show("HostConfig.Memmory = 2GB")

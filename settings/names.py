"""Names on a stack's networks that Dockyard itself uses, and the ports behind them."""

from __future__ import annotations

STORES = {"postgres": 5432, "redis": 6379}

TOOLS = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
    "loki": 3100,
    "victorialogs": 9428,
    "vmalert": 8880,
    "cadvisor": 8080,
    "node-exporter": 9100,
    "postgres-exporter": 9187,
    "redis-exporter": 9121,
    "blackbox-exporter": 9115,
}
"""Tools that may be published on the host's loopback address, by the port they listen on."""

ADMIN_PORT = 9180
"""The edge proxy's own port, for health and metrics. No service may listen on it."""

POINT_IN_TIME = "backup-pgbackrest"
"""The container that takes base backups of Postgres and runs point-in-time restores."""

RESERVED_NAMES = (
    *(*STORES, *TOOLS, "alertmanager-2", "alertmanager-3"),
    *("traefik", "edge", "collector", "otel-collector", "cloudflared"),
    *("backup-postgres", "backup-redis", "backup-monitoring", POINT_IN_TIME),
)
"""Names that no service and no job of a product may have."""

METRICS_FOLDER = "/metrics/written"
"""Mount point of the volume for textfile metrics, in containers that mount it: runtime/textfile.py."""

METRICS_WRITER = "metrics-writer"
"""The one-shot container that prepares that volume. It has exited and still mounts it: `./dockyard` copies files in
through it."""

STAGE = "/dockyard/files"
"""Folder in which a writer container finds configuration files: runtime/config_files.py."""

PACKED = "/dockyard/packed"
"""Archive with further files, which the writer unpacks into STAGE."""

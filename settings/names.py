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
"""The edge proxy's own: health, metrics. No service may listen there."""

KIND_LABEL = "dockyard.volume"
DATA = "data"
"""The label of a volume, and its value where the content cannot be made again."""

POINT_IN_TIME = "backup-pgbackrest"
"""The container that takes base backups of Postgres, and that a restore to a point in time runs in."""

TAKEN = (
    *(*STORES, *TOOLS, "alertmanager-2", "alertmanager-3"),
    *("traefik", "edge", "collector", "otel-collector", "cloudflared"),
    *("backup-postgres", "backup-redis", "backup-monitoring", POINT_IN_TIME),
)
"""Names that no service and no job of a product may take."""

METRICS_FOLDER = "/metrics/written"
"""Where a container sees the folder for files of metrics, if it mounts it: components/metrics_files.py."""

METRICS_WRITER = "metrics-writer"
"""The container that opened the folder. It has ended, and still holds the volume: `./dockyard` puts files in by it."""

STAGE = "/dockyard/files"
"""Where a writer of configuration files finds them: components/config_volume.py."""

PACKED = "/dockyard/packed"
"""Where it finds further ones, as one archive that is unpacked into STAGE."""

"""The files that Loki and the collector run on."""

from __future__ import annotations

from typing import Any

from settings.units import spell_duration

LOKI_PORT = 3100
GRPC_PORT = 9095
LOKI_FOLDER = "/loki"

METRICS_PORT = 8888
HEALTH_PORT = 13133
COLLECTOR_FOLDER = "/var/lib/otelcol"
CONTAINERS_FOLDER = "/var/lib/docker/containers"
"""Where the collector sees the folder that the engine keeps its containers in."""

STREAM_LABELS = ("product", "environment", "service")
"""Labels that lines are found by in Loki, after the containers' labels `dockyard.<name>`. Few values each: every
combination is a stream of its own, with chunks of its own."""

PINO_LEVELS = {"trace": 10, "debug": 20, "info": 30, "warn": 40, "error": 50, "fatal": 60}
"""Pino's numbers (and so Fastify's and AdonisJS'). Levels that are words Loki finds in JSON and logfmt by itself."""

LONGEST_LINE = 256 * 1024
"""Bytes; Loki's own limit. What is longer is cut there."""


def loki_config(retention: int, memory: int) -> dict[str, Any]:
    """Return Loki's configuration as one process with its files on a volume.

    `retention` is in seconds. `memory`, in MiB, is the container's limit: caches and the replay of the log of
    unwritten chunks are kept to shares of it, where Loki's own defaults are made for machines of many GB.
    """
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        # Its log is collected as well; at `info` every query that Grafana makes would be a line in it.
        "server": {"http_listen_port": LOKI_PORT, "grpc_listen_port": GRPC_PORT, "log_level": "warn"},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": LOKI_FOLDER,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": f"{LOKI_FOLDER}/chunks",
                    "rules_directory": f"{LOKI_FOLDER}/rules",
                }
            },
        },
        "schema_config": {
            "configs": [
                {
                    # Never to be changed where there are logs: a new schema is a further entry, from a later day on.
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": {
            # Ready at once: the wait is for other members of a ring, and there are none.
            "lifecycler": {"min_ready_duration": "0s"},
            "wal": {"replay_memory_ceiling": f"{memory // 4}MB"},
        },
        "compactor": {"retention_enabled": True, "delete_request_store": "filesystem"},
        "chunk_store_config": {"chunk_cache_config": _cache(memory // 16)},
        "query_range": {"results_cache": {"cache": _cache(memory // 16)}},
        "querier": {"max_concurrent": 2},
        # Itself: by default it looks for a scheduler in a ring, for the first ten seconds in vain.
        "frontend_worker": {"frontend_address": f"127.0.0.1:{GRPC_PORT}"},
        "limits_config": {
            "retention_period": spell_duration(retention),
            # Lines that waited in the engine's files while the pipeline was down are welcome as long as they are kept.
            "reject_old_samples_max_age": spell_duration(retention),
            "max_line_size": f"{LONGEST_LINE // 1024}KB",
            "max_line_size_truncate": True,
            # Twice Loki's own: after a pause the collector catches up at the speed of the disk.
            "ingestion_rate_mb": 8,
            "ingestion_burst_size_mb": 16,
            "max_query_parallelism": 4,
            "discover_service_name": [],
            "otlp_config": {
                "resource_attributes": {
                    "ignore_defaults": True,
                    "attributes_config": [{"action": "index_label", "attributes": list(STREAM_LABELS)}],
                }
            },
        },
    }


def _cache(megabytes: int) -> dict[str, Any]:
    return {"embedded_cache": {"enabled": True, "max_size_mb": max(8, megabytes)}}


def collector_config(stack: str, loki: str) -> dict[str, Any]:
    """Return the collector's configuration: lines of one stack's containers, out of the engine's files, to Loki.

    `loki` is host and port. No line is lost when the collector is killed: what has been read is in the queue on the
    volume before the position in the file is, and stays there until Loki has taken it. It may be sent twice then,
    with the same time: Loki shows it once.
    """
    return {
        "extensions": {
            # `recreate`: files that a power cut broke are made anew, and everything is read once more.
            "file_storage": {"directory": COLLECTOR_FOLDER, "recreate": True},
            # The health check reads the answer as a configuration, see HEALTH_COMMAND in components/log_pipeline.py.
            "health_check": {"endpoint": f"127.0.0.1:{HEALTH_PORT}", "response_body": {"healthy": "{}"}},
        },
        "receivers": {
            "file_log": {
                # Rotated ones too: they may hold what was written while the collector was down.
                "include": [f"{CONTAINERS_FOLDER}/*/*-json.log*"],
                "exclude": [f"{CONTAINERS_FOLDER}/*/*.gz"],
                "start_at": "beginning",
                "poll_interval": "1s",
                "max_log_size": f"{2 * LONGEST_LINE // 1024}KiB",
                "storage": "file_storage",
                "operators": _operators(stack),
            }
        },
        "processors": {
            # Loki would keep the time of reading beside each line: another one when a line is sent twice, and so
            # another line.
            "transform": {"log_statements": ["set(log.observed_time_unix_nano, 0)"]},
        },
        "exporters": {
            "otlp_http": {
                "endpoint": f"http://{loki}/otlp",
                # Both run on one machine.
                "compression": "none",
                # For ever: a line is given up only where Loki refuses it.
                "retry_on_failure": {"initial_interval": "1s", "max_interval": "10s", "max_elapsed_time": "0s"},
                "sending_queue": {
                    "storage": "file_storage",
                    # One at a time keeps the lines in order.
                    "num_consumers": 1,
                    "sizer": "bytes",
                    # On the volume. Where it is full nothing more is read: the engine's own files wait.
                    "queue_size": 32 * 1024 * 1024,
                    "block_on_overflow": True,
                    # Loki takes 4 MiB at once.
                    "batch": {"flush_timeout": "1s", "min_size": 512 * 1024, "max_size": 1024 * 1024},
                },
            }
        },
        "service": {
            "extensions": ["file_storage", "health_check"],
            "telemetry": {
                # Where Loki does not answer, the tries say so at `info`.
                "logs": {"level": "info", "encoding": "json"},
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS_PORT}}}}]  # noqa: S104 - Prometheus comes from another container
                },
            },
            "pipelines": {"logs": {"receivers": ["file_log"], "processors": ["transform"], "exporters": ["otlp_http"]}},
        },
    }


def _operators(stack: str) -> list[dict[str, Any]]:
    """Return what is done to each line of Docker's json-file driver: {"log", "stream", "attrs", "time"}.

    `attrs` are the labels that the driver's option `labels` names, see components/container.py.
    """
    labels = 'attributes.attrs["dockyard.{}"]'
    return [
        {
            "type": "json_parser",
            "timestamp": {
                "parse_from": "attributes.time",
                "layout_type": "gotime",
                "layout": "2006-01-02T15:04:05.999999999Z07:00",
            },
        },
        {"type": "filter", "expr": f'attributes.attrs == nil or {labels.format("stack")} != "{stack}"'},
        {"type": "move", "from": "attributes.log", "to": "body"},
        *({"type": "move", "from": labels.format(name), "to": f"resource.{name}"} for name in STREAM_LABELS),
        # Tells replicas apart. No label: there is a new one with every release.
        {"type": "add", "field": "resource.container_id", "value": 'EXPR(attributes["log.file.name"][0:12])'},
        {"type": "add", "field": "attributes.source", "value": "EXPR(resource.container_id + attributes.stream)"},
        # The driver splits lines after 16 KB; only the last part ends with a line feed.
        {
            "type": "recombine",
            "combine_field": "body",
            "combine_with": "",
            "is_last_entry": 'body endsWith "\\n"',
            "source_identifier": "attributes.source",
            "max_log_size": f"{LONGEST_LINE // 1024}KiB",
            "force_flush_period": "5s",
        },
        {"type": "regex_replace", "field": "body", "regex": "\\r?\\n$", "replace_with": ""},
        {
            "type": "regex_parser",
            "if": 'body matches "^{.*\\"level\\":[1-6]0[,}]"',
            "regex": '"level":(?P<level>[1-6]0)[,}]',
            "severity": {
                "parse_from": "attributes.level",
                "preset": "none",
                "mapping": PINO_LEVELS,
                "overwrite_text": True,
            },
        },
        {"type": "retain", "fields": ["attributes.stream"]},
    ]

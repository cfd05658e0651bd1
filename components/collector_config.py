"""The file that the collector runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.log_parsing import statements
from components.stack_traces import SEAM, entry_start

METRICS_PORT = 8888
HEALTH_PORT = 13133
COLLECTOR_FOLDER = "/var/lib/otelcol"
CONTAINERS_FOLDER = "/var/lib/docker/containers"
"""Where the collector sees the folder that the engine keeps its containers in."""

LONGEST_LINE = 256 * 1024
"""Bytes; Loki's own limit, and well below VictoriaLogs'. What is longer is cut there."""

LONGEST_ENTRY = 4 * 1024 * 1024
"""Bytes in the engine's file, where each line of an entry carries its labels: what is longer than that is skipped."""

SUFFIX = "-[0-9a-f]{7}$"
"""What the engine puts behind the name of every container it makes, anew with each release."""

LABELS = ("product", "environment", "service")
"""Out of the containers' labels `dockyard.<name>`, which the log driver writes into each line."""


STREAM_LABELS = ("product", "environment", "service", "container")
"""Labels that lines are found by. Few values each: every combination is a stream of its own, which the store keeps
apart. So `container` is a container's name without what each release puts behind it; the whole name and the id stand
beside each line."""


@dataclass(frozen=True)
class LogReceiver:
    """Where the collector sends lines, by OTLP over HTTP."""

    endpoint: str
    """The address that `/v1/logs` is appended to."""

    headers: Mapping[str, str] = field(default_factory=dict)
    level: bool = False
    """The level goes beside the line as a field `level`, for stores that make none of OpenTelemetry's severity."""


def loki_receiver(address: str) -> LogReceiver:
    """Return Loki at host and port. Its own configuration says which fields are labels."""
    return LogReceiver(f"http://{address}/otlp")


def victorialogs_receiver(address: str) -> LogReceiver:
    """Return VictoriaLogs at host and port."""
    ignored = ("severity_number", "severity_text", "scope.name", "scope.version")
    headers = {"VL-Stream-Fields": ",".join(STREAM_LABELS), "VL-Ignore-Fields": ",".join(ignored)}
    return LogReceiver(f"http://{address}/insert/opentelemetry", headers, level=True)


def collector_config(stack: str, receiver: LogReceiver, redact: Sequence[str] = ()) -> dict[str, Any]:
    """Return the collector's configuration: lines of one stack's containers, out of the engine's files, to the store.

    `redact` are further patterns of what must not get there. No line is lost when the collector is killed: the
    position in a file is written down after the store has taken the lines before it. They may be sent twice then, with
    the same time: Loki shows them once, and queries of VictoriaLogs count `container_id` with `_time`.
    """
    config: dict[str, Any] = {
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
                "max_log_size": f"{LONGEST_ENTRY // 1024}KiB",
                "multiline": {"line_start_pattern": entry_start()},
                "storage": "file_storage",
                "operators": _operators(stack),
            }
        },
        "processors": {
            # Silent: a line that is not what it looked like is no error.
            "transform": {"error_mode": "silent", "log_statements": statements(redact, level=receiver.level)},
        },
        "exporters": {
            "otlp_http": {
                "endpoint": receiver.endpoint,
                **({"headers": dict(receiver.headers)} if receiver.headers else {}),
                # Both run on one machine.
                "compression": "none",
                # For ever: a line is given up only where the store refuses it.
                "retry_on_failure": {"initial_interval": "1s", "max_interval": "10s", "max_elapsed_time": "0s"},
                # Nothing waits here: a line counts as read when the store has it. What it has not is in the engine's
                # own files, which are as safe as a queue on the volume: and that loses lines when the collector is
                # killed while it takes up what it had in hand before.
                "sending_queue": {
                    "wait_for_result": True,
                    "block_on_overflow": True,
                    "num_consumers": 4,
                    "sizer": "bytes",
                    "queue_size": 32 * 1024 * 1024,
                    # Loki takes 4 MiB at once, VictoriaLogs more.
                    "batch": {"flush_timeout": "1s", "min_size": 0, "max_size": 1024 * 1024},
                },
            }
        },
        "service": {
            "extensions": ["file_storage", "health_check"],
            "telemetry": {
                # Where the store does not answer, the tries say so at `info`.
                "logs": {"level": "info", "encoding": "json"},
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS_PORT}}}}]  # noqa: S104 - Prometheus comes from another container
                },
            },
            "pipelines": {"logs": {"receivers": ["file_log"], "processors": ["transform"], "exporters": ["otlp_http"]}},
        },
    }
    escaped: dict[str, Any] = _escaped(config)
    return escaped


def _escaped(config: Any) -> Any:
    """Double each `$`: the collector takes a single one for the name of a variable."""
    if isinstance(config, str):
        return config.replace("$", "$$")
    if isinstance(config, Mapping):
        return {name: _escaped(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [_escaped(value) for value in config]
    return config


def _operators(stack: str) -> list[dict[str, Any]]:
    """Return what is done to each entry of Docker's json-file driver: {"log", "stream", "attrs", "time"}.

    `attrs` are the labels that the driver's option `labels` names, and `tag`, the container's name; see
    components/container.py. An entry of several lines has the time of its last.
    """
    labels = 'attributes.attrs["dockyard.{}"]'
    return [
        {"type": "regex_replace", "field": "body", "regex": SEAM, "replace_with": ""},
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
        *({"type": "move", "from": labels.format(name), "to": f"resource.{name}"} for name in LABELS),
        # Which of several instances, the same through all releases; and which container exactly. Both of a container
        # that was made before its lines held its name: the service.
        {"type": "add", "field": "resource.container", "value": "EXPR(attributes.attrs.tag ?? resource.service)"},
        {"type": "copy", "from": "resource.container", "to": "resource.container_name"},
        {"type": "regex_replace", "field": "resource.container", "regex": SUFFIX, "replace_with": ""},
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
        {"type": "retain", "fields": ["attributes.stream"]},
    ]

"""The OpenTelemetry Collector: its container and its configuration. LogPipeline runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import yaml

from components.logs.multiline import LINE_BOUNDARY, entry_start
from components.logs.parsing import statements
from runtime.base import Instance
from runtime.context import StackContext
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount
from settings.container import Limits
from settings.logs import Logs, LogStore
from settings.names import TOOLS

METRICS_PORT = 8888
HEALTH_PORT = 13133
CONFIG_FOLDER = "/etc/otelcol-contrib"
DATA_FOLDER = "/var/lib/otelcol"
CONTAINERS_FOLDER = "/var/lib/docker/containers"
"""Mount point, in the collector, of Docker's folder of containers."""

HEALTH_COMMAND = (
    "/otelcol-contrib",
    "validate",
    f"--config={CONFIG_FOLDER}/config.yaml",
    f"--config=http://127.0.0.1:{HEALTH_PORT}/",
)
"""The official image has no shell and no HTTP client, but `validate` fetches configurations. The health endpoint
answers with an empty configuration, which merged into the collector's own is valid; an error or no answer is not."""

HEAP_SHARE = 0.8
"""Share of the memory limit above which Go's garbage collector works harder instead of growing the heap."""

MAX_LINE_BYTES = 256 * 1024
"""Bytes at which a line is truncated: Loki's own limit, and well below VictoriaLogs'."""

MAX_ENTRY_BYTES = 4 * 1024 * 1024
"""Bytes of an entry in Docker's log file, where each of its lines repeats the labels. Longer ones are skipped."""

NAME_SUFFIX = "-[0-9a-f]{7}$"
"""Random suffix that Pulumi appends to the name of every container, different in each release."""

LABELS = ("product", "environment", "service")
"""Names of the containers' labels `dockyard.<name>`, which the log driver writes into each line."""


STREAM_LABELS = ("product", "environment", "service", "container")
"""Labels by which lines are indexed. They must have few values, since every combination is a stream of its own.
Therefore `container` is a container's name without its suffix; the full name and the id are fields of each line."""


@dataclass(frozen=True)
class LogReceiver:
    """The endpoint to which the collector sends lines, by OTLP over HTTP."""

    endpoint: str
    """Base address, to which `/v1/logs` is appended."""

    headers: Mapping[str, str] = field(default_factory=dict)
    level: bool = False
    """Add a field `level` to each line, for stores that do not derive one from OpenTelemetry's severity."""


def store_address(store: LogStore) -> str:
    """Return host and port of a log store."""
    return f"{store}:{TOOLS[store]}"


def log_receiver(store: LogStore) -> LogReceiver:
    """Return the endpoint of a log store."""
    if store == "loki":
        # Loki's own configuration determines which fields are labels.
        return LogReceiver(f"http://{store_address(store)}/otlp")
    ignored = ("severity_number", "severity_text", "scope.name", "scope.version")
    headers = {"VL-Stream-Fields": ",".join(STREAM_LABELS), "VL-Ignore-Fields": ",".join(ignored)}
    return LogReceiver(f"http://{store_address(store)}/insert/opentelemetry", headers, level=True)


def run_collector(
    name: str, context: StackContext, *, logs: Logs, docker_root: str, parent: pulumi.Resource
) -> Instance:
    """Run the collector. `docker_root` is Docker's data folder on the host."""
    config = collector_config(pulumi.get_stack(), log_receiver(logs.store), logs.redact)
    # Written by busybox, since the collector's image has no shell.
    files = {"config.yaml": yaml.safe_dump(config, sort_keys=False)}
    file_set = FileSet(files=files, owner="0:0", image=context.image("busybox"))
    config_files = context.files(f"{name}-config", file_set, parent)
    # Holds the positions in the log files.
    volume = context.data_volume(f"{name}-data", parent)
    return context.service(
        name,
        ContainerSpec(
            role="collector",
            image=context.image("otel-collector"),
            user="0:0",
            # Otherwise the receiver marks lines as read that are still in memory, and a kill would lose them.
            command=(f"--config={CONFIG_FOLDER}/config.yaml", "--feature-gates=stanza.synchronousLogEmitter"),
            env=go_heap_limit(logs.collector.limits),
            limits=logs.collector.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("collector",)),),
            mounts=(
                Mount(f"{docker_root}/containers", CONTAINERS_FOLDER, host=True),
                Mount(volume.name, DATA_FOLDER, read_only=False),
                config_files.mounted_at(CONFIG_FOLDER),
            ),
            # Each check starts another collector process; an `up` waits for the first check.
            health=HealthCheck(HEALTH_COMMAND, interval=30, timeout=20, retries=3),
            # A kill loses nothing. Stopped by SIGTERM while Loki does not answer, it would skip the lines that it is
            # just sending.
            stop_signal="SIGKILL",
            content=config_files.fingerprint,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=config_files.ready),
    )


def go_heap_limit(limits: Limits) -> dict[str, str]:
    """Return the variable that limits the heap of a program in Go."""
    return {"GOMEMLIMIT": f"{int(limits.memory * HEAP_SHARE)}MiB"}


def collector_config(stack: str, receiver: LogReceiver, redact: Sequence[str] = ()) -> dict[str, Any]:
    """Return the collector's configuration: it reads one stack's lines from Docker's log files, and sends them on.

    `redact` are further patterns of text that must not reach the store. No line is lost when the collector is killed:
    it saves its position in a file only after the store has accepted the lines before it. Lines may then be sent twice
    with the same time: Loki shows them once, and queries of VictoriaLogs count `container_id` with `_time`.
    """
    config: dict[str, Any] = {
        "extensions": {
            # `recreate`: storage broken by a power cut is recreated, and all log files are read again.
            "file_storage": {"directory": DATA_FOLDER, "recreate": True},
            # The health check reads the answer as a configuration, see HEALTH_COMMAND.
            "health_check": {"endpoint": f"127.0.0.1:{HEALTH_PORT}", "response_body": {"healthy": "{}"}},
        },
        "receivers": {
            "file_log": {
                # Rotated files as well: they may hold lines written while the collector was down.
                "include": [f"{CONTAINERS_FOLDER}/*/*-json.log*"],
                "exclude": [f"{CONTAINERS_FOLDER}/*/*.gz"],
                "start_at": "beginning",
                "poll_interval": "1s",
                "max_log_size": f"{MAX_ENTRY_BYTES // 1024}KiB",
                "multiline": {"line_start_pattern": entry_start()},
                "storage": "file_storage",
                "operators": _operators(stack),
            }
        },
        "processors": {
            # Silent: a line that does not parse as what it resembles is no error.
            "transform": {"error_mode": "silent", "log_statements": statements(redact, level=receiver.level)},
        },
        "exporters": {
            "otlp_http": {
                "endpoint": receiver.endpoint,
                **({"headers": dict(receiver.headers)} if receiver.headers else {}),
                # Both run on one machine.
                "compression": "none",
                # Retry for ever: lines are dropped only if the store refuses them.
                "retry_on_failure": {"initial_interval": "1s", "max_interval": "10s", "max_elapsed_time": "0s"},
                # No lines are kept in the queue: a line counts as read once the store has it, and until then it is
                # safe in Docker's own files. A persistent queue would lose lines when the collector is killed while
                # it resumes from that queue.
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
                # Retries are logged at `info`, which shows that the store does not answer.
                "logs": {"level": "info", "encoding": "json"},
                "metrics": {
                    "readers": [{"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS_PORT}}}}]  # noqa: S104 - Prometheus comes from another container
                },
            },
            "pipelines": {"logs": {"receivers": ["file_log"], "processors": ["transform"], "exporters": ["otlp_http"]}},
        },
    }
    escaped: dict[str, Any] = _escape_dollars(config)
    return escaped


def _escape_dollars(config: Any) -> Any:
    """Double each `$`: the collector expands a single one as a variable."""
    if isinstance(config, str):
        return config.replace("$", "$$")
    if isinstance(config, Mapping):
        return {name: _escape_dollars(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [_escape_dollars(value) for value in config]
    return config


def _operators(stack: str) -> list[dict[str, Any]]:
    """Return the operators for each entry of Docker's json-file driver: {"log", "stream", "attrs", "time"}.

    `attrs` holds the labels named in the driver's option `labels`, and `tag`, the container's name; see
    runtime/docker.py. An entry of several lines has the time of its last one.
    """
    labels = 'attributes.attrs["dockyard.{}"]'
    return [
        {"type": "regex_replace", "field": "body", "regex": LINE_BOUNDARY, "replace_with": ""},
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
        # `container` identifies the instance across releases, `container_name` the exact container. Lines of containers
        # older than the `tag` option have the service's name in both.
        {"type": "add", "field": "resource.container", "value": "EXPR(attributes.attrs.tag ?? resource.service)"},
        {"type": "copy", "from": "resource.container", "to": "resource.container_name"},
        {"type": "regex_replace", "field": "resource.container", "regex": NAME_SUFFIX, "replace_with": ""},
        {"type": "add", "field": "resource.container_id", "value": 'EXPR(attributes["log.file.name"][0:12])'},
        {"type": "add", "field": "attributes.source", "value": "EXPR(resource.container_id + attributes.stream)"},
        # The driver splits lines at 16 KB; only the last part ends with a line feed.
        {
            "type": "recombine",
            "combine_field": "body",
            "combine_with": "",
            "is_last_entry": 'body endsWith "\\n"',
            "source_identifier": "attributes.source",
            "max_log_size": f"{MAX_LINE_BYTES // 1024}KiB",
            "force_flush_period": "5s",
        },
        {"type": "regex_replace", "field": "body", "regex": "\\r?\\n$", "replace_with": ""},
        {"type": "retain", "fields": ["attributes.stream"]},
    ]

"""Loki, as a single process: its container and its configuration. LogPipeline runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import yaml

from components.logs.otel_collector import MAX_LINE_BYTES, STREAM_LABELS, go_heap_limit
from runtime.base import Instance
from runtime.context import StackContext
from runtime.health import wget
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount
from settings.logs import Logs
from settings.names import TOOLS
from settings.units import format_duration

USER = "10001:10001"
"""The official image's own user, which owns the image's data folder."""

PORT = TOOLS["loki"]
GRPC_PORT = 9095
DATA_FOLDER = "/loki"
CONFIG_FOLDER = "/etc/loki"
TENANT = "fake"
"""Loki's tenant where authentication is off; rules are in a folder of that name."""


def run_loki(
    name: str,
    context: StackContext,
    *,
    logs: Logs,
    alertmanagers: Sequence[str],
    rules: Mapping[str, str],
    parent: pulumi.Resource,
) -> dict[str, Instance]:
    """Run Loki with rules in LogQL; resources are named `<name>-loki…`. Return role → container."""
    loki = logs.loki
    config = loki_config(loki.retention, loki.limits.memory, alertmanagers)
    files = {"loki.yaml": yaml.safe_dump(config, sort_keys=False)}
    files |= {f"{TENANT}/{file}": text for file, text in rules.items()}
    file_set = FileSet(files=files, owner=USER, image=context.image("busybox"))
    config_files = context.files(f"{name}-loki-config", file_set, parent)
    volume = context.data_volume(f"{name}-loki-data", parent)
    container = context.service(
        f"{name}-loki",
        ContainerSpec(
            role="loki",
            image=context.image("loki"),
            user=USER,
            command=(f"-config.file={CONFIG_FOLDER}/loki.yaml",),
            env=go_heap_limit(loki.limits),
            limits=loki.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("loki",)),),
            mounts=(Mount(volume.name, DATA_FOLDER, read_only=False), config_files.mounted_at(CONFIG_FOLDER)),
            health=wget(PORT, "/ready"),
            # Time to flush the chunks in memory.
            stop_grace=60,
            content=config_files.fingerprint,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=config_files.ready),
    )
    return {"loki": container}


def loki_config(retention: int, memory: int, alertmanagers: Sequence[str]) -> dict[str, Any]:
    """Return Loki's configuration as a single process with its files on a volume.

    `retention` is in seconds. `memory`, in MiB, is the container's limit: caches and the replay of the write-ahead log
    are limited to shares of it, since Loki's defaults are meant for machines with many GB. `alertmanagers` are host and
    port of each instance that receives the ruler's alerts.
    """
    index = {"action": "index_label", "attributes": list(STREAM_LABELS)}
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        # Loki's own log is collected as well; at `info` it has a line for every query of Grafana.
        "server": {"http_listen_port": PORT, "grpc_listen_port": GRPC_PORT, "log_level": "warn"},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": DATA_FOLDER,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": f"{DATA_FOLDER}/chunks", "rules_directory": CONFIG_FOLDER}},
        },
        "schema_config": {
            "configs": [
                {
                    # Never change this entry once there are logs: a new schema is a further entry with a later date.
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": {
            # Ready at once: the default waits for other members of the ring, and there are none.
            "lifecycler": {"min_ready_duration": "0s"},
            # Within a block Loki recognises a line that was sent twice after a kill of the collector; further back it
            # shows it once but counts it twice. Loki's default size is a quarter of this.
            "chunk_block_size": 1024 * 1024,
            "wal": {"replay_memory_ceiling": f"{memory // 4}MB"},
        },
        "compactor": {"retention_enabled": True, "delete_request_store": "filesystem"},
        "chunk_store_config": {"chunk_cache_config": _cache(memory // 16)},
        "query_range": {"results_cache": {"cache": _cache(memory // 16)}},
        "querier": {"max_concurrent": 2},
        "ruler": {
            "alertmanager_url": ",".join(f"http://{address}" for address in alertmanagers),
            "evaluation_interval": "1m",
        },
        # Its own address: by default it looks for a scheduler in a ring, in vain for the first ten seconds.
        "frontend_worker": {"frontend_address": f"127.0.0.1:{GRPC_PORT}"},
        "limits_config": {
            "retention_period": format_duration(retention),
            # Accept old lines, from Docker's files after a failure of the pipeline, for as long as lines are kept.
            "reject_old_samples_max_age": format_duration(retention),
            "max_line_size": f"{MAX_LINE_BYTES // 1024}KB",
            "max_line_size_truncate": True,
            # Twice Loki's defaults: after a pause the collector catches up at the speed of the disk.
            "ingestion_rate_mb": 8,
            "ingestion_burst_size_mb": 16,
            "max_query_parallelism": 4,
            "discover_service_name": [],
            "otlp_config": {"resource_attributes": {"ignore_defaults": True, "attributes_config": [index]}},
        },
    }


def _cache(megabytes: int) -> dict[str, Any]:
    return {"embedded_cache": {"enabled": True, "max_size_mb": max(8, megabytes)}}

"""LogPipeline: a log store, and the collector that sends logs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import yaml

from components.logs.collector import (
    COLLECTOR_FOLDER,
    CONTAINERS_FOLDER,
    HEALTH_PORT,
    METRICS_PORT,
    LogReceiver,
    collector_config,
    loki_receiver,
    victorialogs_receiver,
)
from components.logs.loki import LOKI_CONFIG, LOKI_FOLDER, LOKI_PORT, TENANT, loki_config
from components.logs.victorialogs import PORT as VICTORIALOGS_PORT
from components.logs.victorialogs import VMALERT_PORT, VictoriaLogsArgs, run_victorialogs, victorialogs_datasource
from runtime.base import Files, Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount
from settings.logs import Logs, LogStore

LOKI_USER = "10001:10001"
"""The official image's own user, which owns the image's data folder."""

COLLECTOR_CONFIG = "/etc/otelcol-contrib"

HEALTH_COMMAND = (
    "/otelcol-contrib",
    "validate",
    f"--config={COLLECTOR_CONFIG}/config.yaml",
    f"--config=http://127.0.0.1:{HEALTH_PORT}/",
)
"""The official image has no shell and no HTTP client, but `validate` fetches configurations. The health endpoint
answers with an empty configuration, which merged into the collector's own is valid; an error or no answer is not."""

HEAP_SHARE = 0.8
"""Share of the memory limit above which Go's garbage collector works harder instead of growing the heap."""


@dataclass(frozen=True)
class LogPipelineArgs:
    """Arguments of LogPipeline."""

    logs: Logs
    context: StackContext
    docker_root: str
    """Docker's data folder on the host."""

    alertmanagers: Sequence[str]
    """Host and port of each Alertmanager."""

    rules: Mapping[str, str]
    """Rule files in the store's query language: name → content."""


class LogPipeline(pulumi.ComponentResource):
    """Runs a log store, and an OpenTelemetry Collector that reads stdout and stderr of the stack's containers.

    The store is VictoriaLogs with vmalert, or Loki with its ruler; alert rules are evaluated every minute.

    The collector reads the files of Docker's json-file driver and has no Docker socket: each line names its container.
    Lines of other stacks on the same host are skipped. Lines have the labels `product`, `environment`, `service` and
    `container`; secrets are redacted first. Log files inside containers, and the host's own logs, are not read.
    """

    address: str
    """Host and port of the store's API."""

    targets: list[ScrapeTarget]
    containers: dict[str, Instance]

    def __init__(self, name: str, args: LogPipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:log_pipeline:LogPipeline", name, None, opts)
        self._name, self._args = name, args
        if args.logs.store == "loki":
            self.address = f"loki:{LOKI_PORT}"
            self.targets = [ScrapeTarget("loki", self.address)]
            self.containers = {"loki": self._loki()}
            receiver = loki_receiver(self.address)
        else:
            self.address = f"victorialogs:{VICTORIALOGS_PORT}"
            self.targets = [
                ScrapeTarget("victorialogs", self.address),
                ScrapeTarget("vmalert", f"vmalert:{VMALERT_PORT}"),
            ]
            store_args = VictoriaLogsArgs(
                args.logs.victorialogs, args.logs.vmalert, args.context, args.alertmanagers, args.rules
            )
            self.containers = run_victorialogs(name, store_args, self)
            receiver = victorialogs_receiver(self.address)
        self.targets.append(ScrapeTarget("collector", f"collector:{METRICS_PORT}"))
        self.containers["collector"] = self._collector(receiver)
        self.register_outputs({"address": self.address})

    def _loki(self) -> Instance:
        context, settings = self._args.context, self._args.logs.loki
        args = loki_config(settings.retention, settings.limits.memory, self._args.alertmanagers)
        rules = {f"{TENANT}/{name}": text for name, text in self._args.rules.items()}
        config_files = self._config_files("loki", {"loki.yaml": _yaml(args), **rules}, LOKI_USER)
        volume = context.data_volume(f"{self._name}-loki-data", self)
        return context.service(
            f"{self._name}-loki",
            ContainerSpec(
                role="loki",
                image=self._args.context.image("loki"),
                user=LOKI_USER,
                command=(f"-config.file={LOKI_CONFIG}/loki.yaml",),
                env={"GOMEMLIMIT": _heap_limit(settings.limits.memory)},
                limits=settings.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, ("loki",)),),
                mounts=(
                    Mount(volume.name, LOKI_FOLDER, read_only=False),
                    config_files.mounted_at(LOKI_CONFIG),
                ),
                health=wget(LOKI_PORT, "/ready"),
                # Time to flush the chunks in memory.
                stop_grace=60,
                content=config_files.fingerprint,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )

    def _collector(self, receiver: LogReceiver) -> Instance:
        context, settings = self._args.context, self._args.logs.collector
        stack = context.labels["dockyard.stack"]
        args = collector_config(stack, receiver, self._args.logs.redact)
        config_files = self._config_files("collector", {"config.yaml": _yaml(args)}, "0:0")
        # Holds the positions in the log files.
        volume = context.data_volume(f"{self._name}-collector-data", self)
        return context.service(
            f"{self._name}-collector",
            ContainerSpec(
                role="collector",
                image=self._args.context.image("otel-collector"),
                user="0:0",
                # Otherwise the receiver marks lines as read that are still in memory, and a kill would lose them.
                command=(
                    f"--config={COLLECTOR_CONFIG}/config.yaml",
                    "--feature-gates=stanza.synchronousLogEmitter",
                ),
                env={"GOMEMLIMIT": _heap_limit(settings.limits.memory)},
                limits=settings.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, ("collector",)),),
                mounts=(
                    Mount(f"{self._args.docker_root}/containers", CONTAINERS_FOLDER, host=True),
                    Mount(volume.name, COLLECTOR_FOLDER, read_only=False),
                    config_files.mounted_at(COLLECTOR_CONFIG),
                ),
                # Each check starts another collector process; an `up` waits for the first check.
                health=HealthCheck(HEALTH_COMMAND, interval=30, timeout=20, retries=3),
                # A kill loses nothing. Stopped by SIGTERM while Loki does not answer, it would skip the lines that it
                # is just sending.
                stop_signal="SIGKILL",
                content=config_files.fingerprint,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )

    def _config_files(self, part: str, files: Mapping[str, str], owner: str) -> Files:
        """Write configuration files, with busybox since the collector's image has no shell."""
        return self._args.context.files(
            f"{self._name}-{part}-config",
            FileSet(
                files=files,
                owner=owner,
                image=self._args.context.image("busybox"),
            ),
            self,
        )


def loki_datasource(uid: str) -> dict[str, object]:
    """Return Loki as a data source of Grafana's provisioning; dashboards refer to it by `uid`."""
    return {
        "name": "Loki",
        "uid": uid,
        "type": "loki",
        "access": "proxy",
        "url": f"http://loki:{LOKI_PORT}",
        "isDefault": False,
        "editable": False,
        "jsonData": {"maxLines": 1000},
    }


def logs_datasource(store: LogStore, uid: str) -> dict[str, object]:
    """Return a log store as a data source of Grafana's provisioning."""
    return loki_datasource(uid) if store == "loki" else victorialogs_datasource(uid)


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False)


def _heap_limit(limit: int) -> str:
    return f"{int(limit * HEAP_SHARE)}MiB"

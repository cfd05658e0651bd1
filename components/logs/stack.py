"""LogPipeline: a log store, and the collector that sends logs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.logs.loki import run_loki
from components.logs.otel_collector import METRICS_PORT, run_collector, store_address
from components.logs.victorialogs import run_victorialogs
from runtime.base import Instance
from runtime.context import ScrapeTarget, StackContext
from settings.logs import Logs
from settings.names import TOOLS


class LogPipeline(pulumi.ComponentResource):
    """Runs a log store, and an OpenTelemetry Collector that reads stdout and stderr of the stack's containers.

    The store is VictoriaLogs with vmalert, or Loki with its ruler; alert rules are evaluated every minute. `rules` maps
    file names to rules in the store's query language. `alertmanagers` are host and port of each Alertmanager.

    The collector reads the files of Docker's json-file driver under `docker_root`, Docker's data folder on the host. It
    has no Docker socket: each line names its container. Lines of other stacks on the same host are skipped. Lines have
    the labels `product`, `environment`, `service` and `container`; secrets are redacted first. Log files inside
    containers, and the host's own logs, are not read.
    """

    targets: list[ScrapeTarget]
    containers: dict[str, Instance]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        logs: Logs,
        docker_root: str,
        alertmanagers: Sequence[str],
        rules: Mapping[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:log_pipeline:LogPipeline", name, None, opts)
        run_store = run_loki if logs.store == "loki" else run_victorialogs
        self.containers = run_store(name, context, logs=logs, alertmanagers=alertmanagers, rules=rules, parent=self)
        self.targets = [ScrapeTarget(role, f"{role}:{TOOLS[role]}") for role in self.containers]
        self.targets.append(ScrapeTarget("collector", f"collector:{METRICS_PORT}"))
        self.containers["collector"] = run_collector(
            f"{name}-collector", context, logs=logs, docker_root=docker_root, parent=self
        )
        self.register_outputs({"address": store_address(logs.store)})

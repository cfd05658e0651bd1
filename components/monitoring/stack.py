"""MonitoringStack: Prometheus and Grafana."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.monitoring.exporters import NOBODY_UID
from components.monitoring.grafana import PORT as GRAFANA_PORT
from components.monitoring.grafana import GrafanaArgs, run_grafana
from components.monitoring.prometheus import prometheus_config
from components.monitoring.remote_write import remote_write_files
from components.secret import secret
from runtime.base import Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Reload, Volume
from settings.logs import LogStore
from settings.monitoring import Monitoring
from settings.units import format_duration, format_memory

PROMETHEUS_PORT = 9090
ADMIN_PASSWORD = "grafana-admin-password"  # noqa: S105 - its name
CONFIG_FOLDER = "/etc/prometheus"
UNCOMPACTED = ("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")
"""Disables compaction: Thanos' sidecar requires equal durations, so that Prometheus never merges shipped blocks."""


@dataclass(frozen=True)
class MonitoringStackArgs:
    """Arguments of MonitoringStack."""

    monitoring: Monitoring
    context: StackContext
    targets: Sequence[ScrapeTarget]
    alertmanagers: Sequence[str]
    """Host and port of each Alertmanager."""

    rules: Mapping[str, str]
    """File name → rule file, rendered for this stack."""

    dashboards: Mapping[str, str]
    """File name → dashboard as JSON."""

    root_url: str
    """The address at which people reach Grafana."""

    logs: LogStore | None = None
    """The log store of this stack; None without logs."""

    snapshots: bool = False
    """Whether their data are backed up, for which Prometheus' snapshot API is enabled."""


class MonitoringStack(pulumi.ComponentResource):
    """Runs Prometheus with scrape targets and rules, and Grafana with data sources and dashboards.

    Neither is exposed here: routes to Grafana are the task of the edge proxy and the tunnel.
    """

    secrets: dict[str, pulumi.Output[str]]
    """The password of Grafana's administrator, by the name of its secret."""

    containers: dict[str, Instance]
    data: dict[str, Volume]
    """Role → its data volume."""

    def __init__(self, name: str, args: MonitoringStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:monitoring_stack:MonitoringStack", name, None, opts)
        self._name, self._args = name, args
        self.data = {role: args.context.data_volume(f"{name}-{role}-data", self) for role in ("prometheus", "grafana")}
        self.containers = {"prometheus": self._prometheus()}
        password = secret(ADMIN_PASSWORD, f"{name}-grafana-password", self)
        self.secrets = {ADMIN_PASSWORD: password}
        grafana_args = GrafanaArgs(args.monitoring.grafana, args.context, args.dashboards, args.root_url, args.logs)
        grafana = run_grafana(f"{name}-grafana", grafana_args, password, self.data["grafana"], self)
        self.containers["grafana"] = grafana
        self.register_outputs({"containers": sorted(self.containers)})

    def _prometheus(self) -> Instance:
        args, context = self._args, self._args.context
        settings = args.monitoring.prometheus
        own_targets = [
            ScrapeTarget("prometheus", f"localhost:{PROMETHEUS_PORT}"),
            ScrapeTarget("grafana", f"grafana:{GRAFANA_PORT}"),
        ]
        if engine := args.monitoring.engine_metrics:
            own_targets.append(ScrapeTarget("docker", f"host.docker.internal:{engine}"))
        main = prometheus_config(
            [*args.targets, *own_targets],
            interval=settings.scrape_interval,
            infrastructure_interval=settings.infrastructure_interval,
            rule_interval=settings.rule_interval,
            alertmanagers=args.alertmanagers,
            labels={"product": context.product, "environment": context.environment},
            remote_write=args.monitoring.remote_write,
        )
        config_files = context.files(
            f"{self._name}-prometheus-config",
            FileSet(
                files={
                    "prometheus.yml": main,
                    **{f"rules/{file}": text for file, text in args.rules.items()},
                    **remote_write_files(args.monitoring.remote_write),
                },
                owner=NOBODY_UID,
                image=args.context.image("prometheus"),
                check="promtool check config prometheus.yml > /dev/null",
                reload=Reload(context.monitoring_network, [f"prometheus:{PROMETHEUS_PORT}"]),
            ),
            self,
        )
        return context.service(
            f"{self._name}-prometheus",
            ContainerSpec(
                role="prometheus",
                image=args.context.image("prometheus"),
                user=NOBODY_UID,
                command=(
                    f"--config.file={CONFIG_FOLDER}/prometheus.yml",
                    "--storage.tsdb.path=/prometheus",
                    f"--storage.tsdb.retention.time={format_duration(settings.retention)}",
                    f"--storage.tsdb.retention.size={format_memory(settings.retention_size)}",
                    *(() if settings.compaction else UNCOMPACTED),
                    "--web.enable-lifecycle",
                    # This API can also delete series. Grafana does not proxy it, and the edge requires authentication.
                    *(("--web.enable-admin-api",) if args.snapshots else ()),
                    # By default alerts beyond 10,000 at once are dropped until they are sent again a minute later.
                    "--alertmanager.notification-queue-capacity=20000",
                ),
                limits=settings.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, ("prometheus",)),),
                mounts=(
                    Mount(self.data["prometheus"].name, "/prometheus", read_only=False),
                    config_files.mounted_at(CONFIG_FOLDER),
                ),
                # Tumulte's check. `/-/ready` is stricter, but fails until the write-ahead log has been replayed.
                health=wget(PROMETHEUS_PORT, "/-/healthy"),
                # Time to write the head block.
                stop_grace=60,
                reaches_host=args.monitoring.engine_metrics is not None,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )

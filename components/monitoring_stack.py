"""MonitoringStack: Prometheus and Grafana."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.config_volume import ConfigVolume, Reload
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.exporter_set import NOBODY_UID
from components.grafana import PORT as GRAFANA_PORT
from components.grafana import GrafanaConfig, run_grafana
from components.health import wget
from components.prometheus_config import prometheus_config
from components.remote_write import remote_write_files
from components.secret import secret
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import data_volume
from settings.logs import LogStore
from settings.monitoring import Monitoring
from settings.units import format_duration, format_memory

PROMETHEUS_PORT = 9090
CONFIG_FOLDER = "/etc/prometheus"
UNCOMPACTED = ("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")
"""Disables compaction: Thanos' sidecar requires equal durations, so that Prometheus never merges shipped blocks."""


@dataclass(frozen=True)
class MonitoringStackConfig:
    """Arguments of MonitoringStack."""

    monitoring: Monitoring
    context: StackContext
    image: Callable[[str], str]
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

    admin_password: pulumi.Output[str]
    containers: dict[str, docker.Container]
    data: dict[str, docker.Volume]
    """Role → its data volume."""

    def __init__(self, name: str, config: MonitoringStackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:monitoring_stack:MonitoringStack", name, None, opts)
        self._name, self._config = name, config
        self.data = {
            role: data_volume(f"{name}-{role}-data", config.context, self) for role in ("prometheus", "grafana")
        }
        self.containers = {"prometheus": self._prometheus()}
        self.admin_password = secret("grafana-admin-password", f"{name}-grafana-password", self)
        grafana_config = GrafanaConfig(
            config.monitoring.grafana, config.context, config.image, config.dashboards, config.root_url, config.logs
        )
        grafana = run_grafana(f"{name}-grafana", grafana_config, self.admin_password, self.data["grafana"], self)
        self.containers["grafana"] = grafana
        self.register_outputs({"containers": sorted(self.containers)})

    def _prometheus(self) -> docker.Container:
        config, context = self._config, self._config.context
        settings = config.monitoring.prometheus
        own_targets = [
            ScrapeTarget("prometheus", f"localhost:{PROMETHEUS_PORT}"),
            ScrapeTarget("grafana", f"grafana:{GRAFANA_PORT}"),
        ]
        if engine := config.monitoring.engine_metrics:
            own_targets.append(ScrapeTarget("docker", f"host.docker.internal:{engine}"))
        main = prometheus_config(
            [*config.targets, *own_targets],
            interval=settings.scrape_interval,
            infrastructure_interval=settings.infrastructure_interval,
            rule_interval=settings.rule_interval,
            alertmanagers=config.alertmanagers,
            labels={"product": context.product, "environment": context.environment},
            remote_write=config.monitoring.remote_write,
        )
        config_files = ConfigVolume(
            f"{self._name}-prometheus-config",
            files={
                "prometheus.yml": main,
                **{f"rules/{file}": text for file, text in config.rules.items()},
                **remote_write_files(config.monitoring.remote_write),
            },
            owner=NOBODY_UID,
            image=config.image("prometheus"),
            context=context,
            parent=self,
            # Errors are on stderr; stdout only has the number of rules of every valid file.
            check="promtool check config prometheus.yml > /dev/null",
            reload=Reload(context.monitoring_network, [f"prometheus:{PROMETHEUS_PORT}"]),
        )
        return run_service(
            f"{self._name}-prometheus",
            ContainerSpec(
                role="prometheus",
                image=config.image("prometheus"),
                user=NOBODY_UID,
                command=(
                    f"--config.file={CONFIG_FOLDER}/prometheus.yml",
                    "--storage.tsdb.path=/prometheus",
                    f"--storage.tsdb.retention.time={format_duration(settings.retention)}",
                    f"--storage.tsdb.retention.size={format_memory(settings.retention_size)}",
                    *(() if settings.compaction else UNCOMPACTED),
                    "--web.enable-lifecycle",
                    # This API can also delete series. Grafana does not proxy it, and the edge requires authentication.
                    *(("--web.enable-admin-api",) if config.snapshots else ()),
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
                reaches_host=config.monitoring.engine_metrics is not None,
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )

"""MonitoringStack: Prometheus and Grafana."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.monitoring.grafana import run_grafana
from components.monitoring.prometheus import run_prometheus
from components.secret import secret
from runtime.base import Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.spec import Volume
from settings.monitoring import Monitoring

ADMIN_PASSWORD = "grafana-admin-password"  # noqa: S105 - its name


class MonitoringStack(pulumi.ComponentResource):
    """Runs Prometheus with scrape targets and rules, and Grafana with data sources and dashboards.

    Neither is exposed here: routes to Grafana are the task of the edge proxy and the tunnel.

    `alertmanagers` are host and port of each Alertmanager. `rules` and `dashboards` map file names to contents for this
    stack. `root_url` is the address at which people reach Grafana. `snapshots` enables Prometheus' snapshot API, which
    backups use.
    """

    secrets: dict[str, pulumi.Output[str]]
    """The password of Grafana's administrator, by the name of its secret."""

    containers: dict[str, Instance]
    data: dict[str, Volume]
    """Role → its data volume."""

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        monitoring: Monitoring,
        targets: Sequence[ScrapeTarget],
        alertmanagers: Sequence[str],
        rules: Mapping[str, str],
        dashboards: Mapping[str, str],
        root_url: str,
        snapshots: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:monitoring_stack:MonitoringStack", name, None, opts)
        self.data = {role: context.data_volume(f"{name}-{role}-data", self) for role in ("prometheus", "grafana")}
        password = secret(ADMIN_PASSWORD, f"{name}-grafana-password", self)
        self.secrets = {ADMIN_PASSWORD: password}
        self.containers = {
            "prometheus": run_prometheus(
                f"{name}-prometheus",
                context,
                monitoring=monitoring,
                targets=targets,
                alertmanagers=alertmanagers,
                rules=rules,
                snapshots=snapshots,
                data=self.data["prometheus"],
                parent=self,
            ),
            "grafana": run_grafana(
                f"{name}-grafana",
                context,
                grafana=monitoring.grafana,
                dashboards=dashboards,
                root_url=root_url,
                logs=monitoring.logs.store if monitoring.logs.enabled else None,
                admin_password=password,
                data=self.data["grafana"],
                parent=self,
            ),
        }
        self.register_outputs({"containers": sorted(self.containers)})

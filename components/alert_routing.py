"""AlertRouting: Alertmanager, and who hears of what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import yaml

from components.alertmanager_config import FOLDER, alertmanager_config
from components.config_volume import ConfigVolume, Reload
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.exporter_set import NOBODY
from components.health import wget
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import data_volume
from settings.alerts import Alerts
from settings.receivers import Environment

PORT = 9093
FLAGS = (
    # Which receiver fails, not only which kind: how `./dockyard alert-test` knows what came of it.
    "--enable-feature=receiver-name-in-metrics",
    # Silences, and what was told, are written to disk so often: by default a kill may cost the last 15 minutes of them.
    "--data.maintenance-interval=1m",
)


@dataclass(frozen=True)
class AlertRoutingConfig:
    """What AlertRouting is made from."""

    alerts: Alerts
    environment: Environment
    context: StackContext
    image: Callable[[str], str]


class AlertRouting(pulumi.ComponentResource):
    """Runs Alertmanager with the receivers of the settings.

    Webhook addresses are files that only Alertmanager can read. Silences and the notification log survive on a
    data volume. A changed configuration is checked with amtool, then loaded without a restart.
    """

    address: str
    containers: dict[str, docker.Container]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, config: AlertRoutingConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:alert_routing:AlertRouting", name, None, opts)
        context, alerts = config.context, config.alerts
        self.address = f"alertmanager:{PORT}"
        self.targets = [ScrapeTarget("alertmanager", self.address)]
        files: dict[str, pulumi.Input[str]] = {
            "alertmanager.yml": yaml.safe_dump(alertmanager_config(alerts, config.environment), sort_keys=False)
        }
        given = pulumi.Config("dockyard")
        for secret in alerts.secrets_in(config.environment):
            files[f"secrets/{secret}"] = given.get_secret(secret) or pulumi.Output.secret("")
        written = ConfigVolume(
            f"{name}-config",
            files=files,
            owner=NOBODY,
            image=config.image("alertmanager"),
            context=context,
            parent=self,
            check="amtool check-config alertmanager.yml",
            reload=Reload(
                context.monitoring_network,
                f"http://{self.address}/-/healthy",
                f"http://{self.address}/-/reload",
            ),
        )
        volume = data_volume(f"{name}-data", context, self)
        container = run_service(
            f"{name}-alertmanager",
            ContainerSpec(
                role="alertmanager",
                image=config.image("alertmanager"),
                user=NOBODY,
                command=(
                    f"--config.file={FOLDER}/alertmanager.yml",
                    "--storage.path=/alertmanager",
                    *FLAGS,
                    # One instance: no gossip port to listen on.
                    "--cluster.listen-address=",
                ),
                limits=alerts.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, ("alertmanager",)),),
                mounts=(
                    Mount(volume.name, "/alertmanager", read_only=False),
                    written.mounted_at(FOLDER),
                ),
                health=wget(PORT, "/-/healthy"),
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=written.ready),
        )
        self.containers = {"alertmanager": container}
        self.register_outputs({"address": self.address})

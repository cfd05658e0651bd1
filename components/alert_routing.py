"""AlertRouting: Alertmanager, and who hears of what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker
import yaml

from components.config_volume import ConfigVolume, Reload
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.exporter_set import NOBODY
from components.health import wget
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import data_volume
from settings.stack import Alerts

PORT = 9093
FOLDER = "/etc/alertmanager"
HEARTBEAT = "1m"
"""How often the Watchdog's webhook is called."""

STACK = ["product", "environment"]
INHIBITIONS: list[dict[str, Any]] = [
    # The rules say of each alert what it is about (`scope`). A host that is down says nothing of what runs on it.
    {
        "source_matchers": ['alertname="HostDown"'],
        "target_matchers": ['scope=~"container|service|store|queue|edge"'],
        "equal": STACK,
    },
    # A service or a store that is known to be down says so by its own alert; that its target is gone, that its probe
    # fails or that one of its instances is missing adds nothing.
    {
        "source_matchers": ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|store"'],
        "target_matchers": ['alertname=~"TargetDown|ServiceDown|ServiceInstanceDown|ServiceFlapping"'],
        "equal": [*STACK, "job"],
    },
    {
        "source_matchers": ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|container|store"'],
        "target_matchers": ['scope=~"probe|container"', 'alertname!="ContainerDown"'],
        "equal": [*STACK, "service"],
    },
]
"""Which alert silences which: the source silences its targets where all labels of `equal` are the same."""


@dataclass(frozen=True)
class AlertRoutingConfig:
    """What AlertRouting is made from."""

    alerts: Alerts
    context: StackContext
    image: Callable[[str], str]


def alertmanager_config(alerts: Alerts) -> dict[str, Any]:
    """Return Alertmanager's configuration; addresses that are secret stand in files beside it.

    Grouping and repeat intervals are Alertmanager's documented defaults for people (30 s, 5 m, 4 h). A
    service's own alert silences the general one about its target.
    """
    receivers: list[dict[str, Any]] = [{"name": "nobody"}]
    # The Watchdog always fires, to prove that alerts flow: of no interest to a person.
    routes: list[dict[str, Any]] = [{"receiver": "nobody", "matchers": ['alertname="Watchdog"']}]
    if alerts.heartbeat:
        receivers.append(_heartbeat(alerts.heartbeat))
        # As often as a group can be told: whoever listens misses it after a few minutes.
        often = {"group_wait": "0s", "group_interval": HEARTBEAT, "repeat_interval": HEARTBEAT}
        routes = [{"receiver": "heartbeat", "matchers": ['alertname="Watchdog"'], **often}]
    default = "nobody"
    if alerts.discord:
        default = "discord-monitoring"
        routes.append({"receiver": "discord-critical", "matchers": ['severity="critical"']})
        receivers += [
            _discord("discord-monitoring", alerts.discord.webhook),
            _discord("discord-critical", alerts.discord.critical_webhook),
        ]
    route: dict[str, Any] = {
        "receiver": default,
        "group_by": ["alertname", "product", "environment"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": routes,
    }
    return {
        "route": route,
        "receivers": receivers,
        "inhibit_rules": INHIBITIONS,
    }


def _heartbeat(secret: str) -> dict[str, Any]:
    return {
        "name": "heartbeat",
        "webhook_configs": [{"url_file": f"{FOLDER}/secrets/{secret}", "send_resolved": False}],
    }


def _discord(name: str, secret: str) -> dict[str, Any]:
    return {
        "name": name,
        "discord_configs": [{"webhook_url_file": f"{FOLDER}/secrets/{secret}", "send_resolved": True}],
    }


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
            "alertmanager.yml": yaml.safe_dump(alertmanager_config(alerts), sort_keys=False)
        }
        given = pulumi.Config("dockyard")
        for secret in alerts.secrets:
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

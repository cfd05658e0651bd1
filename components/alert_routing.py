"""AlertRouting: Alertmanager, and who hears of what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_docker as docker
import yaml

from components.alert_receivers import FOLDER, bot_address
from components.alertmanager_config import alertmanager_config
from components.config_volume import ConfigVolume, Reload
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.exporter_set import NOBODY_UID
from components.health import wget
from components.messages import message_files, render_check_command
from components.spec import Attachment, ContainerSpec, Mount
from components.volume import config_volume, data_volume
from settings.alerts import Alerts
from settings.receivers import Environment, Telegram

PORT = 9093
GOSSIP_PORT = 9094
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
    grafana: str
    """The address people reach Grafana at, to which messages lead."""


class AlertRouting(pulumi.ComponentResource):
    """Runs Alertmanager with the receivers of the settings: one, or two or three that stand in for each other.

    Webhook addresses are files that only Alertmanager can read. Silences and the notification log survive on a volume
    each; that of the first is protected as data are. A changed configuration is checked with amtool, then loaded
    without a restart. Several share silences and what was told by gossip within the monitoring network; who sends
    alerts must send them to all.
    """

    address: str
    """Host and port of the first one."""

    addresses: tuple[str, ...]
    """Host and port of each: who has alerts to tell tells all of them."""

    containers: dict[str, docker.Container]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, config: AlertRoutingConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:alert_routing:AlertRouting", name, None, opts)
        self._name, self._config = name, config
        roles = peers(config.alerts.replicas)
        self.addresses = tuple(f"{role}:{PORT}" for role in roles)
        self.address = self.addresses[0]
        self.targets = [ScrapeTarget("alertmanager", address) for address in self.addresses]
        config_files = self._write_config()
        self.containers = {role: self._run(role, roles, config_files) for role in roles}
        self.register_outputs({"address": self.address})

    def _write_config(self) -> ConfigVolume:
        """Write the configuration, which all share."""
        config, context = self._config, self._config.context
        alertmanager = alertmanager_config(config.alerts, context.product, config.environment)
        files: dict[str, pulumi.Input[str]] = {"alertmanager.yml": yaml.safe_dump(alertmanager, sort_keys=False)}
        messages = message_files(config.alerts, config.environment, config.grafana)
        files |= messages
        stack_config = pulumi.Config("dockyard")
        for secret in config.alerts.secrets_in(config.environment):
            files[f"secrets/{secret}"] = stack_config.get_secret(secret) or pulumi.Output.secret("")
        for receiver in config.alerts.told_in(config.environment).values():
            if isinstance(receiver, Telegram):
                file = f"secrets/{receiver.bot_token}"
                files[file] = pulumi.Output.from_input(files[file]).apply(partial(bot_address, receiver))
        return ConfigVolume(
            f"{self._name}-config",
            files=files,
            owner=NOBODY_UID,
            image=config.image("alertmanager"),
            context=context,
            parent=self,
            check=f"amtool check-config alertmanager.yml && {render_check_command(messages)}",
            reload=Reload(context.monitoring_network, self.addresses),
        )

    def _run(self, role: str, roles: tuple[str, ...], config_files: ConfigVolume) -> docker.Container:
        config, context = self._config, self._config.context
        suffix = role.removeprefix("alertmanager")
        # What the others keep the first has too: their volumes may go with them, where there are to be fewer.
        make_volume = config_volume if suffix else data_volume
        volume = make_volume(f"{self._name}-data{suffix}", context, self)
        return run_service(
            f"{self._name}-{role}",
            ContainerSpec(
                role=role,
                member="alertmanager" if suffix else "",
                image=config.image("alertmanager"),
                user=NOBODY_UID,
                command=(
                    f"--config.file={FOLDER}/alertmanager.yml",
                    "--storage.path=/alertmanager",
                    *FLAGS,
                    *gossip(role, roles),
                ),
                limits=config.alerts.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, (role,)),),
                mounts=(
                    Mount(volume.name, "/alertmanager", read_only=False),
                    config_files.mounted_at(FOLDER),
                ),
                health=wget(PORT, "/-/healthy"),
            ),
            context,
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )


def peers(replicas: int) -> tuple[str, ...]:
    """Return what the instances are called on the network."""
    return tuple("alertmanager" if number == 1 else f"alertmanager-{number}" for number in range(1, replicas + 1))


def gossip(role: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the flags by which an instance finds the others."""
    if len(roles) == 1:
        # No gossip port to listen on.
        return ("--cluster.listen-address=",)
    peer_flags = (f"--cluster.peer={peer}:{GOSSIP_PORT}" for peer in roles if peer != role)
    return (f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}", *peer_flags)

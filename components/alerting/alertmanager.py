"""AlertRouting: Alertmanager with its routes and receivers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi
import yaml

from components.alerting.inhibitions import inhibitions
from components.alerting.receivers import FOLDER, bot_address, receiver_config, secret_file
from components.alerting.routes import routes, time_intervals
from components.alerting.templates import message_files, render_check_command
from components.monitoring.exporters import NOBODY_UID
from runtime.base import Files, Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.secret_files import required_secret
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Reload
from runtime.volume import config_volume, data_volume
from settings.alerts import HEARTBEAT, NULL_RECEIVER, Alerts, Environment, Telegram

PORT = 9093
GOSSIP_PORT = 9094
FLAGS = (
    # Metrics of each receiver, not only of each kind: `./dockyard alert-test` reads the outcome from them.
    "--enable-feature=receiver-name-in-metrics",
    # How often silences and the notification log are saved; by default a kill may lose the last 15 minutes of them.
    "--data.maintenance-interval=1m",
)


@dataclass(frozen=True)
class AlertRoutingArgs:
    """What AlertRouting is made from."""

    alerts: Alerts
    environment: Environment
    context: StackContext
    grafana: str
    """Grafana's address as people reach it, for the links in messages."""


class AlertRouting(pulumi.ComponentResource):
    """Runs one to three instances of Alertmanager with the receivers of the settings.

    Webhook addresses are files that only Alertmanager can read. Each instance keeps silences and the notification log
    on a volume; that of the first is protected like other data. A changed configuration is checked with amtool, then
    loaded without a restart. Several instances share their state by gossip within the monitoring network; clients must
    send alerts to all of them.
    """

    address: str
    """Host and port of the first instance."""

    addresses: tuple[str, ...]
    """Host and port of every instance: alerts must be sent to all of them."""

    containers: dict[str, Instance]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, args: AlertRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:alert_routing:AlertRouting", name, None, opts)
        self._name, self._args = name, args
        roles = peers(args.alerts.replicas)
        self.addresses = tuple(f"{role}:{PORT}" for role in roles)
        self.address = self.addresses[0]
        self.targets = [ScrapeTarget("alertmanager", address) for address in self.addresses]
        config_files = self._write_config()
        self.containers = {role: self._run(role, roles, config_files) for role in roles}
        self.register_outputs({"address": self.address})

    def _write_config(self) -> Files:
        """Write the configuration, which all instances share."""
        args, context = self._args, self._args.context
        config = alertmanager_config(args.alerts, context.product, args.environment)
        messages = message_files(args.alerts, args.environment, args.grafana)
        files: dict[str, pulumi.Input[str]] = {"alertmanager.yml": yaml.safe_dump(config, sort_keys=False), **messages}
        for secret in args.alerts.secrets_in(args.environment):
            files[f"secrets/{secret}"] = required_secret(secret)
        for receiver in args.alerts.receivers_in(args.environment).values():
            if isinstance(receiver, Telegram):
                file = f"secrets/{receiver.bot_token}"
                files[file] = pulumi.Output.from_input(files[file]).apply(partial(bot_address, receiver))
        return context.files(
            f"{self._name}-config",
            FileSet(
                files=files,
                owner=NOBODY_UID,
                image=args.context.image("alertmanager"),
                check=f"amtool check-config alertmanager.yml && {render_check_command(messages)}",
                reload=Reload(context.monitoring_network, self.addresses),
            ),
            self,
        )

    def _run(self, role: str, roles: tuple[str, ...], config_files: Files) -> Instance:
        args, context = self._args, self._args.context
        suffix = role.removeprefix("alertmanager")
        # The first instance has the state of the others too: with fewer replicas their volumes may be deleted.
        make_volume = config_volume if suffix else data_volume
        volume = make_volume(f"{self._name}-data{suffix}", context, self)
        return context.service(
            f"{self._name}-{role}",
            ContainerSpec(
                role=role,
                member="alertmanager" if suffix else "",
                image=args.context.image("alertmanager"),
                user=NOBODY_UID,
                command=(
                    f"--config.file={FOLDER}/alertmanager.yml",
                    "--storage.path=/alertmanager",
                    *FLAGS,
                    *gossip(role, roles),
                ),
                limits=args.alerts.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, (role,)),),
                mounts=(
                    Mount(volume.name, "/alertmanager", read_only=False),
                    config_files.mounted_at(FOLDER),
                ),
                health=wget(PORT, "/-/healthy"),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=config_files.ready),
        )


def alertmanager_config(alerts: Alerts, product: str, environment: Environment) -> dict[str, Any]:
    """Return Alertmanager's configuration for one stack; secrets are in files beside it.

    It contains only the receivers of this environment.
    """
    receivers_by_name = alerts.receivers_in(environment)
    receivers = [receiver_config(name, receiver) for name, receiver in receivers_by_name.items()]
    if alerts.heartbeat and alerts.has_heartbeat_in(environment):
        call = {"url_file": secret_file(alerts.heartbeat), "send_resolved": False}
        receivers.append({"name": HEARTBEAT, "webhook_configs": [call]})
    quiet = time_intervals(receivers_by_name, alerts.timezone)
    return {
        "route": routes(alerts, product, environment),
        "receivers": [{"name": NULL_RECEIVER}, *receivers],
        "inhibit_rules": inhibitions(),
        **({"time_intervals": quiet} if quiet else {}),
        "templates": ["templates/*.tmpl"],
    }


def peers(replicas: int) -> tuple[str, ...]:
    """Return the host names of the instances."""
    return tuple("alertmanager" if number == 1 else f"alertmanager-{number}" for number in range(1, replicas + 1))


def gossip(role: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Return the flags with which an instance finds its peers."""
    if len(roles) == 1:
        # An empty address disables gossip.
        return ("--cluster.listen-address=",)
    peer_flags = (f"--cluster.peer={peer}:{GOSSIP_PORT}" for peer in roles if peer != role)
    return (f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}", *peer_flags)

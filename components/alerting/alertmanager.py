"""AlertRouting: Alertmanager, its container and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pulumi
import yaml

from components.alerting.inhibitions import inhibitions
from components.alerting.receivers import FOLDER, bot_address, receiver_config, secret_file
from components.alerting.routes import routes, time_intervals
from components.alerting.templates import message_files, render_check_command
from components.common import NOBODY, replica_roles
from runtime.base import Files, Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.secret_files import required_secret
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Reload
from settings.alerts import HEARTBEAT, NULL_RECEIVER, Alerts, Environment, Telegram
from settings.names import TOOLS

PORT = TOOLS["alertmanager"]
GOSSIP_PORT = 9094
FLAGS = (
    # Metrics of each receiver, not only of each kind: `./dockyard alert-test` reads the outcome from them.
    "--enable-feature=receiver-name-in-metrics",
    # How often silences and the notification log are saved; by default a kill may lose the last 15 minutes of them.
    "--data.maintenance-interval=1m",
)


class AlertRouting(pulumi.ComponentResource):
    """Runs one to three instances of Alertmanager with the receivers of the settings.

    Webhook addresses are files that only Alertmanager can read. Each instance keeps silences and the notification log
    on a volume; that of the first is protected like other data. A changed configuration is checked with amtool, then
    loaded without a restart. Several instances share their state by gossip within the monitoring network; clients must
    send alerts to all of them. `grafana` is Grafana's address as people reach it, for the links in messages.
    """

    addresses: tuple[str, ...]
    """Host and port of every instance: alerts must be sent to all of them."""

    containers: dict[str, Instance]
    targets: list[ScrapeTarget]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        alerts: Alerts,
        environment: Environment,
        grafana: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:alert_routing:AlertRouting", name, None, opts)
        self._name, self._context, self._alerts = name, context, alerts
        roles = replica_roles("alertmanager", alerts.replicas)
        self.addresses = tuple(f"{role}:{PORT}" for role in roles)
        self.targets = [ScrapeTarget("alertmanager", address) for address in self.addresses]
        config_files = self._write_config(environment, grafana)
        self.containers = {role: self._run(role, roles, config_files) for role in roles}
        self.register_outputs({"address": self.addresses[0]})

    def _write_config(self, environment: Environment, grafana: str) -> Files:
        """Write the configuration, which all instances share."""
        context, alerts = self._context, self._alerts
        config = alertmanager_config(alerts, context.product, environment)
        messages = message_files(alerts, environment, grafana)
        files: dict[str, pulumi.Input[str]] = {
            "alertmanager.yml": yaml.safe_dump(config, sort_keys=False),
            **messages,
            **{f"secrets/{secret}": required_secret(secret) for secret in alerts.secrets_in(environment)},
        }
        for receiver in alerts.receivers_in(environment).values():
            if isinstance(receiver, Telegram):
                token = required_secret(receiver.bot_token)
                files[f"secrets/{receiver.bot_token}"] = token.apply(partial(bot_address, receiver))
        return context.files(
            f"{self._name}-config",
            FileSet(
                files=files,
                owner=NOBODY,
                image=context.image("alertmanager"),
                check=f"amtool check-config alertmanager.yml && {render_check_command(messages)}",
                reload=Reload(context.monitoring_network, self.addresses),
            ),
            self,
        )

    def _run(self, role: str, roles: Sequence[str], config_files: Files) -> Instance:
        context = self._context
        suffix = role.removeprefix("alertmanager")
        # The first instance has the state of the others too: with fewer replicas their volumes may be deleted.
        make_volume = context.config_volume if suffix else context.data_volume
        volume = make_volume(f"{self._name}-data{suffix}", self)
        return context.service(
            f"{self._name}-{role}",
            ContainerSpec(
                role=role,
                member="alertmanager" if suffix else "",
                image=context.image("alertmanager"),
                user=NOBODY,
                command=(
                    f"--config.file={FOLDER}/alertmanager.yml",
                    "--storage.path=/alertmanager",
                    *FLAGS,
                    *gossip(role, roles),
                ),
                limits=self._alerts.limits,
                exclusive=True,
                networks=(Attachment(context.monitoring_network, (role,)),),
                mounts=(Mount(volume.name, "/alertmanager", read_only=False), config_files.mounted_at(FOLDER)),
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


def gossip(role: str, roles: Sequence[str]) -> tuple[str, ...]:
    """Return the flags with which an instance finds its peers."""
    if len(roles) == 1:
        # An empty address disables gossip.
        return ("--cluster.listen-address=",)
    peer_flags = (f"--cluster.peer={peer}:{GOSSIP_PORT}" for peer in roles if peer != role)
    return (f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}", *peer_flags)

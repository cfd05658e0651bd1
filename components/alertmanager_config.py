"""Alertmanager's configuration: who hears of what, from the settings. Nothing here makes a resource."""

from __future__ import annotations

from typing import Any

from components.alert_inhibitions import inhibitions
from components.alert_receivers import receiver_config, secret_file
from components.alert_routes import routes, time_intervals
from settings.alerts import HEARTBEAT, NOBODY, Alerts
from settings.receivers import Environment


def alertmanager_config(alerts: Alerts, product: str, environment: Environment) -> dict[str, Any]:
    """Return Alertmanager's configuration for one stack; what is secret stands in files beside it.

    Only the receivers of this environment are in it.
    """
    receivers_by_name = alerts.told_in(environment)
    receivers = [{"name": NOBODY}, *(receiver_config(name, receiver) for name, receiver in receivers_by_name.items())]
    if alerts.heartbeat and alerts.beats_in(environment):
        call = {"url_file": secret_file(alerts.heartbeat), "send_resolved": False}
        receivers.append({"name": HEARTBEAT, "webhook_configs": [call]})
    quiet = time_intervals(receivers_by_name, alerts.timezone)
    return {
        "route": routes(alerts, product, environment),
        "receivers": receivers,
        "inhibit_rules": inhibitions(),
        **({"time_intervals": quiet} if quiet else {}),
        "templates": ["templates/*.tmpl"],
    }

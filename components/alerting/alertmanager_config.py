"""Alertmanager's configuration, rendered from the settings. This module creates no resources."""

from __future__ import annotations

from typing import Any

from components.alerting.inhibitions import inhibitions
from components.alerting.receivers import receiver_config, secret_file
from components.alerting.routes import routes, time_intervals
from settings.alerts import HEARTBEAT, NULL_RECEIVER, Alerts
from settings.receivers import Environment


def alertmanager_config(alerts: Alerts, product: str, environment: Environment) -> dict[str, Any]:
    """Return Alertmanager's configuration for one stack; secrets are in files beside it.

    It contains only the receivers of this environment.
    """
    receivers_by_name = alerts.receivers_in(environment)
    receivers = [
        {"name": NULL_RECEIVER},
        *(receiver_config(name, receiver) for name, receiver in receivers_by_name.items()),
    ]
    if alerts.heartbeat and alerts.has_heartbeat_in(environment):
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

"""Alertmanager's routes: the receivers of each alert, group timing, and quiet hours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.alerting.inhibitions import TEST_LABEL
from settings.alerts import HEARTBEAT, NULL_RECEIVER, Alerts, Environment, GroupTiming, Quiet, Receiver
from settings.units import format_duration

WATCHDOG = "Watchdog"
HEARTBEAT_EVERY = "1m"


def matcher(label: str, value: str) -> str:
    """Return a matcher of one value, quoted as Alertmanager requires."""
    return f"{label}={json.dumps(value, ensure_ascii=False)}"


def any_matcher(label: str, values: Sequence[str]) -> str:
    """Return a matcher of any of these values, which must not need escaping in a regular expression."""
    return matcher(label, values[0]) if len(values) == 1 else f'{label}=~"{"|".join(values)}"'


def routes(alerts: Alerts, product: str, environment: Environment) -> dict[str, Any]:
    """Return the root route.

    Synthetic alerts go only to the receiver that they name. Each receiver has up to two routes, which all continue, so
    that an alert reaches every receiver that takes it. Critical alerts have a route of their own, with their own group
    timing and without quiet hours. Alerts of other products and environments reach the null receiver.
    """
    stack = [matcher("product", product), matcher("environment", environment)]
    receivers = alerts.receivers_in(environment)
    has_heartbeat = alerts.has_heartbeat_in(environment)
    child_routes = [_test_route(name) for name in (*receivers, *([HEARTBEAT] if has_heartbeat else []))]
    child_routes.append(_watchdog_route([matcher("alertname", WATCHDOG), *stack], has_heartbeat=has_heartbeat))
    for name, receiver in receivers.items():
        child_routes += _receiver_routes(name, receiver, alerts, stack)
    return {
        "receiver": NULL_RECEIVER,
        "group_by": alerts.group_by,
        **_group_timing(alerts.rest),
        "routes": child_routes,
    }


def time_intervals(receivers: Mapping[str, Receiver], timezone: str) -> list[dict[str, Any]]:
    """Return the time intervals of receivers with quiet hours, by the name that their routes refer to."""
    return [
        {
            "name": _quiet_name(name),
            "time_intervals": [{**interval, "location": timezone} for interval in _quiet_intervals(receiver.quiet)],
        }
        for name, receiver in receivers.items()
        if receiver.quiet
    ]


def _test_route(name: str) -> dict[str, Any]:
    """Return the route of a receiver's synthetic alerts: sent at once, each in its own message, and resolved soon."""
    timing = {"group_wait": "0s", "group_interval": "5s"}
    return {"receiver": name, "matchers": [matcher(TEST_LABEL, name)], "group_by": ["..."], **timing}


def _watchdog_route(matchers: list[str], *, has_heartbeat: bool) -> dict[str, Any]:
    """Return the route of the Watchdog, which always fires to prove that alerts are delivered: to no person."""
    if not has_heartbeat:
        return {"receiver": NULL_RECEIVER, "matchers": matchers}
    # As often as Alertmanager can notify: the dead man's switch misses it after a few minutes.
    timing = {"group_wait": "0s", "group_interval": HEARTBEAT_EVERY, "repeat_interval": HEARTBEAT_EVERY}
    return {"receiver": HEARTBEAT, "matchers": matchers, **timing}


def _receiver_routes(name: str, receiver: Receiver, alerts: Alerts, stack: list[str]) -> list[dict[str, Any]]:
    matchers = [*stack, *(matcher(label, value) for label, value in receiver.labels.items())]
    if receiver.alerts:
        matchers.append(any_matcher("alertname", receiver.alerts))
    muted = {"mute_time_intervals": [_quiet_name(name)]} if receiver.quiet else {}
    severities = list(dict.fromkeys(receiver.severities))
    branches = (
        ([severity for severity in severities if severity == "critical"], _group_timing(alerts.critical)),
        ([severity for severity in severities if severity != "critical"], _group_timing(alerts.rest) | muted),
    )
    return [
        {"receiver": name, "matchers": [any_matcher("severity", chosen), *matchers], **options, "continue": True}
        for chosen, options in branches
        if chosen
    ]


def _group_timing(pace: GroupTiming) -> dict[str, Any]:
    return {
        "group_wait": format_duration(pace.wait),
        "group_interval": format_duration(pace.interval),
        "repeat_interval": format_duration(pace.repeat),
    }


def _quiet_name(receiver: str) -> str:
    return f"quiet-{receiver}"


def _quiet_intervals(quiet: Quiet) -> list[dict[str, Any]]:
    """Return the quiet intervals. Those of Alertmanager cannot span midnight, so such hours become two."""
    intervals: list[dict[str, Any]] = []
    if quiet.hours:
        start, end = quiet.hours.split("-")
        parts = [(start, end)] if start < end else [(start, "24:00"), ("00:00", end)]
        intervals.append({"times": [{"start_time": first, "end_time": last} for first, last in parts if first != last]})
    if quiet.days:
        intervals.append({"weekdays": list(quiet.days)})
    return intervals

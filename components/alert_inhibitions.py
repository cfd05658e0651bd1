"""Which alert silences which. Nothing here makes a resource."""

from __future__ import annotations

from typing import Any

TEST_LABEL = "dockyard_test"
"""The label of a synthetic alert: the one receiver that it is for, whatever else it says."""

STACK = ["product", "environment"]

SAME_THING = [
    *STACK,
    *("job", "instance", "service", "container", "slo"),
    *("device", "mountpoint", "queue", "datname", "cn", "sans", "probe", "integration"),
]
"""What tells one thing from another: a label that neither of two alerts has is the same in both."""

ESCALATIONS: dict[str, tuple[str, ...]] = {
    "CertificateExpiresWithinDays": ("CertificateExpiresSoon",),
    "CertificateExpired": ("CertificateExpiresSoon",),
    "DBPoolExhaustion": ("ScaleDatabasePool",),
    "DiskFullWithinHours": ("DiskFullWithinADay", "DiskSpaceLow"),
    "EdgeCertificateExpires": ("EdgeCertificateExpiresSoon",),
    "EventLoopBlocked": ("EventLoopLagHigh",),
    "LowMemoryAvailable": ("ScaleMemoryWarning",),
    "NotificationsFailing": ("NotificationAttemptsFailing",),
    "PostgresConnectionsExhausted": ("HighDatabaseConnections",),
    "PostgresDown": ("DatabaseConnectionIssues",),
    "PostgresWraparoundNear": ("PostgresWraparoundRisk",),
    "ScaleCpuCritical": ("HighCpuUsage", "ScaleCpuWarning"),
    "ScaleLatencyCritical": ("HighRequestLatency", "ScaleLatencyWarning"),
    "SLOBurnRateFast": ("SLOBurnRateSlow", "SLOBurnRateTrickle"),
    "SLOBurnRateMedium": ("SLOBurnRateSlow", "SLOBurnRateTrickle"),
}
"""Alert → those that say less of the same thing: while it is critical they are not told, where they are warnings."""


def inhibitions() -> list[dict[str, Any]]:
    """Return Alertmanager's `inhibit_rules`: the source silences its targets where all labels of `equal` are the same.

    A synthetic alert silences nobody and is silenced by nobody.
    """
    return [_rule(*rule) for rule in [*CONSEQUENCES, *_same_thing()]]


CONSEQUENCES: list[tuple[list[str], list[str], list[str]]] = [
    # The rules say of each alert what it is about (`scope`). A host that is down says nothing of what runs on it.
    (['alertname="HostDown"'], ['scope=~"container|service|store|queue|edge|probe"'], STACK),
    # A product's own alert of a service ("TumulteBackendDown") says what the general one says. A service or store that
    # is known to be down: that its target is gone or one of its instances is missing adds nothing.
    (
        ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|store"'],
        ['alertname=~"TargetDown|ServiceDown|ServiceInstanceDown|ServiceFlapping"'],
        [*STACK, "job"],
    ),
    # Nor does what is seen of it from outside, or of its containers.
    (
        ['severity="critical"', 'alertname=~".+Down"', 'scope=~"service|container|store"', 'service!=""'],
        ['scope=~"probe|container"', 'alertname!="ContainerDown"', 'service!=""'],
        [*STACK, "service"],
    ),
]
"""Source, target, and the labels in which they agree."""


def _same_thing() -> list[tuple[list[str], list[str], list[str]]]:
    critical, rest = 'severity="critical"', 'severity=~"warning|info"'
    found = [([critical], [rest], ["alertname", *SAME_THING])]
    for source, targets in ESCALATIONS.items():
        found.append(([f'alertname="{source}"', critical], [f'alertname=~"{"|".join(targets)}"', rest], SAME_THING))
    return found


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    real = f'{TEST_LABEL}=""'
    return {"source_matchers": [*source, real], "target_matchers": [*target, real], "equal": equal}

"""Which alert silences which. Nothing here makes a resource."""

from __future__ import annotations

from typing import Any

TEST_LABEL = "dockyard_test"
"""The label of a synthetic alert: the one receiver that it is for, whatever else it says."""

STACK = ["product", "environment"]

SAME_THING = [
    *STACK,
    *("job", "instance", "service", "container", "container_id", "tier", "exported_service", "url", "server"),
    *("device", "mountpoint", "fstype", "interface", "direction"),
    *("datname", "usename", "application_name", "schemaname", "relname", "store", "kind"),
    *("route", "queue", "probe", "slo", "le", "cn", "sans", "status_code", "version", "action"),
    *("rule_group", "receiver_name", "remote_name", "collector", "plugin_id", "path", "reason", "group"),
]
"""Every label that tells one thing from another. A label that neither of two alerts has is the same in both."""

ESCALATIONS: dict[str, tuple[str, ...]] = {
    "BackupMissed": ("BackupFailed",),
    "CertificateExpired": ("CertificateExpiresSoon",),
    "CertificateExpiresWithinDays": ("CertificateExpiresSoon",),
    "DBPoolExhaustion": ("ScaleDatabasePool",),
    "DiskFullWithinHours": ("DiskFullWithinADay", "DiskSpaceLow"),
    "EdgeCertificateExpires": ("EdgeCertificateExpiresSoon",),
    "EdgeHighErrorRate": ("EdgeBadGateway",),
    "EventLoopBlocked": ("EventLoopLagHigh",),
    "LowMemoryAvailable": ("ScaleMemoryWarning",),
    "NotificationsFailing": ("NotificationAttemptsFailing",),
    "OffsiteBackupMissed": ("OffsiteBackupFailed",),
    "PostgresConnectionsExhausted": ("HighDatabaseConnections",),
    "PostgresDown": ("DatabaseConnectionIssues",),
    "PostgresWraparoundNear": ("PostgresWraparoundRisk",),
    "QueueNoWorkers": ("QueueStuck",),
    "SLOBurnRateFast": ("SLOBurnRateSlow", "SLOBurnRateTrickle"),
    "SLOBurnRateMedium": ("SLOBurnRateSlow", "SLOBurnRateTrickle"),
    "ScaleCpuCritical": ("HighCpuUsage", "ScaleCpuWarning"),
    "ScaleLatencyCritical": ("HighRequestLatency", "ScaleLatencyWarning"),
}
"""Alert → those that say less of the same thing: they are not told while it is critical and they are less."""

DOWN = ['severity="critical"', 'alertname=~".+Down"']

CONSEQUENCES: list[tuple[list[str], list[str], list[str]]] = [
    # The rules say of each alert what it is about (`scope`). A host that is down says nothing of what runs on it.
    (['alertname="HostDown"'], ['scope=~"container|service|store|queue|edge|probe"'], STACK),
    # A product's own alert of a service ("TumulteBackendDown") says what the general one says. No alert is on both
    # sides of a rule: of several sources with equal labels Alertmanager looks at one, which must not be the target.
    ([*DOWN, 'scope="service"', 'alertname!="ServiceDown"'], ['alertname="ServiceDown"'], [*STACK, "job"]),
    # Of a service or store that is down, that its target is gone or one of its instances is missing adds nothing.
    (
        [*DOWN, 'scope=~"service|store"', 'alertname!="ServiceInstanceDown"'],
        ['alertname=~"TargetDown|ServiceInstanceDown|ServiceFlapping"'],
        [*STACK, "job"],
    ),
    # Nor does what the edge and visitors see of it,
    ([*DOWN, 'scope="service"'], ['alertname=~"EdgeNoServerUp|EdgeServerDown|EdgeBadGateway"'], [*STACK, "job"]),
    (
        [*DOWN, 'scope=~"service|container|store"', 'service!=""'],
        ['scope="probe"', 'service!=""'],
        [*STACK, "service"],
    ),
    # nor what its containers do: where all of them are gone, that one of them is.
    ([*DOWN, 'scope=~"service|store"', 'service!=""'], ['scope="container"', 'service!=""'], [*STACK, "service"]),
    ([*DOWN, 'scope="container"'], ['scope="container"', 'alertname!="ContainerDown"'], [*STACK, "service"]),
]
"""Source, target, and the labels in which they agree."""


def inhibitions() -> list[dict[str, Any]]:
    """Return Alertmanager's `inhibit_rules`: the source silences its targets where all labels of `equal` are the same.

    A synthetic alert silences nobody and is silenced by nobody.
    """
    return [_rule(*rule) for rule in [*CONSEQUENCES, *_same_thing()]]


def _same_thing() -> list[tuple[list[str], list[str], list[str]]]:
    critical, lower = 'severity="critical"', 'severity=~"warning|info"'
    rules = [([critical], [lower], ["alertname", *SAME_THING])]
    for source, targets in ESCALATIONS.items():
        rules.append(([f'alertname="{source}"', critical], [f'alertname=~"{"|".join(targets)}"', lower], SAME_THING))
    return rules


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    real = f'{TEST_LABEL}=""'
    return {"source_matchers": [*source, real], "target_matchers": [*target, real], "equal": equal}

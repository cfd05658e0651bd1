"""Alertmanager's inhibition rules. This module creates no resources."""

from __future__ import annotations

from typing import Any

TEST_LABEL = "dockyard_test"
"""Label of a synthetic alert, whose value is the only receiver that it is routed to."""

STACK = ["product", "environment"]

SAME_THING = [
    *STACK,
    *("job", "instance", "service", "container", "container_id", "tier", "exported_service", "url", "server"),
    *("device", "mountpoint", "fstype", "interface", "direction"),
    *("datname", "usename", "application_name", "schemaname", "relname", "store", "kind"),
    *("route", "queue", "probe", "slo", "le", "cn", "sans", "status_code", "version", "action"),
    *("rule_group", "receiver_name", "remote_name", "collector", "plugin_id", "path", "reason", "group"),
]
"""Every label that identifies the subject of an alert. Alertmanager treats a label missing from two alerts as equal."""

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
"""Alert → weaker alerts about the same subject, which are inhibited while it is critical and they are not."""

DOWN = ['severity="critical"', 'alertname=~".+Down"']

CONSEQUENCES: list[tuple[list[str], list[str], list[str]]] = [
    # The rules label each alert with its subject (`scope`). A host that is down inhibits alerts about what runs on it.
    (['alertname="HostDown"'], ['scope=~"container|service|store|queue|edge|probe"'], STACK),
    # A product's own alert about a service ("TumulteBackendDown") repeats the general one. No alert is on both sides of
    # a rule: of several sources with equal labels Alertmanager considers one, which must not be the target.
    ([*DOWN, 'scope="service"', 'alertname!="ServiceDown"'], ['alertname="ServiceDown"'], [*STACK, "job"]),
    # A service or store that is down inhibits alerts about its scrape target and its single instances,
    (
        [*DOWN, 'scope=~"service|store"', 'alertname!="ServiceInstanceDown"'],
        ['alertname=~"TargetDown|ServiceInstanceDown|ServiceFlapping"'],
        [*STACK, "job"],
    ),
    # about what the edge proxy and the probes see of it,
    ([*DOWN, 'scope="service"'], ['alertname=~"EdgeNoServerUp|EdgeServerDown|EdgeBadGateway"'], [*STACK, "job"]),
    (
        [*DOWN, 'scope=~"service|container|store"', 'service!=""'],
        ['scope="probe"', 'service!=""'],
        [*STACK, "service"],
    ),
    # and about its containers: where all of them are gone, single ones need no alert.
    ([*DOWN, 'scope=~"service|store"', 'service!=""'], ['scope="container"', 'service!=""'], [*STACK, "service"]),
    ([*DOWN, 'scope="container"'], ['scope="container"', 'alertname!="ContainerDown"'], [*STACK, "service"]),
]
"""Source matchers, target matchers, and the labels that must be equal."""


def inhibitions() -> list[dict[str, Any]]:
    """Return Alertmanager's `inhibit_rules`: the source silences its targets where all labels of `equal` are the same.

    Synthetic alerts neither inhibit others nor are inhibited.
    """
    critical, lower = 'severity="critical"', 'severity=~"warning|info"'
    escalations = [
        ([f'alertname="{source}"', critical], [f'alertname=~"{"|".join(targets)}"', lower], SAME_THING)
        for source, targets in ESCALATIONS.items()
    ]
    real = f'{TEST_LABEL}=""'
    return [
        {"source_matchers": [*source, real], "target_matchers": [*target, real], "equal": equal}
        for source, target, equal in [*CONSEQUENCES, ([critical], [lower], ["alertname", *SAME_THING]), *escalations]
    ]

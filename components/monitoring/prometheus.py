"""Prometheus: its container, and its configuration, rendered from scrape targets. MonitoringStack runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pulumi
import yaml

from components.common import DOCKER_HOST, NOBODY
from components.monitoring.remote_write import remote_write_config, remote_write_files
from runtime.base import Instance
from runtime.context import ScrapeTarget, StackContext
from runtime.health import wget
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Reload, Volume
from settings.monitoring import Monitoring
from settings.names import TOOLS
from settings.units import format_duration, format_memory

PORT = TOOLS["prometheus"]
CONFIG_FOLDER = "/etc/prometheus"
NO_COMPACTION = ("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")
"""Disables compaction: Thanos' sidecar requires equal durations, so that Prometheus never merges shipped blocks."""


def run_prometheus(
    name: str,
    context: StackContext,
    *,
    monitoring: Monitoring,
    targets: Sequence[ScrapeTarget],
    alertmanagers: Sequence[str],
    rules: Mapping[str, str],
    snapshots: bool,
    data: Volume,
    parent: pulumi.Resource,
) -> Instance:
    """Run Prometheus, which also scrapes itself, Grafana and, if it has metrics, the Docker engine."""
    settings = monitoring.prometheus
    all_targets = [*targets, ScrapeTarget("prometheus", f"localhost:{PORT}")]
    all_targets.append(ScrapeTarget("grafana", f"grafana:{TOOLS['grafana']}"))
    if monitoring.engine_metrics:
        all_targets.append(ScrapeTarget("docker", f"{DOCKER_HOST}:{monitoring.engine_metrics}"))
    labels = {"product": context.product, "environment": context.environment}
    config = prometheus_config(all_targets, monitoring=monitoring, alertmanagers=alertmanagers, labels=labels)
    config_files = context.files(
        f"{name}-config",
        FileSet(
            files={
                "prometheus.yml": config,
                **{f"rules/{file}": text for file, text in rules.items()},
                **remote_write_files(monitoring.remote_write),
            },
            owner=NOBODY,
            image=context.image("prometheus"),
            check="promtool check config prometheus.yml > /dev/null",
            reload=Reload(context.monitoring_network, [f"prometheus:{PORT}"]),
        ),
        parent,
    )
    return context.service(
        name,
        ContainerSpec(
            role="prometheus",
            image=context.image("prometheus"),
            user=NOBODY,
            command=(
                f"--config.file={CONFIG_FOLDER}/prometheus.yml",
                "--storage.tsdb.path=/prometheus",
                f"--storage.tsdb.retention.time={format_duration(settings.retention)}",
                f"--storage.tsdb.retention.size={format_memory(settings.retention_size)}",
                *(() if settings.compaction else NO_COMPACTION),
                "--web.enable-lifecycle",
                # This API can also delete series. Grafana does not proxy it, and the edge requires authentication.
                *(("--web.enable-admin-api",) if snapshots else ()),
                # By default alerts beyond 10,000 at once are dropped until they are sent again a minute later.
                "--alertmanager.notification-queue-capacity=20000",
            ),
            limits=settings.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("prometheus",)),),
            mounts=(Mount(data.name, "/prometheus", read_only=False), config_files.mounted_at(CONFIG_FOLDER)),
            # Tumulte's check. `/-/ready` is stricter, but fails until the write-ahead log has been replayed.
            health=wget(PORT, "/-/healthy"),
            # Time to write the head block.
            stop_grace=60,
            reaches_host=monitoring.engine_metrics is not None,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=config_files.ready),
    )


def prometheus_config(
    targets: Sequence[ScrapeTarget], *, monitoring: Monitoring, alertmanagers: Sequence[str], labels: Mapping[str, str]
) -> pulumi.Output[str]:
    """Return prometheus.yml: one scrape job for each job name of the targets, and the rule files in its folder.

    The product's own services are scraped every `scrape_interval`, everything else every `infrastructure_interval`.
    Groups of rules without an interval are evaluated every `rule_interval`. `labels` are external labels (on every
    alert) and also on every series, so that rules and dashboards can select by product and environment.
    """
    settings = monitoring.prometheus
    interval = settings.scrape_interval
    default_interval = format_duration(interval)
    other_interval = format_duration(settings.infrastructure_interval or interval)
    ordered = sorted(targets, key=lambda target: (target.job, target.instance or ""))

    def rendered(addresses: Sequence[str]) -> str:
        jobs: list[dict[str, Any]] = []
        for name, group in groupby(zip(ordered, addresses, strict=True), lambda pair: pair[0].job):
            pairs = list(group)
            target = pairs[0][0]
            job: dict[str, Any] = {"job_name": name, "metrics_path": target.path}
            job |= {"honor_labels": True} if target.honor_labels else {}
            job |= _times(target, default_interval if target.is_app else other_interval, default_interval)
            jobs.append(job | {"static_configs": [_static(target, address, labels) for target, address in pairs]})
        config: dict[str, Any] = {
            "global": {
                "scrape_interval": default_interval,
                "evaluation_interval": format_duration(settings.rule_interval or interval),
                "scrape_timeout": format_duration(min(10, interval)),
                "external_labels": dict(labels),
            },
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
            "scrape_configs": jobs,
        }
        if monitoring.remote_write:
            config["remote_write"] = [remote_write_config(receiver) for receiver in monitoring.remote_write]
        return yaml.safe_dump(config, sort_keys=False)

    return pulumi.Output.all(*(target.address for target in ordered)).apply(rendered)


def _times(target: ScrapeTarget, interval: str, default: str) -> dict[str, str]:
    """Return the interval and timeout of a job where they differ from the global ones."""
    interval = format_duration(target.interval) if target.interval else interval
    timeout = {"scrape_timeout": format_duration(target.timeout)} if target.timeout else {}
    return {**({} if interval == default else {"scrape_interval": interval}), **timeout}


def _static(target: ScrapeTarget, address: str, labels: Mapping[str, str]) -> dict[str, Any]:
    target_labels = {"instance": target.instance} if target.instance else {}
    # Rules and dashboards select the product's own services by this label.
    target_labels |= {"tier": "app"} if target.is_app else {}
    # Prometheus uses labels of this form as request parameters, and drops them from the series.
    request = {"target": address, **target.params} if target.prober else {}
    params = {f"__param_{name}": value for name, value in request.items()}
    return {
        "targets": [target.prober or address],
        "labels": {"service": target.job, **target_labels, **params, **labels, **target.labels},
    }

"""VictoriaLogs, which stores logs and answers queries, and vmalert, which evaluates their alert rules.

The official images of both contain one program and no shell; LogPipeline runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import yaml

from components.config_volume import ConfigVolume, Reload
from components.container import run_service
from components.context import StackContext
from components.job import OneShotJob
from components.spec import Attachment, ContainerSpec, HealthCheck, Mount
from components.volume import config_volume, data_volume
from settings.container import Limits
from settings.logs import VictoriaLogs, Vmalert
from settings.names import TOOLS
from settings.units import format_duration

USER = "65532:65532"
"""User of both containers. The images run as root by default, and work with any user."""

PORT = TOOLS["victorialogs"]
VMALERT_PORT = TOOLS["vmalert"]
DATA_FOLDER = "/victoria-logs-data"
RULES_FOLDER = "/etc/vmalert"
NOTIFIERS = "notifiers.yaml"
PROBE_FOLDER = "/dockyard/probe"
"""Mount point of busybox in both containers, for their health checks."""

VMALERT_ARGUMENTS = (
    f"-rule={RULES_FOLDER}/*.yml",
    f"-datasource.url=http://victorialogs:{PORT}",
    f"-notifier.config={RULES_FOLDER}/{NOTIFIERS}",
    # The default waits 30 s for late lines; the rules' windows overlap, so that those are counted anyway.
    "-rule.evalDelay=0s",
    "-disableAlertgroupLabel",
    "-loggerLevel=WARN",
    "-loggerFormat=json",
)
"""vmalert keeps no state: after a start all rules are evaluated anew."""

DATASOURCE_TYPE = "victoriametrics-logs-datasource"
PLUGIN = f"{DATASOURCE_TYPE}@0.21.0"
"""Grafana's plugin for VictoriaLogs, pinned, as GF_PLUGINS_PREINSTALL_SYNC spells it."""


@dataclass(frozen=True)
class VictoriaLogsConfig:
    """Arguments of VictoriaLogs and vmalert."""

    store: VictoriaLogs
    vmalert: Vmalert
    context: StackContext
    image: Callable[[str], str]
    alertmanagers: Sequence[str]
    """Host and port of each Alertmanager."""

    rules: Mapping[str, str]
    """Rule files in LogsQL: name → content."""


def run_victorialogs(name: str, config: VictoriaLogsConfig, parent: pulumi.Resource) -> dict[str, docker.Container]:
    """Run both; resources are named `<name>-…`. Return role → container."""
    context = config.context
    data = data_volume(f"{name}-victorialogs-data", context, parent)
    probe = config_volume(f"{name}-victorialogs-probe", context, parent)
    prepare_job = _prepare_volumes(f"{name}-victorialogs-writer", config, data, probe, parent)
    store = run_service(
        f"{name}-victorialogs",
        ContainerSpec(
            role="victorialogs",
            image=config.image("victorialogs"),
            user=USER,
            command=store_arguments(config.store),
            limits=config.store.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("victorialogs",)),),
            mounts=(Mount(data.name, DATA_FOLDER, read_only=False), Mount(probe.name, PROBE_FOLDER)),
            health=_health(PORT),
            # Time to flush the lines in memory.
            stop_grace=60,
        ),
        context,
        pulumi.ResourceOptions(parent=parent, depends_on=prepare_job.done),
    )
    config_files = ConfigVolume(
        f"{name}-vmalert-config",
        files={**config.rules, NOTIFIERS: notifiers(config.alertmanagers)},
        owner=USER,
        image=config.image("busybox"),
        context=context,
        parent=parent,
        reload=Reload(context.monitoring_network, [f"vmalert:{VMALERT_PORT}"]),
    )
    vmalert = run_service(
        f"{name}-vmalert",
        ContainerSpec(
            role="vmalert",
            image=config.image("vmalert"),
            user=USER,
            command=VMALERT_ARGUMENTS,
            limits=config.vmalert.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("vmalert",)),),
            mounts=(config_files.mounted_at(RULES_FOLDER), Mount(probe.name, PROBE_FOLDER)),
            health=_health(VMALERT_PORT),
        ),
        context,
        pulumi.ResourceOptions(parent=parent, depends_on=_all_ready(config_files.ready, prepare_job.done)),
    )
    return {"victorialogs": store, "vmalert": vmalert}


def store_arguments(settings: VictoriaLogs) -> tuple[str, ...]:
    """Return VictoriaLogs' command line."""
    return (
        f"-storageDataPath={DATA_FOLDER}",
        f"-retentionPeriod={format_duration(settings.retention)}",
        f"-retention.maxDiskSpaceUsageBytes={settings.retention_size}MiB",
        # The minimum; the default is 5 s. Lines that are only in memory are lost if it is killed.
        "-inmemoryDataFlushInterval=1s",
        # Keep empty lines empty: the default replaces them with a sentence.
        "-defaultMsgValue=",
        # Its own log is collected as well.
        "-loggerLevel=WARN",
        "-loggerFormat=json",
    )


def notifiers(alertmanagers: Sequence[str]) -> str:
    """Return vmalert's notifier configuration. `alertmanagers` are host and port of each instance."""
    config = {
        "static_configs": [{"targets": list(alertmanagers)}],
        # Alerts have only the labels of their rules: this one is the name of a result in the query.
        "alert_relabel_configs": [{"action": "labeldrop", "regex": "stats_result"}],
    }
    return yaml.safe_dump(config, sort_keys=False)


def victorialogs_datasource(uid: str) -> dict[str, object]:
    """Return VictoriaLogs as a data source of Grafana's provisioning; dashboards refer to it by `uid`."""
    return {
        "name": "VictoriaLogs",
        "uid": uid,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": f"http://victorialogs:{PORT}",
        "isDefault": False,
        "editable": False,
        "jsonData": {"maxLines": "1000"},
    }


def _prepare_volumes(
    name: str, config: VictoriaLogsConfig, data: docker.Volume, probe: docker.Volume, parent: pulumi.Resource
) -> OneShotJob:
    """Make VictoriaLogs' user the owner of the data folder, and copy busybox for the health checks."""
    return OneShotJob(
        name,
        ContainerSpec(
            role="victorialogs-writer",
            image=config.image("busybox"),
            user="0:0",
            capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
            limits=Limits.model_validate({"memory": "64MB", "cpus": 0.5}),
            networks=(Attachment(config.context.monitoring_network),),
            mounts=(Mount(data.name, DATA_FOLDER, read_only=False), Mount(probe.name, PROBE_FOLDER, read_only=False)),
            entrypoint=("/bin/sh", "-ec"),
            command=(
                f"chown {USER} {DATA_FOLDER}\n"
                # Replaced atomically: a health check may be running it.
                f"cp /bin/busybox {PROBE_FOLDER}/busybox.new\n"
                f"chmod 0555 {PROBE_FOLDER}/busybox.new\n"
                f"mv {PROBE_FOLDER}/busybox.new {PROBE_FOLDER}/busybox",
            ),
        ),
        config.context,
        pulumi.ResourceOptions(parent=parent),
    )


def _health(port: int) -> HealthCheck:
    address = f"http://127.0.0.1:{port}/health"
    return HealthCheck((f"{PROBE_FOLDER}/busybox", "wget", "-q", "-T", "4", "-O", "/dev/null", address))


def _all_ready(
    first: pulumi.Output[Sequence[pulumi.Resource]], second: pulumi.Output[Sequence[pulumi.Resource]]
) -> pulumi.Output[Sequence[pulumi.Resource]]:
    return pulumi.Output.all(first, second).apply(
        lambda resources: [resource for group in resources for resource in group]
    )

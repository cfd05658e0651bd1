"""VictoriaLogs, which stores logs and answers queries, and vmalert, which evaluates their alert rules.

The official images of both contain one program and no shell; LogPipeline runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import yaml

from runtime.base import Instance, Job, all_ready
from runtime.context import StackContext
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount, Reload, Volume
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
class VictoriaLogsArgs:
    """Arguments of VictoriaLogs and vmalert."""

    store: VictoriaLogs
    vmalert: Vmalert
    context: StackContext
    alertmanagers: Sequence[str]
    """Host and port of each Alertmanager."""

    rules: Mapping[str, str]
    """Rule files in LogsQL: name → content."""


def run_victorialogs(name: str, args: VictoriaLogsArgs, parent: pulumi.Resource) -> dict[str, Instance]:
    """Run both; resources are named `<name>-…`. Return role → container."""
    context = args.context
    data = context.data_volume(f"{name}-victorialogs-data", parent)
    probe = context.config_volume(f"{name}-victorialogs-probe", parent)
    prepare_job = _prepare_volumes(f"{name}-victorialogs-writer", args, data, probe, parent)
    store = context.service(
        f"{name}-victorialogs",
        ContainerSpec(
            role="victorialogs",
            image=args.context.image("victorialogs"),
            user=USER,
            command=store_arguments(args.store),
            limits=args.store.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("victorialogs",)),),
            mounts=(Mount(data.name, DATA_FOLDER, read_only=False), Mount(probe.name, PROBE_FOLDER)),
            health=_health(PORT),
            # Time to flush the lines in memory.
            stop_grace=60,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=prepare_job.done),
    )
    config_files = context.files(
        f"{name}-vmalert-config",
        FileSet(
            files={**args.rules, NOTIFIERS: notifiers(args.alertmanagers)},
            owner=USER,
            image=args.context.image("busybox"),
            reload=Reload(context.monitoring_network, [f"vmalert:{VMALERT_PORT}"]),
        ),
        parent,
    )
    vmalert = context.service(
        f"{name}-vmalert",
        ContainerSpec(
            role="vmalert",
            image=args.context.image("vmalert"),
            user=USER,
            command=VMALERT_ARGUMENTS,
            limits=args.vmalert.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("vmalert",)),),
            mounts=(config_files.mounted_at(RULES_FOLDER), Mount(probe.name, PROBE_FOLDER)),
            health=_health(VMALERT_PORT),
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=all_ready(config_files.ready, prepare_job.done)),
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
    args = {
        "static_configs": [{"targets": list(alertmanagers)}],
        # Alerts have only the labels of their rules: this one is the name of a result in the query.
        "alert_relabel_configs": [{"action": "labeldrop", "regex": "stats_result"}],
    }
    return yaml.safe_dump(args, sort_keys=False)


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


def _prepare_volumes(name: str, args: VictoriaLogsArgs, data: Volume, probe: Volume, parent: pulumi.Resource) -> Job:
    """Make VictoriaLogs' user the owner of the data folder, and copy busybox for the health checks."""
    return args.context.job(
        name,
        ContainerSpec(
            role="victorialogs-writer",
            image=args.context.image("busybox"),
            user="0:0",
            capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
            limits=Limits.of("64MB", cpus=0.5),
            networks=(Attachment(args.context.monitoring_network),),
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
        pulumi.ResourceOptions(parent=parent),
    )


def _health(port: int) -> HealthCheck:
    address = f"http://127.0.0.1:{port}/health"
    return HealthCheck((f"{PROBE_FOLDER}/busybox", "wget", "-q", "-T", "4", "-O", "/dev/null", address))

"""VictoriaLogs, which stores logs and answers queries, and vmalert, which evaluates their alert rules.

The official images of both contain one program and no shell; LogPipeline runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import yaml

from components.common import NONROOT
from runtime.base import Instance, Job, all_ready
from runtime.context import StackContext
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck, Mount, Reload, Volume, writer_spec
from settings.logs import Logs, VictoriaLogs
from settings.names import TOOLS
from settings.units import format_duration

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


def run_victorialogs(
    name: str,
    context: StackContext,
    *,
    logs: Logs,
    alertmanagers: Sequence[str],
    rules: Mapping[str, str],
    parent: pulumi.Resource,
) -> dict[str, Instance]:
    """Run both, with rules in LogsQL; resources are named `<name>-…`. Return role → container."""
    data = context.data_volume(f"{name}-victorialogs-data", parent)
    probe = context.config_volume(f"{name}-victorialogs-probe", parent)
    prepare_job = _prepare_volumes(f"{name}-victorialogs-writer", context, data, probe, parent)
    store = context.service(
        f"{name}-victorialogs",
        ContainerSpec(
            role="victorialogs",
            image=context.image("victorialogs"),
            user=NONROOT,
            command=store_arguments(logs.victorialogs),
            limits=logs.victorialogs.limits,
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
            files={**rules, NOTIFIERS: notifiers(alertmanagers)},
            owner=NONROOT,
            image=context.image("busybox"),
            reload=Reload(context.monitoring_network, [f"vmalert:{VMALERT_PORT}"]),
        ),
        parent,
    )
    vmalert = context.service(
        f"{name}-vmalert",
        ContainerSpec(
            role="vmalert",
            image=context.image("vmalert"),
            user=NONROOT,
            command=VMALERT_ARGUMENTS,
            limits=logs.vmalert.limits,
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
    config = {
        "static_configs": [{"targets": list(alertmanagers)}],
        # Alerts have only the labels of their rules: this one is the name of a result in the query.
        "alert_relabel_configs": [{"action": "labeldrop", "regex": "stats_result"}],
    }
    return yaml.safe_dump(config, sort_keys=False)


def _prepare_volumes(name: str, context: StackContext, data: Volume, probe: Volume, parent: pulumi.Resource) -> Job:
    """Make VictoriaLogs' user the owner of the data folder, and copy busybox for the health checks."""
    script = (
        f"chown {NONROOT} {DATA_FOLDER}\n"
        # Replaced atomically: a health check may be running it.
        f"cp /bin/busybox {PROBE_FOLDER}/busybox.new\n"
        f"chmod 0555 {PROBE_FOLDER}/busybox.new\n"
        f"mv {PROBE_FOLDER}/busybox.new {PROBE_FOLDER}/busybox"
    )
    mounts = [Mount(data.name, DATA_FOLDER, read_only=False), Mount(probe.name, PROBE_FOLDER, read_only=False)]
    busybox = context.image("busybox")
    spec = writer_spec("victorialogs-writer", busybox, context.monitoring_network, [script], mounts)
    return context.job(name, spec, pulumi.ResourceOptions(parent=parent))


def _health(port: int) -> HealthCheck:
    address = f"http://127.0.0.1:{port}/health"
    return HealthCheck((f"{PROBE_FOLDER}/busybox", "wget", "-q", "-T", "4", "-O", "/dev/null", address))

"""Dockyard: runs a product and all of its operations, as a stack file and a product file describe them."""

import pulumi

from components.alerting.alertmanager import AlertRouting, AlertRoutingArgs
from components.app.services import AppServices, AppServicesArgs
from components.backups.restic import BackupSet, BackupSetArgs
from components.cloudflare.tunnel import CloudflareTunnel
from components.edge.proxy import EdgeProxy
from components.logs.pipeline import LogPipeline, LogPipelineArgs
from components.monitoring.exporters import ExporterSet, ExporterSetArgs
from components.monitoring.inventory import Inventory
from components.monitoring.stack import MonitoringStack, MonitoringStackArgs
from program import content, edge, urls
from program.configuration import load_settings
from program.context import make_context
from program.probes import probe_targets

settings = load_settings()
product, name = settings.product, settings.product.name
logs, monitoring_content = product.monitoring.logs, content.render_content(settings)
context = make_context(settings)

edge_args = edge.edge_proxy_args(settings, context)
proxy = EdgeProxy(f"{name}-edge", edge_args) if edge_args else None
app = AppServices(
    f"{name}-app",
    AppServicesArgs(
        product, context, edge=proxy, skip_jobs=settings.rolled_back, rerun_jobs=settings.release.rerun_jobs
    ),
)
inventory = Inventory(f"{name}-inventory", context)
exporters = ExporterSet(
    f"{name}-exporters",
    ExporterSetArgs(
        product.monitoring.exporters,
        context,
        connections=app.connections,
        inventory=inventory.mount,
        probes=probe_targets(settings, edge_args, app.containers),
    ),
)
alerts = AlertRouting(
    f"{name}-alerts",
    AlertRoutingArgs(product.alerts, settings.stack.environment, context, grafana=monitoring_content.grafana),
)
parts = [app, exporters, alerts, *([proxy] if proxy else [])]
if logs.enabled:
    log_args = LogPipelineArgs(
        logs,
        context,
        docker_root=settings.machine.docker_root,
        alertmanagers=alerts.addresses,
        rules=monitoring_content.log_rules,
    )
    parts.append(LogPipeline(f"{name}-logs", log_args))
monitoring = MonitoringStack(
    f"{name}-monitoring",
    MonitoringStackArgs(
        product.monitoring,
        context,
        targets=[target for part in parts for target in part.targets],
        alertmanagers=alerts.addresses,
        rules=monitoring_content.rules,
        dashboards=monitoring_content.dashboards,
        root_url=monitoring_content.grafana,
        logs=logs.store if logs.enabled else None,
        snapshots=product.backups.on and product.backups.monitoring,
    ),
)
backups = BackupSet(
    f"{name}-backups",
    BackupSetArgs(product, context, connections=app.connections, monitoring=monitoring, dumps=app.dumps),
)
tunnel_args = edge.tunnel_args(settings, context)
tunnel = CloudflareTunnel(f"{name}-tunnel", tunnel_args) if tunnel_args else None
parts += [monitoring, backups, *([tunnel] if tunnel else [])]
pulumi.export("urls", urls.published_urls(settings))
pulumi.export("grafana_admin_user", product.monitoring.grafana.admin_user)
pulumi.export("secrets", {**app.secrets, **monitoring.secrets, **backups.secrets, **(tunnel.secrets if tunnel else {})})
pulumi.export("containers", inventory.write(*(part.containers for part in parts)))
pulumi.export("release", settings.release.model_dump())

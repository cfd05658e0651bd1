"""The Pulumi program: deploys a product and the tools that operate it, as its product and stack files describe them."""

import pulumi

from components.alerting.alertmanager import AlertRouting
from components.app.services import AppServices
from components.backups.restic import BackupSet
from components.cloudflare.tunnel import CloudflareTunnel
from components.edge.proxy import EdgeProxy
from components.logs.stack import LogPipeline
from components.monitoring.exporters import ExporterSet
from components.monitoring.inventory import Inventory
from components.monitoring.stack import MonitoringStack
from program.configuration import load_settings
from program.content import render_content
from program.context import make_context
from program.edge import edge_ports, edge_upstreams, service_ports
from program.probes import stack_probes
from program.urls import published_urls

settings = load_settings()
content = render_content(settings)
context = make_context(settings)
product, stack, name = settings.product, settings.stack, settings.product.name
edge, logs, tunnel = None, None, None
if upstreams := edge_upstreams(settings):
    edge = EdgeProxy(f"{name}-edge", context, edge=product.edge, upstreams=upstreams, ports=edge_ports(settings))
app = AppServices(
    f"{name}-app",
    context,
    product=product,
    edge=edge,
    skip_jobs=settings.release_is_pinned,
    rerun_jobs=settings.release.rerun_jobs,
)
inventory = Inventory(f"{name}-inventory", context)
exporters = ExporterSet(
    f"{name}-exporters",
    context,
    exporters=product.monitoring.exporters,
    connections=app.connections,
    inventory=inventory.mount,
    probes=stack_probes(settings, edge, app.containers),
)
alerts = AlertRouting(
    f"{name}-alerts", context, alerts=product.alerts, environment=stack.environment, grafana=content.grafana
)
if product.monitoring.logs.enabled:
    logs = LogPipeline(
        f"{name}-logs",
        context,
        logs=product.monitoring.logs,
        docker_root=settings.machine.docker_root,
        alertmanagers=alerts.addresses,
        rules=content.log_rules,
    )
scraped = [part for part in (edge, app, exporters, alerts, logs) if part]
monitoring = MonitoringStack(
    f"{name}-monitoring",
    context,
    monitoring=product.monitoring,
    targets=[target for part in scraped for target in part.targets],
    alertmanagers=alerts.addresses,
    rules=content.rules,
    dashboards=content.dashboards,
    root_url=content.grafana,
    snapshots=product.backups.on and product.backups.monitoring,
)
backups = BackupSet(
    f"{name}-backups", context, product=product, connections=app.connections, monitoring=monitoring, dumps=app.dumps
)
if stack.tunnel:
    tunnel = CloudflareTunnel(f"{name}-tunnel", context, tunnel=stack.tunnel, ports=service_ports(settings))
container_ids = inventory.write(part.containers for part in (*scraped, monitoring, backups, tunnel) if part)
pulumi.export("urls", published_urls(settings))
pulumi.export("grafana_admin_user", product.monitoring.grafana.admin_user)
pulumi.export("secrets", {**app.secrets, **monitoring.secrets, **backups.secrets, **(tunnel.secrets if tunnel else {})})
pulumi.export("containers", container_ids)
pulumi.export("release", settings.release.model_dump())
pulumi.export("files", context.manifest)

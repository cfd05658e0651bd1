"""Dockyard: a product and the whole of its operations, from a stack file and a product file."""

import pulumi

from components.alert_routing import AlertRouting, AlertRoutingConfig
from components.app_services import AppServices, AppServicesConfig
from components.backups import BackupsConfig, BackupSet
from components.cloudflare_tunnel import CloudflareTunnel
from components.edge_proxy import EdgeProxy
from components.exporter_set import ExporterSet, ExporterSetConfig
from components.foundation import edge_config, engine_settings, probes, published_urls, shared_context, tunnel_config
from components.inventory import Inventory
from components.log_pipeline import LogPipeline, LogPipelineConfig
from components.monitoring_stack import MonitoringStack, MonitoringStackConfig
from components.shipped import shipped

settings = engine_settings()
stack, product, name, image = settings.stack, settings.product, settings.product.name, settings.image
told = shipped(settings)
context = shared_context(settings)
front = edge_config(settings, context)
edge = EdgeProxy(f"{name}-edge", front) if front else None
given = settings.rolled_back, settings.release.fresh
app = AppServices(f"{name}-app", AppServicesConfig(product, context, image, edge, *given))
inventory = Inventory(f"{name}-inventory", context, image)
probed = probes(settings, front, app.containers)
watched = ExporterSetConfig(product.monitoring.exporters, context, image, app.connections, inventory.mount, probed)
exporters = ExporterSet(f"{name}-exporters", watched)
told_by = AlertRoutingConfig(product.alerts, stack.environment, context, image, told.grafana)
alerts = AlertRouting(f"{name}-alerts", told_by)
parts = [app, exporters, alerts, *([edge] if edge else [])]
logs = product.monitoring.logs
if logs.enabled:
    reported = alerts.addresses, told.log_rules
    piped = LogPipelineConfig(logs, context, image, settings.machine.docker_root, *reported)
    parts.append(LogPipeline(f"{name}-logs", piped))
targets = [target for part in parts for target in part.targets]
shown = alerts.addresses, told.rules, told.dashboards, told.grafana, logs.store if logs.enabled else None
snapshots = product.backups.on and product.backups.monitoring
watcher = MonitoringStackConfig(product.monitoring, context, image, targets, *shown, snapshots)
monitoring = MonitoringStack(f"{name}-monitoring", watcher)
kept = BackupsConfig(product, context, image, app.connections, monitoring, app.dumps)
backups = BackupSet(f"{name}-backups", kept)
way = tunnel_config(settings, context)
tunnel = CloudflareTunnel(f"{name}-tunnel", way) if way else None
parts += [monitoring, backups, *([tunnel] if tunnel else [])]
programs = {**backups.secrets, **(tunnel.secrets if tunnel else {})}

pulumi.export("urls", published_urls(settings))
pulumi.export("grafana_admin_user", product.monitoring.grafana.admin_user)
pulumi.export("secrets", {**app.secrets, "grafana-admin-password": monitoring.admin_password, **programs})
pulumi.export("containers", inventory.write(*(part.containers for part in parts)))
pulumi.export("release", settings.release.model_dump())

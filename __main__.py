"""Dockyard: runs a product and all of its operations, as a stack file and a product file describe them."""

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
monitoring_content = shipped(settings)
context = shared_context(settings)

edge_args = edge_config(settings, context)
edge = EdgeProxy(f"{name}-edge", edge_args) if edge_args else None
app = AppServices(
    f"{name}-app",
    AppServicesConfig(product, context, image, edge, settings.rolled_back, settings.release.fresh),
)
inventory = Inventory(f"{name}-inventory", context, image)
exporters = ExporterSet(
    f"{name}-exporters",
    ExporterSetConfig(
        exporters=product.monitoring.exporters,
        context=context,
        image=image,
        connections=app.connections,
        inventory=inventory.mount,
        probes=probes(settings, edge_args, app.containers),
    ),
)
alerts = AlertRouting(
    f"{name}-alerts",
    AlertRoutingConfig(
        alerts=product.alerts,
        environment=stack.environment,
        context=context,
        image=image,
        grafana=monitoring_content.grafana,
    ),
)
parts = [app, exporters, alerts, *([edge] if edge else [])]

logs = product.monitoring.logs
if logs.enabled:
    log_pipeline = LogPipeline(
        f"{name}-logs",
        LogPipelineConfig(
            logs=logs,
            context=context,
            image=image,
            docker_root=settings.machine.docker_root,
            alertmanagers=alerts.addresses,
            rules=monitoring_content.log_rules,
        ),
    )
    parts.append(log_pipeline)

monitoring = MonitoringStack(
    f"{name}-monitoring",
    MonitoringStackConfig(
        monitoring=product.monitoring,
        context=context,
        image=image,
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
    BackupsConfig(
        product=product,
        context=context,
        image=image,
        connections=app.connections,
        monitoring=monitoring,
        dumps=app.dumps,
    ),
)
tunnel_args = tunnel_config(settings, context)
tunnel = CloudflareTunnel(f"{name}-tunnel", tunnel_args) if tunnel_args else None
parts += [monitoring, backups, *([tunnel] if tunnel else [])]
extra_secrets = {**backups.secrets, **(tunnel.secrets if tunnel else {})}

pulumi.export("urls", published_urls(settings))
pulumi.export("grafana_admin_user", product.monitoring.grafana.admin_user)
pulumi.export("secrets", {**app.secrets, "grafana-admin-password": monitoring.admin_password, **extra_secrets})
pulumi.export("containers", inventory.write(*(part.containers for part in parts)))
pulumi.export("release", settings.release.model_dump())

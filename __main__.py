"""Dockyard: a product and the whole of its operations, from a stack file and a product file."""

import pulumi

from components.alert_routing import AlertRouting, AlertRoutingConfig
from components.app_services import AppServices, AppServicesConfig
from components.exporter_set import ExporterSet, ExporterSetConfig
from components.foundation import engine_settings, grafana_root_url, published_urls, shared_context
from components.monitoring_stack import MonitoringStack, MonitoringStackConfig
from components.shipped import dashboards_for, rules

settings = engine_settings()
stack, name, image, port = settings.stack, settings.product.name, settings.image, settings.port

context = shared_context(settings)
app = AppServices(f"{name}-app", AppServicesConfig(settings.product, context, image, port))
exporters = ExporterSet(
    f"{name}-exporters",
    ExporterSetConfig(settings.product.monitoring.exporters, context, image, app.connections),
)
alerts = AlertRouting(f"{name}-alerts", AlertRoutingConfig(stack.alerts, context, image, port("alertmanager")))
monitoring = MonitoringStack(
    f"{name}-monitoring",
    MonitoringStackConfig(
        settings.product.monitoring,
        context,
        image,
        port,
        targets=[*app.targets, *exporters.targets, *alerts.targets],
        alertmanager=alerts.address,
        rules=rules(),
        dashboards=dashboards_for(settings),
        root_url=grafana_root_url(settings),
    ),
)
if stack.tunnel:
    from components.cloudflare_tunnel import CloudflareTunnel, CloudflareTunnelConfig

    CloudflareTunnel(
        f"{name}-tunnel",
        CloudflareTunnelConfig(stack.tunnel, context, image, service="http://grafana:3000"),
    )

pulumi.export("urls", published_urls(settings))
pulumi.export("grafana_admin_user", settings.product.monitoring.grafana.admin_user)
pulumi.export("grafana_admin_password", monitoring.admin_password)
pulumi.export(
    "containers",
    {
        role: container.id
        for role, container in {
            **app.containers,
            **exporters.containers,
            "alertmanager": alerts.container,
            **monitoring.containers,
        }.items()
    },
)

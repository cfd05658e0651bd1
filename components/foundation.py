"""What comes before every component: the settings as the engine gives them, and the networks of the stack."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker
from pulumi.runtime import config as engine_config

from components.context import StackContext
from settings.loader import Settings, from_engine, load
from settings.problems import SettingsError


def engine_settings() -> Settings:
    """Return the settings of the stack that the engine is working on.

    Raises pulumi.RunError with every problem, before anything is made.
    """
    values = engine_config.CONFIG.get() or engine_config.get_config_env()
    configuration = from_engine(values, frozenset(filter(engine_config.is_config_secret, values)))
    try:
        settings = load(configuration, pulumi.get_stack(), preview=pulumi.runtime.is_dry_run())
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
    for problem in settings.missing_secrets:
        pulumi.log.warn(f"{problem} (`up` refuses to go on without it)")
    return settings


def shared_context(settings: Settings) -> StackContext:
    """Make the stack's two networks and return what its components share.

    The product and what watches it are apart; what is in both is what is watched.
    """
    labels = {
        "dockyard.product": settings.product.name,
        "dockyard.environment": settings.stack.environment,
        "dockyard.stack": pulumi.get_stack(),
    }

    def network(role: str) -> pulumi.Output[str]:
        return docker.Network(
            f"{settings.product.name}-{role}",
            driver="bridge",
            labels=[docker.NetworkLabelArgs(label=label, value=value) for label, value in sorted(labels.items())],
        ).name

    return StackContext(
        product=settings.product.name,
        environment=settings.stack.environment,
        docker=settings.product.docker,
        protects_data=settings.stack.protects_data,
        app_network=network("app"),
        monitoring_network=network("monitoring"),
    )


def published_urls(settings: Settings) -> dict[str, str]:
    """Return the address of everything that the stack publishes on this machine."""
    return {
        name: f"http://127.0.0.1:{settings.port(name)}"
        for name in sorted(settings.product.publish)
        if name not in ("postgres", "redis")
    }


def grafana_root_url(settings: Settings) -> str | None:
    """Return where people reach Grafana: as configured, else by the tunnel, else on the published port."""
    if settings.product.monitoring.grafana.root_url:
        return settings.product.monitoring.grafana.root_url
    if settings.stack.tunnel:
        return f"https://{settings.stack.tunnel.hostname}"
    return published_urls(settings).get("grafana")

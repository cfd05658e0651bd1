"""Whether the host can give what the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator

from settings.container import Limits
from settings.loader import NAMESPACE, Settings
from settings.problems import Problem, SettingsError


def check_cores(settings: Settings, cores: int) -> None:
    """Make sure that no container asks for more cores than the host has: Docker would refuse it in mid-course.

    Raises SettingsError naming every limit that is too high.
    """
    problems = [
        Problem(file, f"{path}.cpus", f"{limits.cpus:g}", f"at most {cores}, the cores of this Docker host")
        for file, path, limits in _limits(settings)
        if limits.cpus > cores
    ]
    if problems:
        raise SettingsError(problems)


def _limits(settings: Settings) -> Iterator[tuple[str, str, Limits]]:
    stack, product = settings.stack, settings.product
    stack_file = f"Pulumi.{settings.stack_name}.yaml"
    for name, workload in product.workloads.items():
        override = stack.services.get(name)
        if override and override.limits:
            yield stack_file, f"config.{NAMESPACE}services.{name}.limits", workload.limits
        else:
            kind = "services" if name in product.services else "jobs"
            yield stack.product, f"{kind}.{name}.limits", workload.limits
    if product.postgres:
        yield stack.product, "postgres.limits", product.postgres.limits
    if product.redis:
        yield stack.product, "redis.limits", product.redis.limits
    monitoring = stack.monitoring
    tools = {
        "monitoring.prometheus.limits": monitoring.prometheus.limits,
        "monitoring.grafana.limits": monitoring.grafana.limits,
        "alerts.limits": stack.alerts.limits,
    }
    for path, limits in tools.items():
        yield stack_file, f"config.{NAMESPACE}{path}", limits
    for name in ("node", "cadvisor", "postgres", "redis"):
        yield stack_file, f"config.{NAMESPACE}monitoring.exporters.{name}", getattr(monitoring.exporters, name)

"""The context that all components of a stack share: its networks and its volume for textfile metrics."""

from dataclasses import replace

import pulumi

from runtime.context import StackContext
from runtime.docker import DockerRuntime
from runtime.labels import stack_labels
from runtime.textfile import metrics_folder
from settings.loader import Settings


def make_context(settings: Settings) -> StackContext:
    """Create the stack's two networks and its volume for textfile metrics; return the shared context.

    The product and the monitoring have separate networks; containers that are scraped are on both.
    """
    labels = stack_labels(settings.product.name, settings.stack.environment, pulumi.get_stack())
    context = DockerRuntime(
        product=settings.product.name,
        environment=settings.stack.environment,
        docker=settings.product.docker,
        protects_data=settings.stack.protects_data,
        app_network=DockerRuntime.network(f"{settings.product.name}-app", labels),
        monitoring_network=DockerRuntime.network(f"{settings.product.name}-monitoring", labels),
        image=settings.image,
        networks=settings.product.networks,
    )
    name = f"{settings.product.name}-metrics"
    return replace(context, metrics=metrics_folder(name, settings.image("busybox"), context))

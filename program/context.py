"""The context that all components of a stack share: its networks and its volume for textfile metrics."""

from dataclasses import replace

import pulumi

from runtime.context import StackContext
from runtime.docker import DockerRuntime
from runtime.textfile import metrics_folder
from settings.loader import Settings


def make_context(settings: Settings) -> StackContext:
    """Create the stack's two networks and its volume for textfile metrics; return the shared context.

    The product and the monitoring have separate networks; containers that are scraped are on both.
    """
    name, runtime, not_created = settings.product.name, DockerRuntime(), pulumi.Output.from_input("")
    context = StackContext(
        product=name,
        environment=settings.stack.environment,
        docker=settings.product.docker,
        protects_data=settings.stack.protects_data,
        app_network=not_created,
        monitoring_network=not_created,
        runtime=runtime,
        image=settings.image,
        networks=settings.product.networks,
    )
    context = replace(
        context,
        app_network=runtime.network(f"{name}-app", context.labels),
        monitoring_network=runtime.network(f"{name}-monitoring", context.labels),
    )
    return replace(context, metrics=metrics_folder(f"{name}-metrics", settings.image("busybox"), context))

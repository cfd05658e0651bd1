"""Values and container specs that several components share."""

from __future__ import annotations

import pulumi

from runtime.base import Resources, all_ready
from runtime.context import StackContext
from runtime.spec import Mount
from runtime.textfile import writable
from settings.backups import S3

NOBODY = "65534:65534"
"""User of Prometheus, its exporters and Alertmanager in the official images."""

NONROOT = "65532:65532"
"""User of cloudflared in the official image; also for images that run as root by default and work with any user."""

DOCKER_HOST = "host.docker.internal"
"""Name of the Docker host in containers with `reaches_host`."""

HSTS_SECONDS = 365 * 24 * 3600
"""`max-age` of the header Strict-Transport-Security."""


def replica_roles(name: str, replicas: int) -> list[str]:
    """Return the roles of the instances of a service: `api`, `api-2`, …"""
    return [name if number == 1 else f"{name}-{number}" for number in range(1, replicas + 1)]


def s3_prefix(s3: S3, context: StackContext) -> str:
    """Return the folder of this stack in a bucket."""
    return s3.prefix or f"{context.product}/{pulumi.get_stack()}"


def textfile_mounts(context: StackContext) -> tuple[Mount, ...]:
    """Return the mount of a writer of textfile metrics, which depends on `textfile_ready`; none without monitoring."""
    return (writable(context.metrics),) if context.metrics else ()


def textfile_ready(context: StackContext) -> Resources:
    """Return the resources after which textfile metrics can be written."""
    return context.metrics.ready if context.metrics else all_ready()

"""Values and container specs that several components share."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from runtime.base import Resources, all_ready
from runtime.context import StackContext
from runtime.spec import Attachment, ContainerSpec, Mount
from runtime.textfile import writable
from settings.backups import S3
from settings.container import Limits

NOBODY = "65534:65534"
"""User of Prometheus, its exporters and Alertmanager in the official images."""

NONROOT = "65532:65532"
"""User of cloudflared in the official image; also for images that run as root by default and work with any user."""

DOCKER_HOST = "host.docker.internal"
"""Name of the Docker host in containers with `reaches_host`."""

HSTS_SECONDS = 365 * 24 * 3600
"""`max-age` of the header Strict-Transport-Security."""

CHANGE_FILES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
"""Capabilities of a job that changes files of other users."""


def replica_roles(name: str, replicas: int) -> list[str]:
    """Return the roles of the instances of a service: `api`, `api-2`, …"""
    return [name if number == 1 else f"{name}-{number}" for number in range(1, replicas + 1)]


def writer_spec(
    role: str,
    image: str,
    network: pulumi.Input[str],
    command: Sequence[pulumi.Input[str]],
    mounts: Sequence[Mount],
    *,
    capabilities: tuple[str, ...] = CHANGE_FILES,
    read_only: bool = True,
) -> ContainerSpec:
    """Return the spec of a one-shot job that prepares volumes as root, which owns new volumes.

    `command` is a shell script and its arguments.
    """
    return ContainerSpec(
        role=role,
        image=image,
        user="0:0",
        read_only=read_only,
        capabilities=capabilities,
        limits=Limits.of("64MB", cpus=0.5),
        networks=(Attachment(network),),
        mounts=tuple(mounts),
        entrypoint=("/bin/sh", "-ec"),
        command=tuple(command),
    )


def s3_prefix(s3: S3, context: StackContext) -> str:
    """Return the folder of this stack in a bucket."""
    return s3.prefix or f"{context.product}/{pulumi.get_stack()}"


def textfile_mounts(context: StackContext) -> tuple[Mount, ...]:
    """Return the mount of a writer of textfile metrics, which depends on `textfile_ready`; none without monitoring."""
    return (writable(context.metrics),) if context.metrics else ()


def textfile_ready(context: StackContext) -> Resources:
    """Return the resources after which textfile metrics can be written."""
    return context.metrics.ready if context.metrics else all_ready()

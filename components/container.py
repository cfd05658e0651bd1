"""Turns a container spec into a Docker container, hardened, with what the official provider needs to stay quiet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pulumi
import pulumi_docker as docker

from components.context import StackContext
from components.spec import ContainerSpec, HealthCheck

TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,size=64m"


def go_duration(seconds: int) -> str:
    """Spell seconds as Go prints them: the provider reads them back so, and any other spelling is a diff for ever."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def label_args(labels: Mapping[str, str]) -> list[docker.ContainerLabelArgs]:
    """Return labels sorted by name, so that their order never shows as a change."""
    return [docker.ContainerLabelArgs(label=name, value=value) for name, value in sorted(labels.items())]


def spec_hash(spec: ContainerSpec) -> str:
    """Return a short hash of what the spec says in the open; outputs (ids, secrets) are left out of it."""
    text = json.dumps(asdict_without_outputs(spec), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def asdict_without_outputs(spec: ContainerSpec) -> Any:
    """Return the spec as plain data in which every output is one fixed word."""
    return asdict(spec, dict_factory=lambda items: {key: _plain(value) for key, value in items})


def _plain(value: Any) -> Any:
    if isinstance(value, pulumi.Output):
        return "(output)"
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def common_args(spec: ContainerSpec, context: StackContext) -> dict[str, Any]:
    """Return the inputs that services and one-shot jobs have in common."""
    return {
        "image": spec.image,
        "command": list(spec.command) or None,
        "entrypoints": list(spec.entrypoint) or None,
        "envs": [pulumi.Output.concat(name, "=", value) for name, value in sorted(spec.env.items())] or None,
        "user": spec.user,
        # The provider reports a swap limit of its own where none is given: an update in every preview.
        "memory": spec.limits.memory,
        "memory_swap": spec.limits.memory,
        "memory_reservation": spec.limits.reservation,
        "cpus": f"{spec.limits.cpus:g}",
        "read_only": spec.read_only,
        "capabilities": docker.ContainerCapabilitiesArgs(
            drops=["ALL"], adds=[f"CAP_{name}" for name in spec.capabilities] or None
        ),
        "security_opts": ["no-new-privileges:true"],
        "pid_mode": "host" if spec.host_processes else None,
        "init": True,
        "log_driver": "json-file",
        "log_opts": {
            "max-size": context.docker.log_max_size,
            "max-file": str(context.docker.log_max_files),
            "labels": ",".join([*sorted(context.labels), "dockyard.service"]),
        },
        "labels": label_args({**context.labels, "dockyard.service": spec.role, "dockyard.spec": spec_hash(spec)}),
        "networks_advanced": [
            docker.ContainerNetworksAdvancedArgs(name=item.network, aliases=list(item.aliases) or None)
            for item in spec.networks
        ],
        "mounts": [
            docker.ContainerMountArgs(
                type="bind" if mount.host else "volume",
                source=mount.source,
                target=mount.target,
                read_only=mount.read_only,
            )
            for mount in spec.mounts
        ]
        or None,
        "tmpfs": dict.fromkeys(spec.tmpfs, TMPFS_OPTIONS) or None,
    }


def run_service(
    name: str, spec: ContainerSpec, context: StackContext, opts: pulumi.ResourceOptions
) -> docker.Container:
    """Run a long-lived container and wait until it is healthy.

    Where it publishes no port its successor is created, and healthy, before it goes; where it does, the port can
    have only one holder, so the old one goes first. The name is always generated, so that both can exist.
    """
    replace_in_place = bool(spec.publish)
    return docker.Container(
        name,
        **common_args(spec, context),
        restart="unless-stopped",
        must_run=True,
        healthcheck=_health_args(spec.health, context),
        wait=spec.health is not None,
        wait_timeout=context.docker.wait_timeout,
        stop_signal=spec.stop_signal,
        stop_timeout=spec.stop_grace,
        # Counts when the container is deleted, from the OLD state: so it must be there from the first day.
        destroy_grace_seconds=spec.stop_grace,
        ports=[
            docker.ContainerPortArgs(internal=port.inside, external=port.outside, ip=port.address)
            for port in spec.publish
        ]
        or None,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=replace_in_place)),
    )


def _health_args(health: HealthCheck | None, context: StackContext) -> docker.ContainerHealthcheckArgs | None:
    if health is None:
        return None
    interval = context.docker.health_interval or health.interval
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=go_duration(interval),
        timeout=go_duration(health.timeout),
        retries=health.retries,
        start_period=go_duration(health.start_period),
    )

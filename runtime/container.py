"""Creates a hardened Docker container from a spec, with inputs that cause the official provider no permanent diffs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pulumi
import pulumi_docker as docker
from pydantic import BaseModel

from runtime.base import Instance
from runtime.context import StackContext
from runtime.hardening import check_hardening
from runtime.spec import ContainerSpec, HealthCheck

TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,size=64m"


def format_go_duration(seconds: int) -> str:
    """Return a duration as Go formats it: the provider returns it so, and any other form would be a permanent diff."""
    hours, remainder = divmod(seconds, 3600)
    minutes, remaining_seconds = divmod(remainder, 60)
    if hours:
        return f"{hours}h{minutes}m{remaining_seconds}s"
    return f"{minutes}m{remaining_seconds}s" if minutes else f"{remaining_seconds}s"


def label_args(labels: Mapping[str, pulumi.Input[str]]) -> list[docker.ContainerLabelArgs]:
    """Return labels sorted by name, so that their order never causes a diff."""
    return [docker.ContainerLabelArgs(label=name, value=value) for name, value in sorted(labels.items())]


def spec_hash(spec: ContainerSpec) -> str:
    """Return a short hash of the spec's plain values, without outputs (ids, secrets).

    As a label it turns every change into a replacement: the provider plans changes of health checks and tmpfs folders
    as updates in place, and then does not apply them. Limits are left out, since it does update those in place.
    """
    plain_inputs = {name: value for name, value in _plain(spec).items() if name != "limits"}
    text = json.dumps([plain_inputs, TMPFS_OPTIONS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, pulumi.Output):
        return "(output)"
    if is_dataclass(value):
        values = {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
        # `start_interval` was added later: left out where unset, so that the hash equals that of older versions.
        return {name: inner for name, inner in values.items() if (name, inner) != ("start_interval", None)}
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def common_args(spec: ContainerSpec, context: StackContext) -> dict[str, Any]:
    """Return the container inputs that services and one-shot jobs share."""
    check_hardening(spec)
    labels: dict[str, pulumi.Input[str]] = {
        **context.labels,
        "dockyard.service": spec.role,
        "dockyard.spec": spec_hash(spec),
    }
    if spec.content is not None:
        labels["dockyard.content"] = spec.content
    return {
        "image": spec.image,
        "command": list(spec.command) or None,
        "entrypoints": list(spec.entrypoint) or None,
        "envs": [_variable(name, value) for name, value in sorted(spec.env.items())] or None,
        "user": spec.user,
        # Without it the provider reports a default swap limit: an update in every preview.
        "memory": spec.limits.memory,
        "memory_swap": spec.limits.memory,
        "memory_reservation": spec.limits.reservation,
        # The provider returns "2" as "2.0", which would be a replacement in every preview.
        "cpus": str(float(spec.limits.cpus)),
        "read_only": spec.read_only,
        "capabilities": docker.ContainerCapabilitiesArgs(
            drops=["ALL"], adds=[f"CAP_{name}" for name in spec.capabilities] or None
        ),
        "security_opts": ["no-new-privileges:true"],
        "init": True,
        "log_driver": "json-file",
        "log_opts": {
            "max-size": context.docker.log_max_size,
            "max-file": str(context.docker.log_max_files),
            "labels": ",".join([*sorted(context.labels), "dockyard.service"]),
            # Written into each line, where the log pipeline reads the container's name.
            "tag": "{{.Name}}",
        },
        "labels": label_args(labels),
        "networks_advanced": [
            docker.ContainerNetworksAdvancedArgs(name=item.network, aliases=list(item.aliases) or None)
            for item in (*spec.networks, *context.external_networks(spec.member or spec.role))
        ],
        "hosts": [docker.ContainerHostArgs(host="host.docker.internal", ip="host-gateway")]
        if spec.reaches_host
        else None,
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
        "shm_size": spec.shared_memory,
        "tmpfs": dict.fromkeys(spec.tmpfs, TMPFS_OPTIONS) or None,
    }


def _variable(name: str, value: pulumi.Input[str]) -> pulumi.Input[str]:
    return f"{name}={value}" if isinstance(value, str) else pulumi.Output.concat(name, "=", value)


def run_service(name: str, spec: ContainerSpec, context: StackContext, opts: pulumi.ResourceOptions) -> Instance:
    """Run a long-lived container and wait until it is healthy.

    A replacement is created, and healthy, before the old container is deleted, unless both cannot exist at once: a
    published port and a data folder have only one user. The name is always generated, so that both can exist.
    """
    if spec.health:
        interval = context.docker.health_interval or spec.health.interval
        health = replace(spec.health, interval=interval, start_interval=context.docker.health_start_interval)
        spec = replace(spec, health=health)
    container = docker.Container(
        name,
        **common_args(spec, context),
        restart=spec.restart,
        must_run=True,
        healthcheck=_health_args(spec.health),
        wait=spec.health is not None,
        wait_timeout=context.docker.wait_timeout,
        stop_signal=spec.stop_signal,
        stop_timeout=spec.stop_grace,
        # Read from the OLD state when the container is deleted, so it must be set from the first release on.
        destroy_grace_seconds=spec.stop_grace,
        ports=[
            docker.ContainerPortArgs(internal=port.inside, external=port.outside, ip=port.address, protocol="tcp")
            for port in spec.publish
        ]
        or None,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(delete_before_replace=spec.exclusive or bool(spec.publish))
        ),
    )
    return Instance(container, container.name, container.id, container.image)


def _health_args(health: HealthCheck | None) -> docker.ContainerHealthcheckArgs | None:
    if health is None:
        return None
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=format_go_duration(health.interval),
        timeout=format_go_duration(health.timeout),
        retries=health.retries,
        start_period=format_go_duration(health.start_period),
        start_interval=format_go_duration(health.start_interval) if health.start_interval else None,
    )

"""The runtime of a single Docker host: hardened containers, one-shot jobs, volumes and networks.

The inputs are written as the official provider reads them back: any other form would be a diff in every preview.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pulumi
import pulumi_docker as docker

from runtime import guarantees
from runtime.base import Files, Instance, Job
from runtime.config_files import write_files
from runtime.context import StackContext
from runtime.hardening import check_hardening
from runtime.labels import CONFIG, CONFIG_HASH, DATA, SERVICE, SPEC, VOLUME_KIND
from runtime.manifest import StagedFiles, script_digest
from runtime.spec import ContainerSpec, FileSet, HealthCheck, Volume

TMPFS_OPTIONS = "rw,noexec,nosuid,nodev,size=64m"
LAST_LINES = 15
"""Number of log lines that the error of a failed job quotes."""


class DockerRuntime(StackContext):
    """Creates containers, volumes and bridge networks on one Docker engine."""

    guarantees = guarantees.DOCKER

    @staticmethod
    def network(name: str, labels: Mapping[str, str]) -> pulumi.Output[str]:
        """Create a bridge network; return its name."""
        label_args = [docker.NetworkLabelArgs(label=label, value=value) for label, value in sorted(labels.items())]
        return docker.Network(name, driver="bridge", labels=label_args).name

    def service(self, name: str, spec: ContainerSpec, opts: pulumi.ResourceOptions) -> Instance:
        """Run a long-lived container and wait until it is healthy.

        A replacement is created, and healthy, before the old container is deleted, unless both cannot exist at once: a
        published port and a data folder have only one user. The name is always generated, so that both can exist.
        """
        if spec.health:
            interval = self.docker.health_interval or spec.health.interval
            health = replace(spec.health, interval=interval, start_interval=self.docker.health_start_interval)
            spec = replace(spec, health=health)
        container = docker.Container(
            name,
            **self._container_args(spec),
            restart=spec.restart,
            must_run=True,
            healthcheck=_health_args(spec.health),
            wait=spec.health is not None,
            wait_timeout=self.docker.wait_timeout,
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

    def job(
        self,
        name: str,
        spec: ContainerSpec,
        opts: pulumi.ResourceOptions,
        files: StagedFiles | None = None,
        *,
        skip: bool = False,
    ) -> Job:
        """Run a container to completion, once for each change of its inputs.

        The provider treats any exit code as success. Dependents use `done` in `depends_on`: it fails, with the job's
        last log lines, unless the exit code was 0.

        With `skip` the container is left unchanged whatever its spec is, and its exit code is not checked: a rollback
        must not run the migrations of an earlier release.
        """
        contents = files.contents if files else {}
        if files:
            self.manifest[script_digest(str(spec.command[0]))] = files.manifest()
        uploads = [docker.ContainerUploadArgs(file=path, content=text) for path, text in sorted(contents.items())]
        inputs = {**self._container_args(spec), "uploads": uploads or None}
        ignored = [_camel(key) for key in inputs] if skip else None
        container = docker.Container(
            name,
            **inputs,
            restart="no",
            must_run=False,
            attach=True,
            logs=True,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=ignored)),
        )

        def check(results: Sequence[Any]) -> Sequence[pulumi.Resource]:
            if not skip:
                _check_exit(name, *results)
            return [container]

        return Job(pulumi.Output.all(container.exit_code, container.container_logs).apply(check))

    def data_volume(self, name: str, parent: pulumi.Resource) -> Volume:
        """Create a volume for content that cannot be recreated.

        No change in the program replaces it, since a replaced volume is empty. Outside development it is protected, and
        stays on the host even when it is removed from the state.
        """
        opts = pulumi.ResourceOptions(
            parent=parent,
            ignore_changes=["labels", "name", "driver", "driverOpts"],
            protect=self.protects_data,
            retain_on_delete=self.protects_data,
        )
        return self._volume(name, DATA, opts)

    def config_volume(self, name: str, parent: pulumi.Resource | None) -> Volume:
        """Create a volume for files that the program renders."""
        return self._volume(name, CONFIG, pulumi.ResourceOptions(parent=parent))

    def files(self, name: str, file_set: FileSet, parent: pulumi.Resource) -> Files:
        """Write files into a volume for containers to mount."""
        return write_files(self, name, file_set, parent)

    def _volume(self, name: str, kind: str, opts: pulumi.ResourceOptions) -> Volume:
        labels = sorted({**self.labels, VOLUME_KIND: kind}.items())
        label_args = [docker.VolumeLabelArgs(label=label, value=value) for label, value in labels]
        return Volume(docker.Volume(name, labels=label_args, opts=opts).name)

    def _container_args(self, spec: ContainerSpec) -> dict[str, Any]:
        """Return the container inputs that services and one-shot jobs share."""
        check_hardening(spec, self.guarantees)
        labels = {**self.labels, SERVICE: spec.role, SPEC: spec_hash(spec), CONFIG_HASH: spec.content}
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
                "max-size": self.docker.log_max_size,
                "max-file": str(self.docker.log_max_files),
                "labels": ",".join([*sorted(self.labels), SERVICE]),
                # Written into each line, where the log pipeline reads the container's name.
                "tag": "{{.Name}}",
            },
            "labels": [
                # Sorted by name, so that their order never causes a diff.
                docker.ContainerLabelArgs(label=label, value=value)
                for label, value in sorted(labels.items())
                if value is not None
            ],
            "networks_advanced": [
                docker.ContainerNetworksAdvancedArgs(name=item.network, aliases=list(item.aliases) or None)
                for item in (*spec.networks, *self.external_networks(spec.member or spec.role))
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


def _check_exit(name: str, exit_code: Any, logs: Any) -> None:
    """Raise pulumi.RunError with the job's last log lines, unless its exit code is 0."""
    if exit_code:
        tail = "\n".join(f"    {line}" for line in str(logs or "").strip().splitlines()[-LAST_LINES:])
        raise pulumi.RunError(
            f"the job {name} ended with exit code {exit_code}; nothing that depends on it was changed.\n"
            f"  Its last lines:\n{tail}\n"
            f"  Fix the cause, then run ./dockyard up {pulumi.get_stack()}, which runs failed jobs again."
        )


def _camel(name: str) -> str:
    """Return an input's name in Pulumi's spelling: `memory_swap` becomes memorySwap."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def format_go_duration(seconds: int) -> str:
    """Return a duration as Go formats it: the provider returns it so, and any other form would be a permanent diff."""
    hours, remainder = divmod(seconds, 3600)
    minutes, remaining_seconds = divmod(remainder, 60)
    if hours:
        return f"{hours}h{minutes}m{remaining_seconds}s"
    return f"{minutes}m{remaining_seconds}s" if minutes else f"{remaining_seconds}s"


def spec_hash(spec: ContainerSpec) -> str:
    """Return a short hash of the spec's plain values, without outputs (ids, secrets).

    As a label it turns every change into a replacement: the provider plans changes of health checks and tmpfs folders
    as updates in place, and then does not apply them. Limits are left out, since it does update those in place.
    """
    # Not `ResourceOptions(replace_on_changes=["healthcheck", "tmpfs"])`, which would do the same without a label: to
    # drop the label, or to hash other values or field names, would replace every container of every existing stack.
    plain_inputs = {item.name: getattr(spec, item.name) for item in fields(spec) if item.name != "limits"}
    text = json.dumps([plain_inputs, TMPFS_OPTIONS], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """Return a value in a form that JSON has."""
    if isinstance(value, pulumi.Output):
        return "(output)"
    if is_dataclass(value):
        values = {item.name: getattr(value, item.name) for item in fields(value)}
        # `start_interval` was added later: left out where unset, so that the hash equals that of older versions.
        return {name: inner for name, inner in values.items() if (name, inner) != ("start_interval", None)}
    return dict(value)


def _variable(name: str, value: pulumi.Input[str]) -> pulumi.Input[str]:
    return f"{name}={value}" if isinstance(value, str) else pulumi.Output.concat(name, "=", value)


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

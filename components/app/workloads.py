"""Translation of a workload in the product file into a container spec, with its files, secrets and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi

from components.stores.connection import Connection
from runtime.base import Files
from runtime.context import StackContext
from runtime.health import health_check
from runtime.secret_files import SECRETS_FOLDER, file_variables
from runtime.shell import SCHEDULE_FILE, SECRETS_FILE, scheduled, script, with_secrets
from runtime.spec import Attachment, ContainerSpec, FileSet, HealthCheck
from settings.workload import Job, Service, Workload

Dependency = pulumi.Input[Sequence[pulumi.Resource]]


@dataclass(frozen=True)
class PreparedContainer:
    """A container spec, and the dependencies that must be ready before it starts."""

    spec: ContainerSpec
    ready: tuple[Dependency, ...]


@dataclass(frozen=True)
class WorkloadContext:
    """The context that all workloads of a product share."""

    name: str
    """Prefix of the resources' names."""

    context: StackContext
    parent: pulumi.Resource
    writer_image: str
    connections: Mapping[str, Connection]
    secrets: Mapping[str, pulumi.Output[str]]


def prepare(name: str, workload: Workload, image: str, workload_context: WorkloadContext) -> PreparedContainer:
    """Return the spec of a workload and its dependencies; write its files and secrets into volumes."""
    stores = [workload_context.connections[store] for store in workload.needs]
    secrets = {secret: workload_context.secrets[secret] for secret in workload.secrets}
    secrets |= {
        secret: workload_context.secrets[secret]
        for secret in workload.optional_secrets
        if secret in workload_context.secrets
    }
    env: dict[str, str] = {}
    for store in stores:
        secrets.update({key: text for key, text in store.files.items() if not key.startswith("exporter-")})
        env.update(store.env)
    volumes = _volumes(name, workload, image, secrets, workload_context)
    entrypoint, command = tuple(workload.entrypoint or ()), tuple(workload.command or ())
    if workload.secrets_as_env and secrets:
        wrapper = f"{SECRETS_FOLDER}/{SECRETS_FILE}"
        entrypoint, command = with_secrets(sorted(secrets), (*entrypoint, *command), wrapper)
    else:
        env.update(file_variables(secrets))
    health: HealthCheck | None = None
    if isinstance(workload, Service):
        health = health_check(workload.health, workload.port)
    elif isinstance(workload, Job) and workload.schedule:
        scheduler = f"{SECRETS_FOLDER}/{SCHEDULE_FILE}"
        entrypoint, command, health = scheduled(workload.schedule, (*entrypoint, *command), scheduler)
    networks = [Attachment(workload_context.context.app_network)]
    if isinstance(workload, Service) and workload.metrics:
        networks.append(Attachment(workload_context.context.monitoring_network))
    spec = ContainerSpec(
        role=name,
        member=name,
        of_product=True,
        image=image,
        entrypoint=entrypoint,
        command=command,
        env={**env, **workload.env},
        user=workload.user,
        read_only=workload.read_only,
        limits=workload.limits,
        networks=tuple(networks),
        mounts=tuple(volume.mounted_at(folder) for folder, volume in volumes.items()),
        tmpfs=tuple(dict.fromkeys([*(("/tmp",) if workload.read_only else ()), *workload.tmpfs])),
        health=health,
        restart=workload.restart if isinstance(workload, Service) else "unless-stopped",
        stop_signal=workload.stop_signal,
        stop_grace=workload.stop_grace,
        # Two schedulers would both run the job.
        exclusive=isinstance(workload, Job) and workload.schedule is not None,
        reaches_host=any(store.reaches_host for store in stores),
        content=_fingerprint(list(volumes.values())),
    )
    store_ready = [[store.ready] for store in stores if store.ready]
    return PreparedContainer(spec, (*(volume.ready for volume in volumes.values()), *store_ready))


def _volumes(
    name: str,
    workload: Workload,
    image: str,
    secrets: Mapping[str, pulumi.Output[str]],
    workload_context: WorkloadContext,
) -> dict[str, Files]:
    """Return folder in the container → the volume that fills it."""
    by_number = all(part.isdigit() for part in workload.user.split(":"))

    def volume(purpose: str, files: Mapping[str, pulumi.Input[str]]) -> Files:
        return workload_context.context.files(
            f"{workload_context.name}-{name}-{purpose}",
            FileSet(
                files=files,
                owner=workload.user,
                # A user name exists only in the workload's own image.
                image=workload_context.writer_image if by_number else image,
            ),
            workload_context.parent,
        )

    volumes: dict[str, Files] = {}
    # Scripts and secrets share a volume: another one would slow down every `up` and preview.
    scripts = [SECRETS_FILE] if secrets and workload.secrets_as_env else []
    scripts += [SCHEDULE_FILE] if isinstance(workload, Job) and workload.schedule else []
    if secrets or scripts:
        volumes[SECRETS_FOLDER] = volume("secrets", {**secrets, **{name: script(name) for name in scripts}})
    folders: dict[str, dict[str, str]] = {}
    for path, file in workload.files.items():
        place = PurePosixPath(path)
        folders.setdefault(str(place.parent), {})[place.name] = file.content or ""
    for number, (folder, files) in enumerate(sorted(folders.items()), start=1):
        volumes[folder] = volume("files" if number == 1 else f"files-{number}", files)
    return volumes


def _fingerprint(volumes: Sequence[Files]) -> pulumi.Output[str] | None:
    """Return one hash for all files, since services read them when they start; None without files."""
    if not volumes:
        return None
    return pulumi.Output.all(*(volume.fingerprint for volume in volumes)).apply("-".join)

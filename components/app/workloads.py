"""Workloads: a service or job of the product file becomes a container spec, with its files, secrets and stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def prepare_workload(
    name: str,
    context: StackContext,
    *,
    workload: Service | Job,
    image: str,
    resource_name: str,
    connections: Mapping[str, Connection],
    secrets: Mapping[str, pulumi.Output[str]],
    parent: pulumi.Resource,
) -> tuple[ContainerSpec, list[Dependency]]:
    """Write a workload's files and secrets into volumes.

    Return its spec and the dependencies that must be ready before it starts. `connections` and `secrets` are those of
    the whole product.
    """
    optional = [secret for secret in workload.optional_secrets if secret in secrets]
    files = {secret: secrets[secret] for secret in (*workload.secrets, *optional)}
    env: dict[str, str] = {}
    stores = [connections[store] for store in workload.needs]
    for store in stores:
        files.update({key: text for key, text in store.files.items() if not key.startswith("exporter-")})
        env.update(store.env)
    # A user name exists only in the workload's own image.
    by_number = all(part.isdigit() for part in workload.user.split(":"))
    writer_image = context.image("busybox") if by_number else image

    def write(purpose: str, contents: Mapping[str, pulumi.Input[str]]) -> Files:
        file_set = FileSet(files=contents, owner=workload.user, image=writer_image)
        return context.files(f"{resource_name}-{purpose}", file_set, parent)

    volumes = _volumes(workload, files, write)
    entrypoint, command = tuple(workload.entrypoint or ()), tuple(workload.command or ())
    if workload.secrets_as_env and files:
        wrapper = f"{SECRETS_FOLDER}/{SECRETS_FILE}"
        entrypoint, command = with_secrets(sorted(files), (*entrypoint, *command), wrapper)
    else:
        env.update(file_variables(files))
    health: HealthCheck | None = None
    if isinstance(workload, Service):
        health = health_check(workload.health, workload.port)
    elif workload.schedule:
        scheduler = f"{SECRETS_FOLDER}/{SCHEDULE_FILE}"
        entrypoint, command, health = scheduled(workload.schedule, (*entrypoint, *command), scheduler)
    networks = [Attachment(context.app_network)]
    if isinstance(workload, Service) and workload.metrics:
        networks.append(Attachment(context.monitoring_network))
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
    return spec, [*(volume.ready for volume in volumes.values()), *(store.ready for store in stores)]


def _volumes(
    workload: Workload,
    secrets: Mapping[str, pulumi.Output[str]],
    write: Callable[[str, Mapping[str, pulumi.Input[str]]], Files],
) -> dict[str, Files]:
    """Return folder in the container → the volume that fills it."""
    volumes: dict[str, Files] = {}
    # Scripts and secrets share a volume: another one would slow down every `up` and preview.
    scripts = [SECRETS_FILE] if secrets and workload.secrets_as_env else []
    scripts += [SCHEDULE_FILE] if isinstance(workload, Job) and workload.schedule else []
    if secrets or scripts:
        volumes[SECRETS_FOLDER] = write("secrets", {**secrets, **{name: script(name) for name in scripts}})
    folders: dict[str, dict[str, str]] = {}
    for path, file in workload.files.items():
        place = PurePosixPath(path)
        folders.setdefault(str(place.parent), {})[place.name] = file.content or ""
    for number, (folder, files) in enumerate(sorted(folders.items()), start=1):
        volumes[folder] = write("files" if number == 1 else f"files-{number}", files)
    return volumes


def _fingerprint(volumes: Sequence[Files]) -> pulumi.Output[str] | None:
    """Return one hash for all files, since services read them when they start; None without files."""
    if not volumes:
        return None
    return pulumi.Output.all(*(volume.fingerprint for volume in volumes)).apply("-".join)

"""Prepares everything that Pulumi needs, in order. A step with nothing to do returns at once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import docker

from machine.lock import locked
from machine.ports import port_is_free
from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.ports import claim_port_offset, published_ports
from ops.pulumi_cli import PulumiCli
from ops.state.locks import check_usable
from settings.loader import Settings, load, read_stack_file
from settings.machine import read_machine, write_machine
from toolchain.docker_client import DockerClient
from toolchain.docker_engine import ensure_engine
from toolchain.environment import ensure_backend, full_environment, uses_local_backend
from toolchain.images import Images, substitute_log_store
from toolchain.plugins import ensure_plugins
from toolchain.pulumi_cli import ensure_pulumi
from toolchain.stacks import ensure_stack


@dataclass(frozen=True)
class StackSession:
    """A prepared machine: Pulumi for one stack, its settings, and its Docker host."""

    pulumi_cli: PulumiCli
    settings: Settings
    docker_host: str

    def docker_client(self) -> docker.DockerClient:
        """Return a client of the stack's Docker engine."""
        # One connection for each request that `status` makes in parallel.
        return DockerClient(self.docker_host, max_pool_size=16)


def stack_settings(work: WorkDir, stack: str, *, preview: bool = False) -> Settings:
    """Load the settings of a stack from its files. Raises SettingsError with every problem."""
    return load(read_stack_file(work.checkout, stack), stack, checkout=work.checkout, preview=preview)


def prepare_tools(work: WorkDir, progress: Progress, requested: str | None = None) -> dict[str, str]:
    """Install Pulumi and create the stacks of this checkout in its backend; return Pulumi's environment.

    It needs no Docker engine, which is enough for a first preview. Raises SetupError if the `requested` stack cannot be
    created. A failure of another stack is only reported, because it must not block the requested one: usually that
    stack's file carries the salt of another person's passphrase.
    """
    ensure_pulumi(work, progress)
    ensure_plugins(work, progress)
    check_usable(work, requested)
    ensure_backend(work)
    env = full_environment(work)
    for file in sorted(work.checkout.glob("Pulumi.*.yaml")):
        stack = file.name.split(".")[1]
        if requested not in (None, stack) and not uses_local_backend(work):
            continue  # not requested; in a remote backend each look-up takes time
        try:
            ensure_stack(work, stack, env)
        except SetupError as error:
            if stack == requested:
                raise
            progress.line(f"  · the stack {stack} cannot be used here: {error}")
    return env


def prepare_pulumi(work: WorkDir, stack: str, progress: Progress) -> PulumiCli:
    """Prepare Pulumi for one stack."""
    return PulumiCli(work, stack, prepare_tools(work, progress, stack))


def bootstrap(work: WorkDir, stack: str, progress: Progress) -> StackSession:
    """Prepare everything for an `up`.

    Invalid settings and a missing Docker engine are reported first, within seconds. Tools and images take minutes if
    they have to be built, and do not depend on each other, so they are prepared in parallel.
    Raises SettingsError or SetupError.
    """
    settings = stack_settings(work, stack)
    docker_host = ensure_engine(work, progress)
    with ThreadPoolExecutor(max_workers=2) as lanes:
        tools = lanes.submit(prepare_tools, work, progress, stack)
        images = lanes.submit(_prepare_machine, work, settings, docker_host, progress)
        running: list[Future[Any]] = [tools, images]
        for lane in as_completed(running):
            if isinstance(error := lane.exception(), SetupError):
                # Report it at once: the other lane may take minutes.
                progress.tell(error)
            lane.result()
    # The images are resolved now.
    settings = settings.on_machine(read_machine(work.machine_file))
    return StackSession(PulumiCli(work, stack, tools.result()), settings, docker_host)


def connect(work: WorkDir, stack: str, progress: Progress) -> StackSession:
    """Prepare Pulumi and the Docker engine, to inspect a stack that may be running; its images are not fetched."""
    docker_host = ensure_engine(work, progress)
    return StackSession(prepare_pulumi(work, stack, progress), stack_settings(work, stack, preview=True), docker_host)


def _prepare_machine(work: WorkDir, settings: Settings, docker_host: str, progress: Progress) -> None:
    """Fetch the stack's images, claim its ports, and write both to the machine file for the program."""
    # An explicit release has its own references; the machine file keeps those of the stack's files.
    pinned = settings.release.images if settings.release_is_pinned else {}
    image_names = [name for name in settings.image_names if name not in pinned]
    engine_images = Images(work, progress, docker_host, settings.product.docker.mirror)
    engine_images.ensure_references([pinned[name] for name in settings.image_names if name in pinned])
    images = engine_images.ensure(image_names, settings.builds)
    client = docker.DockerClient(base_url=docker_host)
    own_ports = published_ports(client, settings.stack_name)
    offset = claim_port_offset(
        work,
        settings.stack_name,
        settings.requested_ports.values(),
        movable=settings.stack.environment == "development",
        is_free=lambda port: port in own_ports or port_is_free(port),
    )
    # Two stacks of a checkout may be deployed at once.
    with locked(work.root / "machine.lock", lambda _: None):
        machine = read_machine(work.machine_file)
        # A requested image without a resolved reference falls back to its official reference.
        other_images = {name: reference for name, reference in machine.images.items() if name not in image_names}
        updated = machine.model_copy(
            update={
                "port_offsets": {**machine.port_offsets, settings.stack_name: offset},
                "docker_root": client.info()["DockerRootDir"],
                "images": {**other_images, **images},
                "log_store": substitute_log_store(image_names, images) or machine.log_store,
            }
        )
        if updated != machine:
            write_machine(work.machine_file, updated)

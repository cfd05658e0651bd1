"""Everything that must be there before the engine can run, in order, each step at once where nothing is to do."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import docker

from ops.engine import Engine
from ops.ports import claim_port_offset, ports_held
from ops.state_locks import check_usable
from settings.loader import Settings, load, read_stack_file
from settings.machine import read_machine, write_machine
from toolchain.engine import ensure_engine
from toolchain.environment import ensure_backend, full_environment, uses_own_backend
from toolchain.images import ensure_images, ensure_references, standing_log_store
from toolchain.lock import locked
from toolchain.plugins import ensure_plugins
from toolchain.ports import port_is_free
from toolchain.progress import Progress, SetupError
from toolchain.pulumi_cli import ensure_pulumi
from toolchain.stacks import ensure_stack
from toolchain.workdir import WorkDir


@dataclass(frozen=True)
class Ready:
    """A machine on which the engine can work on one stack."""

    engine: Engine
    settings: Settings
    docker_host: str

    def docker_client(self) -> docker.DockerClient:
        """Return a client of the stack's Docker engine."""
        # As many connections as `status` asks containers side by side.
        return docker.DockerClient(base_url=self.docker_host, max_pool_size=16)


def stack_settings(work: WorkDir, stack: str, *, preview: bool = False) -> Settings:
    """Return the settings of a stack from its files. Raises SettingsError with every problem."""
    return load(read_stack_file(work.checkout, stack), stack, checkout=work.checkout, preview=preview)


def prepare_tools(work: WorkDir, progress: Progress, requested: str | None = None) -> dict[str, str]:
    """Make the Pulumi engine ready, and the stacks of this checkout known to it; return the environment to run it in.

    It needs no Docker engine: enough for a first preview. Raises SetupError where the stack that is `asked` for cannot
    be made; another that cannot is told, and no reason to keep people from their own: its file carries the salt of
    somebody else's passphrase, as a rule.
    """
    ensure_pulumi(work, progress)
    ensure_plugins(work, progress)
    check_usable(work, requested)
    ensure_backend(work)
    env = full_environment(work)
    for file in sorted(work.checkout.glob("Pulumi.*.yaml")):
        stack = file.name.split(".")[1]
        if requested not in (None, stack) and not uses_own_backend(work):
            continue  # nobody has asked for it there, and each look takes time
        try:
            ensure_stack(work, stack, env)
        except SetupError as error:
            if stack == requested:
                raise
            progress.line(f"  · the stack {stack} cannot be used here: {error}")
    return env


def prepare_engine(work: WorkDir, stack: str, progress: Progress) -> Engine:
    """Make the Pulumi engine ready for one stack."""
    return Engine(work, stack, prepare_tools(work, progress, stack))


def prepare(work: WorkDir, stack: str, progress: Progress) -> Ready:
    """Make everything ready for an `up`.

    Bad settings and a machine that can have no Docker engine are told first, in seconds. The tools and the images
    take minutes where they have to be built, and need nothing of each other: two lanes.
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
                # At once, not when the other lane is through its minutes.
                progress.tell(error)
            lane.result()
    # Read anew: the images are known now.
    return Ready(Engine(work, stack, tools.result()), stack_settings(work, stack), docker_host)


def reach(work: WorkDir, stack: str, progress: Progress) -> Ready:
    """Make both engines ready to tell of a stack that may run already; nothing is fetched for it."""
    docker_host = ensure_engine(work, progress)
    return Ready(prepare_engine(work, stack, progress), stack_settings(work, stack, preview=True), docker_host)


def _prepare_machine(work: WorkDir, settings: Settings, docker_host: str, progress: Progress) -> None:
    """Bring the stack's images to the engine, find ports for it, and write down what the program must know of both."""
    # A release that is given has its own references, and the machine file goes on to say what the files mean.
    pinned = settings.release.images if settings.rolled_back else {}
    image_names = [name for name in settings.image_names if name not in pinned]
    ensure_references(work, progress, docker_host, [pinned[name] for name in settings.image_names if name in pinned])
    mirror = settings.product.docker.mirror
    images = ensure_images(work, progress, docker_host, image_names, mirror, settings.builds)
    client = docker.DockerClient(base_url=docker_host)
    own_ports = ports_held(client, settings.stack_name)
    offset = claim_port_offset(
        work,
        settings.stack_name,
        settings.wanted_ports.values(),
        movable=settings.stack.environment == "development",
        is_free=lambda port: port in own_ports or port_is_free(port),
    )
    # Two stacks of a checkout may be brought up at once.
    with locked(work.root / "machine.lock", lambda _: None):
        machine = read_machine(work.machine_file)
        # What was asked for and is not in the answer is run by its official reference again.
        other_images = {name: reference for name, reference in machine.images.items() if name not in image_names}
        updated = machine.model_copy(
            update={
                "port_offsets": {**machine.port_offsets, settings.stack_name: offset},
                "docker_root": client.info()["DockerRootDir"],
                "images": {**other_images, **images},
                "log_store": standing_log_store(image_names, images) or machine.log_store,
            }
        )
        if updated != machine:
            write_machine(work.machine_file, updated)

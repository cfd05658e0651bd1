"""Containers on a real engine: made from what the program registers, or run hardened as the stacks run them."""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from tests.support.recording import RecordedResource
from tests.support.waiting import wait_until

HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "network_mode": "none"}
"""How the stacks run every container; without a network, since most tests need none."""


def make_container(engine: docker.DockerClient, made: RecordedResource, mark: str, labels: dict[str, str]) -> Container:
    """Make a container as the inputs of its resource say. Its volumes get `mark` in front of their names."""
    said = made.inputs
    api = engine.api
    mounts = [
        docker.types.Mount(
            mount["target"],
            mount["source"] if mount["type"] == "bind" else f"{mark}-{mount['source']}",
            mount["type"],
            read_only=mount.get("readOnly", False),
        )
        for mount in said.get("mounts", ())
    ]
    ports = {int(one["internal"]): (one["ip"], int(one["external"])) for one in said.get("ports", ())}
    networks = said["networksAdvanced"]
    capabilities = said["capabilities"]
    created = api.create_container(
        said["image"],
        command=said.get("command"),
        entrypoint=said.get("entrypoints"),
        environment=said.get("envs"),
        user=said["user"],
        labels={**{one["label"]: one["value"] for one in said["labels"]}, **labels},
        ports=list(ports),
        host_config=api.create_host_config(
            mounts=mounts,
            port_bindings=ports,
            read_only=said["readOnly"],
            cap_drop=capabilities["drops"],
            cap_add=capabilities.get("adds"),
            security_opt=said["securityOpts"],
            mem_limit=f"{said['memory']:.0f}m",
            memswap_limit=f"{said['memorySwap']:.0f}m",
            nano_cpus=int(float(said["cpus"]) * 1e9),
            init=True,
            tmpfs=said.get("tmpfs"),
            shm_size=f"{said['shmSize']:.0f}m" if said.get("shmSize") else None,
            extra_hosts={one["host"]: one["ip"] for one in said.get("hosts") or ()} or None,
            log_config=docker.types.LogConfig(type=said["logDriver"], config=said["logOpts"]),
            network_mode=networks[0]["name"],
        ),
        networking_config=api.create_networking_config(
            {networks[0]["name"]: api.create_endpoint_config(aliases=networks[0].get("aliases"))}
        ),
    )
    for other in networks[1:]:
        api.connect_container_to_network(created["Id"], other["name"], aliases=other.get("aliases"))
    for path, content in made.files.items():
        api.put_archive(created["Id"], "/", archive(path, content))
    return engine.containers.get(created["Id"])


def run_job(container: Container) -> tuple[int, str]:
    """Run a one-shot job to its end and remove it; return its exit code and what it said."""
    container.start()
    code = container.wait(timeout=120)["StatusCode"]
    said = container.logs().decode()
    container.remove(v=True)
    return code, said


def archive(path: str, content: str) -> bytes:
    """Pack a file as the provider does for an upload: root's, mode 0644."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry: Any = tarfile.TarInfo(path.lstrip("/"))
        data = content.encode()
        entry.size, entry.mode = len(data), 0o644
        tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def remove_all(engine: docker.DockerClient, label: str, mark: str) -> None:
    """Remove the containers and networks with a label, and the volumes whose names begin with the mark."""
    for container in engine.containers.list(all=True, filters={"label": label}):
        container.remove(force=True, v=True)
    for network in engine.networks.list(filters={"label": label}):
        network.remove()
    for volume in engine.volumes.list():
        if volume.name.startswith(f"{mark}-"):
            try:
                volume.remove(force=True)
            except NotFound:
                continue


@contextmanager
def running(engine: docker.DockerClient, image: str, **options: Any) -> Iterator[Container]:
    """Run a hardened container in the background; it and its volumes are removed at the end."""
    container = engine.containers.run(image, detach=True, **{**HARDENED, **options})
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def once(engine: docker.DockerClient, image: str, *command: str, **options: Any) -> tuple[int, str]:
    """Run a hardened container to its end; return its exit code and its output."""
    with running(engine, image, command=list(command) or None, **options) as container:
        code = container.wait(timeout=60)["StatusCode"]
        return code, container.logs().decode()


def inside(container: Container, command: str, **environment: str) -> tuple[int, str]:
    """Run a shell command in a running container; return its exit code and its output."""
    code, output = container.exec_run(["sh", "-c", command], environment=environment)
    return code, output.decode()


def succeeded(outcome: tuple[int, str]) -> str:
    """Return the output of a command that must have ended with 0."""
    code, output = outcome
    assert code == 0, output
    return output


def wait_in(container: Container, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until a condition holds; fails with the container's log, at once where the container has ended."""

    def holds() -> bool:
        if condition():
            return True
        container.reload()
        if container.status not in ("created", "running", "restarting"):
            raise AssertionError(f"{what}: the container is {container.status}\n{container.logs().decode()}")
        return False

    wait_until(holds, what, seconds, details=lambda: container.logs().decode())


def stop_and_exit_code(container: Container, seconds: int = 20) -> int:
    """Stop a container; return its exit code: 137 where it did not end by its stop signal within `seconds`."""
    container.stop(timeout=seconds)
    container.reload()
    return int(container.attrs["State"]["ExitCode"])

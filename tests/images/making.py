"""Containers made on a real engine from what the program registers, input by input."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from tests.unit.world import Made


def make_container(engine: docker.DockerClient, made: Made, mark: str, labels: dict[str, str]) -> Container:
    """Make a container exactly as the inputs of its resource say, as the provider does.

    Volumes get `mark` in front of their names. `labels` come on top of its own.
    """
    said = made.inputs
    api = engine.api
    mounts = [
        docker.types.Mount(
            one["target"],
            one["source"] if one["type"] == "bind" else f"{mark}-{one['source']}",
            one["type"],
            read_only=one.get("readOnly", False),
        )
        for one in said.get("mounts", ())
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
        api.put_archive(created["Id"], "/", _archive(path, content))
    return engine.containers.get(created["Id"])


def run_job(container: Container) -> tuple[int, str]:
    """Run a one-shot job to its end and remove it; return its exit code and what it said."""
    container.start()
    code = container.wait(timeout=120)["StatusCode"]
    said = container.logs().decode()
    container.remove(v=True)
    return code, said


def _archive(path: str, content: str) -> bytes:
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

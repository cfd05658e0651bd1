"""A Docker engine in memory, behind docker-py's own models: the JSON of its API and its errors are an engine's."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound

Values = dict[str, Any]
Exec = Callable[[list[str]], tuple[int, bytes, bytes]]
"""Runs a command in a container; returns exit code, output and errors."""

CREATED = "2026-11-01T12:00:00.123456789Z"
NEVER = "0001-01-01T00:00:00Z"


class FakeDocker(docker.DockerClient):
    """A client of an engine in memory. Things get their names as ids unless a test says otherwise."""

    def __init__(self) -> None:
        # Not the parent's: it would connect.
        self.api = FakeApi()

    @property
    def changes(self) -> list[tuple[Any, ...]]:
        """What was done to the engine, in order: the verb, then its arguments."""
        return self.api.changes

    def add_container(
        self,
        name: str,
        *,
        identity: str = "",
        labels: Mapping[str, str] | None = None,
        status: str = "running",
        health: str | None = None,
        exit_code: int = 0,
        networks: Sequence[str] = (),
        volumes: Mapping[str, str] | Iterable[str] = (),
        image: str = "",
        created: str = CREATED,
        config: Values | None = None,
        logs: bytes = b"",
        run: Exec | None = None,
    ) -> Values:
        """Put a container on the engine and return its inspection. `volumes` are names, or name → where it is mounted;
        `run` answers commands that are executed in the container."""
        mounted = dict(volumes) if isinstance(volumes, Mapping) else {volume: f"/{volume}" for volume in volumes}
        runs = status in ("running", "paused", "restarting")
        state: Values = {"Status": status, "Running": runs, "Restarting": status == "restarting"}
        state |= {"ExitCode": exit_code, "StartedAt": created}
        if health:
            state["Health"] = {"Status": health, "Log": [{"ExitCode": 1, "Output": "wget: 503\n"}]}
        mounts = [{"Type": "volume", "Name": name, "Destination": path, "RW": True} for name, path in mounted.items()]
        attrs = {
            "Id": identity or name,
            "Name": f"/{name}",
            "Created": created,
            "Image": image,
            "RestartCount": 2,
            "State": state,
            "Config": {"Labels": dict(labels or {}), "Env": [], "User": "", **(config or {})},
            "HostConfig": {},
            "Mounts": mounts,
            "NetworkSettings": {
                "Ports": {},
                "Networks": {network: self.api.endpoint(network, identity or name) for network in networks},
            },
        }
        self.api.known_containers[attrs["Id"]] = attrs
        self.api.printed[attrs["Id"]] = logs
        if run:
            self.api.programs[attrs["Id"]] = run
        return attrs

    def add_network(
        self, name: str, *, labels: Mapping[str, str] | None = None, created: str = CREATED, lost: Values | None = None
    ) -> None:
        """Put a network on the engine; `lost` are endpoints without a container: what the engine calls each → name."""
        known = {"Id": name, "Name": name, "Created": created, "Driver": "bridge", "Labels": dict(labels or {})}
        self.api.known_networks[name] = known
        self.api.lost_endpoints[name] = dict(lost or {})

    def add_volume(self, name: str, *, labels: Mapping[str, str] | None = None, size: int = -1) -> None:
        """Put a volume on the engine; `size` in bytes."""
        self.api.known_volumes[name] = {"Name": name, "Driver": "local", "Labels": dict(labels or {})}
        self.api.volume_sizes[name] = size

    def add_image(self, identity: str, names: Sequence[str], *, created: str = CREATED, size: int = 2_000_000) -> None:
        """Put an image on the engine; `names` are tags, and references by digest."""
        tags, digests = [name for name in names if "@" not in name], [name for name in names if "@" in name]
        known = {"Id": identity, "Created": created, "RepoTags": tags, "RepoDigests": digests, "Size": size}
        self.api.known_images[identity] = {**known, "Metadata": {"LastTagTime": NEVER}}

    def refuse(self, method: str, identity: str, explanation: str) -> None:
        """Let a method of the API answer a call for this id with an error of the engine."""
        self.api.failures[method, identity] = APIError("409", explanation=explanation)

    @property
    def container_names(self) -> list[str]:
        return [attrs["Name"].lstrip("/") for attrs in self.api.known_containers.values()]

    @property
    def volume_names(self) -> list[str]:
        return list(self.api.known_volumes)

    def endpoints(self, network: str) -> dict[str, str]:
        """Return what an inspection of a network names: what the engine calls an endpoint → its name."""
        return {key: endpoint["Name"] for key, endpoint in self.api.inspect_network(network)["Containers"].items()}


class FakeApi:
    """The part of docker-py's low-level client that `ops` reaches, directly or by docker-py's models."""

    _version = "1.47"

    def __init__(self) -> None:
        self.known_containers: dict[str, Values] = {}
        self.known_networks: dict[str, Values] = {}
        self.known_volumes: dict[str, Values] = {}
        self.known_images: dict[str, Values] = {}
        self.volume_sizes: dict[str, int] = {}
        self.lost_endpoints: dict[str, Values] = defaultdict(dict)
        self.build_cache: list[Values] = []
        self.printed: dict[str, bytes] = {}
        self.programs: dict[str, Exec] = {}
        self.executions: dict[str, tuple[int, bytes, bytes]] = {}
        self.executed: list[tuple[str, list[str]]] = []
        self.archives: dict[tuple[str, str], bytes] = {}  # container and folder → what lies there, as a tar archive
        self.archives_read: list[tuple[str, str]] = []
        self.failures: dict[tuple[str, str], Exception] = {}
        """Method and the id that it is called with → what it raises."""
        self.changes: list[tuple[Any, ...]] = []

    # The engine as a whole.

    def info(self) -> Values:
        return {"DefaultRuntime": "runc", "SwapLimit": True, "NCPU": 4, "MemTotal": 8 << 30}

    def df(self) -> Values:
        volumes = [
            {**attrs, "UsageData": {"Size": self.volume_sizes[name], "RefCount": 0}}
            for name, attrs in self.known_volumes.items()
        ]
        return {"Volumes": volumes, "BuildCache": self.build_cache}

    def prune_builds(self, filters: Values) -> Values:
        self.changes.append(("prune builds", filters))
        return {"SpaceReclaimed": sum(entry["Size"] for entry in self.build_cache if not entry["InUse"])}

    # Containers.

    def containers(self, *, all: bool = False, filters: Values | None = None, **_: Any) -> list[Values]:
        return [
            {
                "Id": attrs["Id"],
                "Names": [attrs["Name"]],
                "Image": attrs["Image"],
                "Labels": attrs["Config"]["Labels"],
                "State": attrs["State"]["Status"],
                "Mounts": attrs["Mounts"],
                "NetworkSettings": {"Networks": attrs["NetworkSettings"]["Networks"]},
            }
            for attrs in list(self.known_containers.values())
            if (all or attrs["State"]["Running"])
            and _has_labels(attrs["Config"]["Labels"], filters)
            and _has_volume(attrs, filters)
        ]

    def inspect_container(self, container: str) -> Values:
        self._fail("inspect_container", container)
        for attrs in self.known_containers.values():
            if container in (attrs["Id"], attrs["Name"].lstrip("/")):
                return attrs
        raise NotFound("404", explanation=f"No such container: {container}")

    def remove_container(self, container: str, *, force: bool = False, **_: Any) -> None:
        attrs = self.inspect_container(container)
        self._fail("remove_container", attrs["Id"])
        if attrs["State"]["Running"] and not force:
            raise APIError("409", explanation=f"cannot remove container {container}: container is running")
        del self.known_containers[attrs["Id"]]
        self.changes.append(("remove container", attrs["Name"].lstrip("/")))

    def restart(self, container: str, timeout: int) -> None:
        self.changes.append(("restart", self.inspect_container(container)["Id"], timeout))

    def stop(self, container: str) -> None:
        self._change_state("stop", container, "exited")

    def unpause(self, container: str) -> None:
        self._change_state("unpause", container, "running")

    def rename(self, container: str, name: str) -> None:
        self.inspect_container(container)["Name"] = f"/{name}"
        self.changes.append(("rename", container, name))

    def logs(self, container: str, *, tail: int | str = "all", **_: Any) -> bytes:
        self._fail("logs", container)
        lines = self.printed[self.inspect_container(container)["Id"]].splitlines(keepends=True)
        return b"".join(lines[-tail:] if isinstance(tail, int) else lines)

    def stats(self, container: str, **_: Any) -> Values:
        self._fail("stats", container)
        self.inspect_container(container)
        return {"memory_stats": {"usage": 50 << 20, "limit": 512 << 20, "stats": {"inactive_file": 1 << 20}}}

    def exec_create(self, container: str, cmd: list[str], **_: Any) -> Values:
        attrs = self.inspect_container(container)
        if not attrs["State"]["Running"]:
            raise APIError("409", explanation=f"container {container} is not running")
        self.executed.append((attrs["Id"], list(cmd)))
        identity = f"exec-{len(self.executions)}"
        self.executions[identity] = self.programs[attrs["Id"]](list(cmd))
        return {"Id": identity}

    def exec_start(self, identity: str, *, stream: bool = False, demux: bool = False, **_: Any) -> Any:
        _, output, errors = self.executions[identity]
        if stream:
            parts: list[Any] = [(output or None, None), (None, errors or None)] if demux else [output + errors]
            return iter(parts)
        return (output or None, errors or None) if demux else output + errors

    def exec_inspect(self, identity: str) -> Values:
        return {"ExitCode": self.executions[identity][0], "Running": False}

    def put_archive(self, container: str, path: str, data: bytes) -> bool:
        self._fail("put_archive", container)
        self.archives[self.inspect_container(container)["Id"], path] = data
        return True

    def get_archive(self, container: str, path: str, *_: Any, **__: Any) -> tuple[Iterator[bytes], Values]:
        identity = self.inspect_container(container)["Id"]
        self.archives_read.append((identity, path))
        if (identity, path) not in self.archives:
            raise NotFound("404", explanation=f"Could not find the file {path} in container {container}")
        return iter([self.archives[identity, path]]), {}

    # Networks.

    def endpoint(self, network: str, container: str) -> Values:
        """Return a container's part in a network, as its inspection shows it."""
        return {"NetworkID": network, "EndpointID": f"{container}-on-{network}", "Aliases": [], "IPAMConfig": None}

    def networks(self, names: Sequence[str] = (), filters: Values | None = None, **_: Any) -> list[Values]:
        return [
            attrs
            for attrs in self.known_networks.values()
            if (not names or attrs["Name"] in names) and _has_labels(attrs["Labels"], filters)
        ]

    def inspect_network(self, net_id: str, *_: Any, **__: Any) -> Values:
        if net_id not in self.known_networks:
            raise NotFound("404", explanation=f"network {net_id} not found")
        # An engine lists here who runs, not who is to join.
        joined = {
            attrs["Id"]: {"Name": attrs["Name"].lstrip("/")}
            for attrs in self.known_containers.values()
            if attrs["State"]["Running"] and net_id in attrs["NetworkSettings"]["Networks"]
        }
        lost = {key: {"Name": name} for key, name in self.lost_endpoints[net_id].items()}
        return {**self.known_networks[net_id], "Containers": {**joined, **lost}}

    def disconnect_container_from_network(self, container: str, net_id: str, *, force: bool = False) -> None:
        self._fail("disconnect_container_from_network", container)
        lost = self.lost_endpoints[net_id]
        for key in [key for key, name in lost.items() if name == container]:
            if not force:
                raise NotFound("404", explanation=f"No such container: {container}")
            del lost[key]
        for attrs in self.known_containers.values():
            if container in (attrs["Id"], attrs["Name"].lstrip("/")):
                del attrs["NetworkSettings"]["Networks"][net_id]
        self.changes.append(("disconnect", container, net_id))

    def connect_container_to_network(
        self, container: str, net_id: str, *, aliases: Sequence[str] | None = None, ipv4_address: str | None = None
    ) -> None:
        joined = self.inspect_container(container)["NetworkSettings"]["Networks"]
        joined[net_id] = {**self.endpoint(net_id, container), "Aliases": list(aliases or ())}
        self.changes.append(("connect", container, net_id, aliases))

    def remove_network(self, net_id: str) -> None:
        self._fail("remove_network", net_id)
        if self.inspect_network(net_id)["Containers"]:
            raise APIError("403", explanation=f"error while removing network: network {net_id} has active endpoints")
        del self.known_networks[net_id]
        self.changes.append(("remove network", net_id))

    # Volumes and images.

    def volumes(self, **_: Any) -> Values:
        return {"Volumes": list(self.known_volumes.values()) or None}

    def inspect_volume(self, name: str) -> Values:
        if name not in self.known_volumes:
            raise NotFound("404", explanation=f"get {name}: no such volume")
        return self.known_volumes[name]

    def remove_volume(self, name: str, *, force: bool = False) -> None:
        self.inspect_volume(name)
        self._fail("remove_volume", name)
        if any(mount["Name"] == name for attrs in self.known_containers.values() for mount in attrs["Mounts"]):
            raise APIError("409", explanation=f"remove {name}: volume is in use")
        del self.known_volumes[name]
        self.changes.append(("remove volume", name))

    def images(self, **_: Any) -> list[Values]:
        return [{"Id": identity} for identity in self.known_images]

    def inspect_image(self, image: str) -> Values:
        for attrs in self.known_images.values():
            if image in (attrs["Id"], *attrs["RepoTags"], *attrs["RepoDigests"]):
                return attrs
        raise ImageNotFound("404", explanation=f"No such image: {image}")

    def remove_image(self, image: str, *_: Any, **__: Any) -> None:
        attrs = self.inspect_image(image)
        self._fail("remove_image", image)
        if any(container["Image"] == attrs["Id"] for container in self.known_containers.values()):
            raise APIError("409", explanation=f"conflict: unable to remove {image}: the image is in use")
        for names in (attrs["RepoTags"], attrs["RepoDigests"]):
            if image in names:
                names.remove(image)
        if not attrs["RepoTags"]:
            # With its last tag an image's digests go too.
            del self.known_images[attrs["Id"]]
        self.changes.append(("remove image", image))

    def _change_state(self, verb: str, container: str, status: str) -> None:
        state = self.inspect_container(container)["State"]
        state["Status"], state["Running"] = status, status == "running"
        self.changes.append((verb, container))

    def _fail(self, method: str, identity: str) -> None:
        if error := self.failures.get((method, identity)):
            raise error


def _has_labels(labels: Mapping[str, str], filters: Values | None) -> bool:
    """Say whether labels pass a filter: `key`, `key=value`, or a list of those."""
    wanted = (filters or {}).get("label") or []
    for label in [wanted] if isinstance(wanted, str) else wanted:
        key, equals, value = label.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _has_volume(attrs: Values, filters: Values | None) -> bool:
    wanted = (filters or {}).get("volume")
    return wanted is None or any(mount["Name"] == wanted for mount in attrs["Mounts"])

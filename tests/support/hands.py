"""What people do to a running stack by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
import yaml
from docker.errors import APIError
from docker.models.containers import Container

from tests.support.stack import Stack

Values = dict[str, Any]


@dataclass(frozen=True)
class Hands:
    stack: Stack
    resources: Sequence[Mapping[str, Any]]  # of the state

    @classmethod
    def on(cls, stack: Stack) -> Hands:
        """Read the state, to know what is what."""
        return cls(stack, stack.checkout.export(stack.name)["resources"])

    @property
    def _prefix(self) -> str:
        """What the names of the product's resources begin with."""
        return f"{yaml.safe_load(self.stack.product_file.read_text())['name']}-"

    @property
    def client(self) -> docker.DockerClient:
        return self.stack.client

    def named(self, name: str) -> str:
        """Return the engine's name of a volume or network, by its name in the program."""
        return next(
            one["inputs"]["name"]
            for one in self.resources
            if one["urn"].endswith(f"::{self._prefix}{name}") and one["type"].startswith("docker:")
        )

    def container(self, name: str) -> Container:
        identity = next(one["id"] for one in self.resources if one["urn"].endswith(f"::{self._prefix}{name}"))
        return self.client.containers.get(identity)

    def in_volume(self, name: str, script: str) -> None:
        image = self.container("metrics-writer").attrs["Config"]["Image"]
        mounted = {self.named(name): {"bind": "/v", "mode": "rw"}}
        said = {"entrypoint": ["/bin/sh", "-ec"], "command": [script], "working_dir": "/v", "user": "0:0"}
        self.client.containers.run(image, volumes=mounted, remove=True, network_mode="none", **said)

    def make_again(self, name: str, change: Callable[[Values, Values], None]) -> str:
        """Make a container again, with its configuration but for what `change` does to it; return the new id."""
        before = self.container(name)
        config, host = before.attrs["Config"], before.attrs["HostConfig"]
        networks = before.attrs["NetworkSettings"]["Networks"]
        config.pop("Hostname")
        change(config, host)
        before.remove(force=True)
        made = self.client.api.create_container_from_config({**config, "HostConfig": host}, before.name)["Id"]
        # The engine puts it on its own network first.
        self.client.api.disconnect_container_from_network(made, "bridge")
        for network, said in networks.items():
            aliases = [alias for alias in said["Aliases"] or () if alias != before.id[:12]]
            self.client.api.connect_container_to_network(made, network, aliases=aliases or None)
        # a host that is itself a container may not give these rights; then it is there all the same, and does not run.
        with contextlib.suppress(APIError):  # see above
            self.client.api.start(made)
        return str(made)

    def stranger(self, name: str, **said: Any) -> None:
        image = self.container("metrics-writer").attrs["Config"]["Image"]
        self.client.containers.run(image, ["sleep", "3600"], name=name, detach=True, init=True, **said)

    def other_image(self, name: str) -> str:
        """Return the id of an image that differs from a container's own by a label."""
        draft = self.client.containers.create(self.container(name).image.id)
        made = draft.commit(changes=[f"LABEL made={time.time()}"])
        draft.remove()
        return str(made.id)

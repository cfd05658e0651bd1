"""Inventory: which containers the stack has, told to Prometheus, since cAdvisor knows none by its name here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi
import pulumi_docker as docker

from components.config_volume import ConfigVolume
from components.context import StackContext
from components.spec import Mount
from components.volume import config_volume

FILE = "containers.prom"
FOLDER = "/metrics/inventory"
"""Where the node exporter sees it."""

OWNER = "65534:65534"
"""The node exporter's user."""

METRIC = "dockyard_container_info"


class Inventory(pulumi.ComponentResource):
    """A file of metrics on a volume, which the node exporter shows: a series for each long-running container.

    `dockyard_container_info{container_id, container, service, image} 1`: `container_id` is the first 12 characters of
    the id, as cAdvisor's `id` holds it, `container` Docker's name. The time of the file is that of the last change of
    containers: `node_textfile_mtime_seconds{file=".../containers.prom"}`.
    """

    def __init__(
        self,
        name: str,
        context: StackContext,
        image: Callable[[str], str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:inventory:Inventory", name, None, opts)
        self._name, self._context, self._image = name, context, image
        self._volume = config_volume(f"{name}-metrics", context, self)
        self.mount = Mount(self._volume.name, FOLDER)

    def write(self, *parts: Mapping[str, docker.Container]) -> dict[str, pulumi.Output[str]]:
        """Write the file, from each part's role → container; return role → id.

        It is written anew when one of them is replaced.
        """
        containers = {role: container for part in parts for role, container in part.items()}
        identities = pulumi.Output.all(
            **{
                role: pulumi.Output.all(container.id, container.name, container.image)
                for role, container in containers.items()
            }
        )
        ConfigVolume(
            f"{self._name}-metrics",
            files={FILE: identities.apply(exposition)},
            owner=OWNER,
            image=self._image("busybox"),
            context=self._context,
            parent=self,
            volume=self._volume,
        )
        self.register_outputs({})
        return {role: container.id for role, container in containers.items()}


def exposition(containers: Mapping[str, tuple[str, str, str]]) -> str:
    """Return the series in Prometheus' text format: role → id, name and image of its container."""
    lines = [f"# HELP {METRIC} A long-running container of this stack.", f"# TYPE {METRIC} gauge"]
    for role, (identity, name, image) in sorted(containers.items()):
        labels = {
            "container_id": identity[:12],
            "container": name,
            "service": role,
            # Without registry and digest: those are in the state, and this is for the eye.
            "image": image.split("@", maxsplit=1)[0].rsplit("/", 1)[-1],
        }
        label_pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
        lines.append(f"{METRIC}{{{label_pairs}}} 1")
    return "\n".join(lines) + "\n"

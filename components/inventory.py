"""Inventory: metrics with the names of the stack's containers, which cAdvisor does not know here."""

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
"""Mount point in the node exporter."""

OWNER = "65534:65534"
"""The node exporter's user."""

METRIC = "dockyard_container_info"


class Inventory(pulumi.ComponentResource):
    """A textfile of the node exporter, on a volume, with a series for each long-running container.

    `dockyard_container_info{container_id, container, service, image} 1`: `container_id` is the first 12 characters of
    the id, which cAdvisor's label `id` contains, and `container` is Docker's name. The modification time of the file is
    the last change of containers: `node_textfile_mtime_seconds{file=".../containers.prom"}`.
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
        """Write the file from each part's mapping role → container; return role → id.

        A replaced container rewrites the file.
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
    """Return the series in Prometheus' text format. `containers` maps role → id, name and image."""
    lines = [f"# HELP {METRIC} A long-running container of this stack.", f"# TYPE {METRIC} gauge"]
    for role, (identity, name, image) in sorted(containers.items()):
        labels = {
            "container_id": identity[:12],
            "container": name,
            "service": role,
            # Without registry and digest, for readability; the state has the full reference.
            "image": image.split("@", maxsplit=1)[0].rsplit("/", 1)[-1],
        }
        label_pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
        lines.append(f"{METRIC}{{{label_pairs}}} 1")
    return "\n".join(lines) + "\n"

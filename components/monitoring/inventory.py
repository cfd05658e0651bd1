"""Inventory: metrics with the names of the stack's containers, which cAdvisor does not know here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pulumi

from components.common import NOBODY
from runtime.base import Instance
from runtime.context import StackContext
from runtime.spec import FileSet, Mount

FILE = "containers.prom"
FOLDER = "/metrics/inventory"
"""Mount point in the node exporter."""

METRIC = "dockyard_container_info"


class Inventory(pulumi.ComponentResource):
    """A textfile of the node exporter, on a volume, with a series for each long-running container.

    `dockyard_container_info{container_id, container, service, image} 1`: `container_id` is the first 12 characters of
    the id, which cAdvisor's label `id` contains, and `container` is Docker's name. The modification time of the file is
    the last change of containers: `node_textfile_mtime_seconds{file=".../containers.prom"}`.
    """

    def __init__(self, name: str, context: StackContext, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:inventory:Inventory", name, None, opts)
        self._name, self._context = name, context
        self._volume = context.config_volume(f"{name}-metrics", self)
        self.mount = Mount(self._volume.name, FOLDER)

    def write(self, parts: Iterable[Mapping[str, Instance]]) -> dict[str, pulumi.Output[str]]:
        """Write the file from each part's mapping role → container; return role → id.

        A replaced container rewrites the file.
        """
        containers = {role: container for part in parts for role, container in part.items()}
        identities = pulumi.Output.all(
            **{
                role: pulumi.Output.all(container.id, container.address, container.image)
                for role, container in containers.items()
            }
        )
        self._context.files(
            f"{self._name}-metrics",
            FileSet(
                files={FILE: identities.apply(exposition)},
                owner=NOBODY,
                image=self._context.image("busybox"),
                volume=self._volume,
            ),
            self,
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

"""Networks, volumes and images. Only an image's settings can be updated in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.standins.docker.base import DockerObject, OnCreated
from offline.standins.values import Properties

ALLOCATION_TIMEOUT = 10
"""Seconds to wait for a Swarm manager to allocate a network's addresses."""


class Network(DockerObject):
    """A network."""

    path, noun, in_use = "/networks", "network", "has active endpoints"

    def body(self, values: Properties) -> Properties:
        """Return the request body."""
        return {"CheckDuplicate": True, "Driver": "bridge"} | super().body(values)

    def create(self, values: Properties, on_created: OnCreated) -> Properties | None:
        """Create a network and wait until it is allocated: a Swarm network has no driver and no addresses at first."""

        def wait_for_allocation(identity: str) -> None:
            on_created(identity)
            self.api.until(lambda: self._is_allocated(identity), ALLOCATION_TIMEOUT)

        return super().create(values, wait_for_allocation)

    def _is_allocated(self, identity: str) -> bool:
        network = self.inspect(identity)
        # One that is gone needs no wait either.
        return network is None or bool(network.get("Driver"))


class Volume(DockerObject):
    """A volume; like Docker, a create reuses an existing one with that name."""

    path, noun, in_use = "/volumes", "volume", "volume is in use"
    id_key = "Name"
    removal_params = {"force": True}

    def body(self, values: Properties) -> Properties:
        """Return the request body."""
        return {"Driver": "local"} | super().body(values)

    def state(self, inspection: Properties, prior: Properties) -> Properties:
        """Return the properties; the API returns the driver's options under another name than it takes them."""
        return super().state(inspection, prior) | {"driverOpts": inspection.get("Options") or {}}


class RemoteImage(DockerObject):
    """An image: the local one, or else pulled."""

    path, inspect_suffix = "/images", "/json"

    def create(self, values: Properties, on_created: OnCreated) -> Properties:
        """Use the local image, else pull it."""
        image = self.api.find_image(values["name"], values.get("platform") or "")
        on_created(image["Id"] + values["name"])
        return _image_state(image, values["name"])

    def read(self, identity: str, prior: Properties) -> Properties | None:
        """Look up an image by name; None when Docker does not have it."""
        image = self.inspect(prior["name"])
        return None if image is None else _image_state(image, prior["name"])

    def update(self, identity: str, before: Properties, after: Properties) -> Properties:
        """Make sure that the image exists; its other settings concern only its removal."""
        return _image_state(self.api.find_image(after["name"], after.get("platform") or ""), after["name"])

    def delete(self, identity: str, prior: Properties) -> None:
        """Remove an image, unless `keepLocally` is set."""
        if prior.get("keepLocally") or self.inspect(prior["name"]) is None:
            return
        params = {"force": bool(prior.get("forceRemove"))}
        self.api.change("DELETE", f"/images/{prior['name']}", params=params, failure="Unable to remove Docker image")


def _image_state(image: Mapping[str, Any], name: str) -> Properties:
    digests = image.get("RepoDigests") or []
    matching = [digest for digest in digests if digest.startswith(name.split(":", maxsplit=1)[0])] or digests
    return {
        "id": image["Id"] + name,
        "imageId": image["Id"],
        "repoDigest": digests[0] if len(digests) == 1 else matching[0] if matching else "",
    }

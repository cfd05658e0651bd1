"""The table of images: components/images.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import StringConstraints, TypeAdapter, ValidationError, model_validator

from settings.base import ExactlyOne
from settings.problems import LOADER, SettingsError, SettingsFile, from_validation

_REFERENCE = r"^[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+:[A-Za-z0-9._-]+$"


class Image(ExactlyOne):
    """One image: pulled by its official reference, or built from a folder of the checkout."""

    alternatives = ("image", "build")

    image: Annotated[str, StringConstraints(pattern=_REFERENCE)] | None = None
    """Registry, path and tag."""

    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest of the tag when it was last reviewed."""

    build: str | None = None
    """Folder with a Dockerfile."""

    base: str | None = None
    """Image of the table that it is built on."""

    @model_validator(mode="after")
    def _has_base(self) -> Image:
        if (self.build is None) != (self.base is None):
            raise ValueError("both build and base, or neither")
        return self

    @property
    def reference(self) -> str:
        """The official reference, pinned where the digest is known."""
        return f"{self.image}@{self.digest}" if self.digest else self.image or ""

    @property
    def registry(self) -> str:
        """Host (and port) of the official image's registry."""
        return (self.image or "").split("/", 1)[0]

    @property
    def path(self) -> str:
        """The image's path within its registry, as mirrors and the local registry keep it: `prom/prometheus`."""
        return (self.image or "/").split("/", 1)[1].rsplit(":", 1)[0]

    @property
    def tag(self) -> str:
        """The tag: `v3.5.0`."""
        return (self.image or "").rsplit(":", 1)[-1]


@dataclass(frozen=True)
class ImageTable:
    """All images by name."""

    images: Mapping[str, Image]

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.images)

    def reference(self, name: str, mirror: str | None = None) -> str:
        """Return the reference to run for a name of the table, or `name` itself where it is a full reference.

        With a mirror the registry's host is replaced and everything after it stays.
        """
        image = self.images.get(name)
        reference = image.reference if image else name
        if image and image.build:
            return f"dockyard/{name}:built-here"
        return f"{mirror}/{reference.split('/', 1)[1]}" if mirror and "/" in reference else reference


def load_images(path: Path) -> ImageTable:
    """Read the table. Raises SettingsError with every problem in it."""
    text = path.read_text()
    try:
        images = TypeAdapter(dict[str, Image]).validate_python(yaml.load(text, Loader=LOADER))  # noqa: S506 - a safe one
    except ValidationError as error:
        file = SettingsFile(path.name, text)
        raise SettingsError(from_validation(error, Image, lambda *_: file)) from error
    return ImageTable(images)

"""Builds of images that no registry provides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model

Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Inside = Annotated[str, StringConstraints(pattern=r"^[^/].*$")]


class Build(Model):
    """A Dockerfile, a shipped template or your own, and the build context."""

    template: Literal["node-backend", "nuxt", "static", "python-bot"] | None = None
    """A Dockerfile of templates/, whose first lines list the `args` that it supports."""

    dockerfile: Inside | None = None
    """A Dockerfile of your own, relative to the context. `FROM ${NODE}`, for instance, resolves to the image in
    components/images.yaml."""

    context: str = Field(default=".", min_length=1)
    """Folder with the sources: relative to the checkout (`../app`), or absolute. Its .dockerignore is respected."""

    package_manager: Literal["npm", "pnpm"] = "npm"
    """Package manager of the Node.js templates."""

    args: dict[Argument, str] = {}
    """Build arguments. They are readable in Docker's build cache: never put a secret here."""

    target: str | None = Field(default=None, min_length=1)
    """Build stage to stop at. Default: the last."""

    @model_validator(mode="after")
    def _one_way(self) -> Build:
        if (self.template is None) == (self.dockerfile is None):
            raise ValueError("exactly one of template and dockerfile")
        if "package_manager" in self.model_fields_set and self.template in (None, "python-bot"):
            raise ValueError("no package_manager: it goes with the templates node-backend, nuxt and static")
        if self.template and "PACKAGE" in self.args and self.package_manager != "pnpm":
            raise ValueError("package_manager: pnpm, which args.PACKAGE needs")
        return self

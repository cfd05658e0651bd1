"""How an image is built where no registry has it."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from settings.base import Model


class Build(Model):
    """A Dockerfile, one of the templates or your own, and the folder it is built from."""

    context: str = "."
    """Folder with the sources, relative to the checkout."""

    template: Literal["node-backend", "nuxt", "static", "python-bot"] | None = None
    dockerfile: str | None = None
    """A Dockerfile, relative to the context."""

    package_manager: Literal["npm", "pnpm"] = "npm"
    target: str | None = None
    args: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Build:
        if (self.template is None) == (self.dockerfile is None):
            raise ValueError("exactly one of template and dockerfile")
        return self

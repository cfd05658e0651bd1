"""Start a stand-in without importing the whole Pulumi SDK."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


def _load_stubs_alone() -> None:
    """Make `pulumi.runtime.proto` importable without running `pulumi/__init__.py`.

    Pulumi starts a plugin at every command. Importing the SDK takes 0.12 s, and a plugin needs only its protobuf
    stubs, which import only each other; so the two packages above them are replaced by empty modules.
    """
    spec = importlib.util.find_spec("pulumi")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("the Python environment of the stand-in plugin lacks the pulumi package")
    root = spec.submodule_search_locations[0]
    for name, path in (("pulumi", root), ("pulumi.runtime", f"{root}/runtime")):
        package = ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package


def launch(module: str, provider: str) -> None:
    """Run a provider, a class of `module`, as a plugin process. Not for a process that needs the SDK itself."""
    _load_stubs_alone()
    server = importlib.import_module("offline.standins.provider")
    server.serve(getattr(importlib.import_module(module), provider)())

"""What the component tests share: a context, and a program made of one component."""

from __future__ import annotations

import pulumi
import pytest

from components.context import StackContext
from settings.container import Limits
from settings.docker import Docker


@pytest.fixture
def make_context():
    """Return a function that makes a context; call it inside the program."""

    def make(**changes) -> StackContext:
        said = {
            "product": "shop",
            "environment": "development",
            "docker": Docker(),
            "protects_data": False,
            "app_network": pulumi.Output.from_input("app-net"),
            "monitoring_network": pulumi.Output.from_input("monitoring-net"),
        }
        return StackContext(**{**said, **changes})

    return make


@pytest.fixture
def limits() -> Limits:
    return Limits.model_validate({"memory": "128MB", "cpus": 0.5})

"""Secrets: set in the stack's configuration, or generated once and stored, encrypted, in the stack's state."""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

BYTES = 24
"""192 bits of randomness, 32 characters of the URL-safe alphabet: no shell, DSN or YAML needs them escaped."""

SECRET_MARK = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How Pulumi's protocol marks a secret. With additional_secret_outputs alone the value is secret in the state, but
stands in the open in Pulumi's event of its creation."""


class _RandomProvider(ResourceProvider):
    """Makes the value once; nothing that changes in the program changes it afterwards."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        value = {**SECRET_MARK, "value": secrets.token_urlsafe(BYTES)}
        return CreateResult(id_=secrets.token_hex(8), outs={**props, "value": value})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class GeneratedSecret(Resource):
    """A random value that stays the same for the life of the stack."""

    value: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        secret_output = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        super().__init__(_RandomProvider(), name, {"value": None}, pulumi.ResourceOptions.merge(opts, secret_output))


def secret(name: str, resource_name: str, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Return the stack's secret `dockyard:<name>`, or a generated one where it is not set."""
    configured = pulumi.Config("dockyard").get_secret(name)
    if configured is not None:
        return configured
    return GeneratedSecret(resource_name, pulumi.ResourceOptions(parent=parent)).value

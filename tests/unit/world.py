"""A recording stand-in for the engine: what a program registers, with parents, options and secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import rpc, settings
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True)
class Made:
    """One registered resource."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    """As the provider would see them, secrets opened."""

    secrets: frozenset[str]
    """Paths of the inputs that are marked secret: `uploads[0].content`."""

    parent: str
    """The parent's name, empty for the stack's own."""

    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    waits_for: frozenset[str]
    """Names of the resources it depends on, by option or by input."""

    def label(self, name: str) -> str | None:
        """Return the value of a label."""
        return next((item["value"] for item in self.inputs.get("labels", ()) if item["label"] == name), None)

    @property
    def env(self) -> dict[str, str]:
        """The container's variables."""
        return dict(item.split("=", 1) for item in self.inputs.get("envs", ()))

    @property
    def files(self) -> dict[str, str]:
        """Uploaded files: path → content."""
        return {item["file"]: item["content"] for item in self.inputs.get("uploads", ())}


@dataclass
class World:
    """Everything that a program registered."""

    made: list[Made] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Made:
        found = [one for one in self.made if one.name == name]
        assert found, f"nothing named {name}; there are: {', '.join(sorted(one.name for one in self.made))}"
        assert len(found) == 1, f"{name} was made {len(found)} times"
        return found[0]

    def __contains__(self, name: str) -> bool:
        return any(one.name == name for one in self.made)

    def of(self, kind: str) -> list[Made]:
        """Return all of a type, by its last word: `Container`."""
        return [one for one in self.made if one.type.rsplit(":", 1)[-1] == kind]

    @property
    def containers(self) -> list[Made]:
        """Every container: services and jobs."""
        return self.of("Container")


class _Mocks(Mocks):
    def __init__(self, exit_codes: Mapping[str, int]) -> None:
        self.exit_codes = exit_codes
        self.identity_providers = [{"id": "pin-id", "type": "onetimepin"}, {"id": "google-id", "type": "google"}]
        self.secret_outputs: frozenset[str] = frozenset()
        """Outputs that the resource at hand asks to be kept secret; the engine does so."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        state = dict(args.inputs)
        if args.typ.startswith("docker:index/"):
            state.setdefault("name", f"{args.name}-0a1b2c3")
        if args.inputs.get("mustRun") is False:
            state |= {"exitCode": self.exit_codes.get(args.name, 0), "containerLogs": f"log of {args.name}"}
        if args.typ == "pulumi-python:dynamic:Resource":
            state["value"] = f"generated-{args.name}"
        if args.typ.endswith(":ZeroTrustAccessApplication"):
            state["aud"] = f"aud-of-{state['domain']}"
        if args.typ.endswith(":ZeroTrustAccessServiceToken"):
            state |= {"clientId": f"{args.name}.access", "clientSecret": f"secret-of-{args.name}"}
        kept = {key: pulumi.Output.secret(state[key]) for key in self.secret_outputs & state.keys()}
        return f"{args.name}-id", {**state, **kept}

    def call(self, args: Any) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            "getZeroTrustTunnelCloudflaredToken": {"token": "tunnel-token-value"},
            "getZeroTrustAccessIdentityProviders": {"results": self.identity_providers},
        }
        return answers[args.token.rsplit(":", 1)[-1]]


class _Monitor(MockMonitor):
    def __init__(self, mocks: Mocks, world: World) -> None:
        super().__init__(mocks)
        self.world = world

    def RegisterResource(self, request: Any) -> Any:
        raw = json_format.MessageToDict(request.object)
        dependencies = {*request.dependencies}
        for found in request.propertyDependencies.values():
            dependencies |= {*found.urns}
        self.world.made.append(
            Made(
                type=request.type,
                name=request.name,
                inputs=_open(rpc.deserialize_properties(request.object, True)),
                secrets=frozenset(_secret_paths(raw)),
                parent=_parent_name(request.parent),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                delete_before_replace=request.deleteBeforeReplace,
                ignore_changes=tuple(request.ignoreChanges),
                waits_for=frozenset(urn.rsplit("::", 1)[-1] for urn in dependencies),
            )
        )
        self.mocks.secret_outputs = frozenset(request.additionalSecretOutputs)
        return super().RegisterResource(request)


def _parent_name(urn: str) -> str:
    """Return the parent's name, empty where it is the stack itself."""
    if not urn or urn.split("::")[2] == "pulumi:pulumi:Stack":
        return ""
    return urn.rsplit("::", 1)[-1]


def _open(value: Any) -> Any:
    """Return the value with secrets opened."""
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == SECRET_SIGNATURE:
            return _open(value["value"])
        return {key: _open(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_open(inner) for inner in value]
    return value


def _secret_paths(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == SECRET_SIGNATURE:
            return [path]
        return [
            found for key, inner in value.items() for found in _secret_paths(inner, f"{path}.{key}" if path else key)
        ]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _secret_paths(inner, f"{path}[{index}]")]
    return []


def build(
    program: Callable[[], None],
    *,
    secrets: Mapping[str, str] | None = None,
    exit_codes: Mapping[str, int] | None = None,
    stack: str = "test",
    preview: bool = False,
) -> World:
    """Run a program against the recording engine and return what it registered.

    `secrets` are configured under dockyard:; `exit_codes` are those of one-shot jobs, 0 where not said.
    """
    world = World()
    mocks = _Mocks(exit_codes or {})
    settings.reset_options()
    set_mocks(mocks, project="dockyard", stack=stack, preview=preview, monitor=_Monitor(mocks, world))
    given = {f"dockyard:{name}": value for name, value in (secrets or {}).items()}
    pulumi.runtime.set_all_config(given, list(given))
    _sync_await(run_pulumi_func(program))
    world.made = [one for one in world.made if one.type != "pulumi:pulumi:Stack"]
    return world

"""A recording stand-in for the engine: what a program registers, with parents, options, secrets and outputs."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import rpc, settings
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import run_in_stack
from pulumi.runtime.sync_await import _ensure_event_loop, _sync_await

SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
STACK_TYPE = "pulumi:pulumi:Stack"

PROTOCOL_FIELDS = {
    *("acceptResources", "acceptSecrets", "aliasSpecs", "custom", "dependencies", "name", "object", "packageRef"),
    *("parent", "pluginChecksums", "pluginDownloadURL", "propertyDependencies", "providers", "remote"),
    *("sourcePosition", "stackTrace", "stackTraceHandle", "supportsPartialValues", "supportsResultReporting"),
    *("type", "version"),
}
"""Fields of a registration that are no option of the resource, or that the recording holds in another place."""


@dataclass(frozen=True)
class RecordedResource:
    type: str
    name: str
    inputs: Mapping[str, Any]  # as the provider would see them, secrets opened
    secrets: frozenset[str]  # paths of the inputs that are marked secret: `uploads[0].content`
    parent: str  # the parent's name, empty for the stack's own
    options: Mapping[str, Any]
    """Every option that is set, by the protocol's name: `protect`, `retainOnDelete`, `ignoreChanges`, …"""

    depends_on: frozenset[str]  # names of the resources it depends on, by option or by input

    @property
    def protect(self) -> bool:
        return bool(self.options.get("protect"))

    @property
    def retain_on_delete(self) -> bool:
        return bool(self.options.get("retainOnDelete"))

    @property
    def delete_before_replace(self) -> bool:
        return bool(self.options.get("deleteBeforeReplace"))

    @property
    def ignore_changes(self) -> tuple[str, ...]:
        return tuple(self.options.get("ignoreChanges", ()))

    def label(self, name: str) -> str | None:
        return next((item["value"] for item in self.inputs.get("labels", ()) if item["label"] == name), None)

    @property
    def env(self) -> dict[str, str]:
        return dict(item.split("=", 1) for item in self.inputs.get("envs", ()))

    @property
    def files(self) -> dict[str, str]:
        return {item["file"]: item["content"] for item in self.inputs.get("uploads", ())}


@dataclass
class RecordedProgram:
    resources: list[RecordedResource] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name of a component → its registered outputs; the stack's exports have the empty name. Secrets are opened."""

    secret_outputs: dict[str, frozenset[str]] = field(default_factory=dict)
    """The same name → paths of the outputs that are marked secret."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every function of a provider that was called, with its arguments."""

    def __getitem__(self, name: str) -> RecordedResource:
        matches = [resource for resource in self.resources if resource.name == name]
        names = ", ".join(sorted(resource.name for resource in self.resources))
        assert matches, f"nothing is named {name}; there are: {names}"
        assert len(matches) == 1, f"{name} was registered {len(matches)} times"
        return matches[0]

    def __contains__(self, name: str) -> bool:
        return any(resource.name == name for resource in self.resources)

    def of(self, kind: str) -> list[RecordedResource]:
        """Return all resources of a type, by its last word: `Container`."""
        return [resource for resource in self.resources if resource.type.rsplit(":", 1)[-1] == kind]

    @property
    def containers(self) -> list[RecordedResource]:
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
        secret = {key: pulumi.Output.secret(state[key]) for key in self.secret_outputs & state.keys()}
        return f"{args.name}-id", {**state, **secret}

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        answers: dict[str, dict[str, Any]] = {
            "getZeroTrustTunnelCloudflaredToken": {"token": "tunnel-token-value"},
            "getZeroTrustAccessIdentityProviders": {"results": self.identity_providers},
        }
        return answers[args.token.rsplit(":", 1)[-1]]


class _Monitor(MockMonitor):
    def __init__(self, mocks: _Mocks, program: RecordedProgram) -> None:
        super().__init__(mocks)
        self.program = program
        self.lock = threading.RLock()
        """Pulumi registers resources from several threads; the mocks serve one resource at a time."""

    def RegisterResource(self, request: Any) -> Any:
        with self.lock:
            if request.type != STACK_TYPE:
                self.program.resources.append(_recorded(request))
            self.mocks.secret_outputs = frozenset(request.additionalSecretOutputs)
            return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        name = _name(request.urn)
        self.program.outputs[name] = _open(rpc.deserialize_properties(request.outputs, True))
        self.program.secret_outputs[name] = frozenset(_secret_paths(json_format.MessageToDict(request.outputs)))
        return super().RegisterResourceOutputs(request)

    def Invoke(self, request: Any) -> Any:
        self.program.calls.append((request.tok, _open(rpc.deserialize_properties(request.args, True))))
        return super().Invoke(request)


def _recorded(request: Any) -> RecordedResource:
    dependencies = {*request.dependencies}
    for property_dependencies in request.propertyDependencies.values():
        dependencies |= {*property_dependencies.urns}
    options = json_format.MessageToDict(request)
    return RecordedResource(
        type=request.type,
        name=request.name,
        inputs=_open(rpc.deserialize_properties(request.object, True)),
        secrets=frozenset(_secret_paths(json_format.MessageToDict(request.object))),
        parent=_name(request.parent),
        options={key: value for key, value in options.items() if key not in PROTOCOL_FIELDS and value != {}},
        depends_on=frozenset(_name(urn) for urn in dependencies),
    )


def _name(urn: str) -> str:
    """Return a resource's name, empty for the stack itself."""
    if not urn or urn.split("::")[2] == STACK_TYPE:
        return ""
    return urn.rsplit("::", 1)[-1]


def _open(value: Any) -> Any:
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
        inner_paths = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list):
        inner_paths = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    else:
        return []
    return [secret for inner_path, inner in inner_paths for secret in _secret_paths(inner, inner_path)]


_loop = asyncio.new_event_loop()


def _report_other_than_failed_outputs(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what asyncio finds, but for outputs of what waits for a failed job: `record` raises the job's error."""
    if not isinstance(context.get("exception"), pulumi.RunError):
        loop.default_exception_handler(context)


def record(
    program: Callable[[], None],
    *,
    secrets: Mapping[str, str] | None = None,
    exit_codes: Mapping[str, int] | None = None,
    stack: str = "test",
    preview: bool = False,
) -> RecordedProgram:
    """Return what a program registers with secrets under dockyard:, and exit codes of jobs, 0 where not said."""
    # The thread may have no event loop: asyncio.run, in a test before this one, leaves none behind.
    asyncio.set_event_loop(_loop)
    recorded = RecordedProgram()
    mocks = _Mocks(exit_codes or {})
    settings.reset_options()
    set_mocks(mocks, project="dockyard", stack=stack, preview=preview, monitor=_Monitor(mocks, recorded))
    # The stack that set_mocks makes is finished: it takes no exports. run_in_stack makes the program's own.
    settings.set_root_resource(None)
    values = {f"dockyard:{name}": value for name, value in (secrets or {}).items()}
    pulumi.runtime.set_all_config(values, list(values))
    _ensure_event_loop().set_exception_handler(_report_other_than_failed_outputs)
    _sync_await(run_in_stack(program))
    return recorded

"""Shared by the stand-ins: a ResourceProvider gRPC server for a provider written with plain Python values.

A stand-in subclasses `Provider` and calls `serve`. Only this module uses protobuf messages.
"""

from __future__ import annotations

import re
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from offline.standins.values import Properties, from_struct, to_struct

MAX_MESSAGE = 400 * 1024 * 1024
"""Maximum size of a message in bytes; Pulumi's own limit."""

MAX_CALLS = 64
"""Number of calls processed in parallel. A call that waits for a health check occupies its thread."""


class ProviderError(Exception):
    """An operation failed; the message is shown to the user."""


class InitFailedError(ProviderError):
    """A resource was created but failed to initialize: Pulumi keeps its state and repairs it in the next update."""

    def __init__(self, identity: str, outputs: Properties, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.identity, self.outputs, self.reasons = identity, outputs, reasons


class Kind(IntEnum):
    """What happens to one property, with the numbers of Pulumi's protocol."""

    ADD = 0
    ADD_REPLACE = 1
    DELETE = 2
    DELETE_REPLACE = 3
    UPDATE = 4
    UPDATE_REPLACE = 5

    @classmethod
    def of(cls, old: Any, new: Any, *, replaces: bool = False) -> Kind:
        """Return the kind of a change from one value to another; None means that there is none."""
        kind = cls.ADD if old is None else cls.DELETE if new is None else cls.UPDATE
        return cls(kind + replaces)


@dataclass(frozen=True)
class Request:
    """A call about one resource. Each call fills in what it has; `identity`, the id, is empty before a create."""

    urn: str
    type: str
    name: str
    identity: str = ""
    state: Properties = field(default_factory=dict)
    """The outputs that Pulumi has stored."""
    inputs: Properties = field(default_factory=dict)
    old_inputs: Properties = field(default_factory=dict)
    preview: bool = False
    ignore: Sequence[str] = ()
    """Property paths whose changes do not count."""
    seed: bytes = b""
    """Seed of a generated name."""
    proposed_name: str = ""
    naming: str = "PROPOSE"
    """Pulumi's mode of automatic naming."""


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled in, and their failures as (property path, reason)."""

    inputs: Properties
    failures: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Changes:
    """The result of Diff. `detailed` maps property paths to their kind of change; empty means no change."""

    detailed: Mapping[str, Kind]
    stables: Sequence[str] = ()
    delete_before_replace: bool = False

    @property
    def replaces(self) -> list[str]:
        """The properties whose change forces a replacement, once for each path."""
        return sorted(top_level(path) for path, kind in self.detailed.items() if kind.name.endswith("_REPLACE"))


@dataclass(frozen=True)
class State:
    """The actual state of a resource: its id, its outputs and, after a read, the inputs that correspond to them."""

    identity: str
    outputs: Properties
    inputs: Properties = field(default_factory=dict)


def top_level(path: str) -> str:
    """Return the top-level property of a path: `config.ingresses[0].service` → `config`."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


class Provider(ABC):
    """The provider of one package. Its methods may be called from several threads at once."""

    package: str
    version: str
    schema: str = "{}"

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        """Set when the user presses Ctrl-C: every wait must end."""

    @abstractmethod
    def announcement(self) -> str:
        """Return one line that describes this plugin."""

    @abstractmethod
    def check_config(self, news: Properties) -> Checked:
        """Check the provider's own configuration."""

    def diff_config(self, olds: Properties, news: Properties) -> Changes | None:
        """Compare provider configurations; None leaves the comparison to Pulumi."""
        del olds, news
        return None

    @abstractmethod
    def configure(self, args: Properties) -> None:
        """Store the configuration. Must not need the network: previews run without it."""

    @abstractmethod
    def check(self, request: Request) -> Checked:
        """Check inputs and fill in defaults."""

    @abstractmethod
    def diff(self, request: Request) -> Changes:
        """Compare the old state and inputs with the new inputs."""

    @abstractmethod
    def create(self, request: Request) -> State:
        """Create the resource; in a preview only return what is known about it."""

    @abstractmethod
    def read(self, request: Request) -> State | None:
        """Read the resource back; None when it is gone."""

    @abstractmethod
    def update(self, request: Request) -> Properties:
        """Change the resource in place and return its outputs; in a preview only what is known about them."""

    @abstractmethod
    def delete(self, request: Request) -> None:
        """Delete the resource; one that is gone already is no error."""

    def invoke(self, token: str, args: Properties) -> Properties:
        """Run a function that the program invokes. Raises ProviderError for an unknown function."""
        del args
        raise ProviderError(f"the {self.package} stand-in has no function {token}")


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Translates between Pulumi's gRPC protocol and a `Provider`."""

    def __init__(self, provider: Provider, engine_address: str = "") -> None:
        self.provider = provider
        self.engine_address = engine_address
        self._announced = False

    # Names and argument order are the protocol's; `context` serves to abort a call.
    # ruff: noqa: N802

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """Return the version."""
        return plugin_pb2.PluginInfo(version=self.provider.version)

    def GetSchema(self, request: pb.GetSchemaRequest, context: grpc.ServicerContext) -> pb.GetSchemaResponse:
        """Return the schema."""
        return pb.GetSchemaResponse(schema=self.provider.schema)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """End all waits."""
        self.provider.cancelled.set()
        return empty_pb2.Empty()

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Store Pulumi's address when the plugin was started by hand."""
        self.engine_address = request.address
        return empty_pb2.Empty()

    def CheckConfig(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:
        """Check the provider's configuration."""
        return _check_response(self.provider.check_config(from_struct(request.news)))

    def DiffConfig(self, request: pb.DiffRequest, context: grpc.ServicerContext) -> pb.DiffResponse:
        """Compare the provider's configurations."""
        changes = self.provider.diff_config(from_struct(request.olds), from_struct(request.news))
        return pb.DiffResponse() if changes is None else _diff_response(changes)

    def Configure(self, request: pb.ConfigureRequest, context: grpc.ServicerContext) -> pb.ConfigureResponse:
        """Store the configuration and announce this plugin."""
        with _errors(context):
            self.provider.configure(from_struct(request.args))
        self._announce(in_passing=True)
        return pb.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Check(self, request: pb.CheckRequest, context: grpc.ServicerContext) -> pb.CheckResponse:
        """Check a resource's inputs."""
        with _errors(context, f"checking {request.urn}"):
            return _check_response(self.provider.check(_request(request, inputs="news", old_inputs="olds")))

    def Diff(self, request: pb.DiffRequest, context: grpc.ServicerContext) -> pb.DiffResponse:
        """Compare a resource's state with its new inputs."""
        with _errors(context, f"diffing {request.urn}"):
            changes = self.provider.diff(_request(request, state="olds", inputs="news", old_inputs="old_inputs"))
            return _diff_response(changes)

    def Create(self, request: pb.CreateRequest, context: grpc.ServicerContext) -> pb.CreateResponse:
        """Create a resource."""
        if not request.preview:
            self._announce(in_passing=False)
        with _errors(context, f"creating {request.urn}"):
            state = self.provider.create(_request(request, inputs="properties"))
            return pb.CreateResponse(id=state.identity, properties=to_struct(state.outputs))

    def Read(self, request: pb.ReadRequest, context: grpc.ServicerContext) -> pb.ReadResponse:
        """Read a resource back."""
        with _errors(context, f"refreshing {request.urn}"):
            state = self.provider.read(_request(request, state="properties", inputs="inputs"))
            if state is None:
                return pb.ReadResponse()
            return pb.ReadResponse(
                id=state.identity, properties=to_struct(state.outputs), inputs=to_struct(state.inputs)
            )

    def Update(self, request: pb.UpdateRequest, context: grpc.ServicerContext) -> pb.UpdateResponse:
        """Change a resource in place."""
        if not request.preview:
            self._announce(in_passing=False)
        with _errors(context, f"updating {request.urn}"):
            outputs = self.provider.update(_request(request, state="olds", inputs="news", old_inputs="old_inputs"))
            return pb.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: pb.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Delete a resource."""
        self._announce(in_passing=False)
        with _errors(context, f"deleting {request.urn}"):
            self.provider.delete(_request(request, state="properties", old_inputs="old_inputs"))
        return empty_pb2.Empty()

    def Invoke(self, request: pb.InvokeRequest, context: grpc.ServicerContext) -> pb.InvokeResponse:
        """Run a function."""
        response = pb.InvokeResponse()
        with _errors(context, f"invoking {request.tok}"):
            answer = self.provider.invoke(request.tok, from_struct(request.args))
            # The field's name is a Python keyword.
            getattr(response, "return").CopyFrom(to_struct(answer))
        return response

    def _announce(self, *, in_passing: bool) -> None:
        """Announce this plugin: in the status line at every start, and once in the log when it changes something."""
        if not self.engine_address or (self._announced and not in_passing):
            return
        self._announced = self._announced or not in_passing
        announcement = self.provider.announcement()
        message = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=announcement, ephemeral=in_passing)
        with grpc.insecure_channel(self.engine_address) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(message, timeout=5)


def _request(message: Any, **properties: str) -> Request:
    """Return a request from its protobuf message. `properties` maps attributes to the message's fields."""
    attributes: dict[str, Any] = {name: from_struct(getattr(message, source)) for name, source in properties.items()}
    if isinstance(message, pb.CheckRequest):
        mode = pb.CheckRequest.AutonamingOptions.Mode.Name(message.autonaming.mode)
        attributes |= {"seed": message.randomSeed, "proposed_name": message.autonaming.proposed_name, "naming": mode}
    else:
        attributes["preview"] = getattr(message, "preview", False)
        attributes["ignore"] = getattr(message, "ignoreChanges", ())
    return Request(message.urn, message.type, message.name, getattr(message, "id", ""), **attributes)


def _check_response(checked: Checked) -> pb.CheckResponse:
    failures = [pb.CheckFailure(property=path, reason=reason) for path, reason in checked.failures]
    return pb.CheckResponse(inputs=to_struct(checked.inputs), failures=failures)


def _diff_response(changes: Changes) -> pb.DiffResponse:
    some = pb.DiffResponse.DIFF_SOME if changes.detailed else pb.DiffResponse.DIFF_NONE
    detailed = {
        path: pb.PropertyDiff(kind=pb.PropertyDiff.Kind.ValueType(kind)) for path, kind in changes.detailed.items()
    }
    return pb.DiffResponse(
        changes=some,
        diffs=sorted(set(map(top_level, changes.detailed))),
        replaces=changes.replaces,
        stables=changes.stables,
        deleteBeforeReplace=changes.delete_before_replace,
        detailedDiff=detailed,
        hasDetailedDiff=True,
    )


@contextmanager
def _errors(context: grpc.ServicerContext, operation: str = "") -> Iterator[None]:
    """Abort the call after a ProviderError, with an error message like that of the official plugins."""
    prefix = operation and f"{operation}: "
    try:
        yield
    except ProviderError as error:
        if isinstance(error, InitFailedError):
            reasons = [prefix + reason for reason in error.reasons]
            failure = pb.ErrorResourceInitFailed(
                id=error.identity, properties=to_struct(error.outputs), reasons=reasons
            )
            detail = any_pb2.Any()
            detail.Pack(failure)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, f"{prefix}{error}")


def serve(provider: Provider) -> None:
    """Run the plugin process: print the port for Pulumi, then serve until Pulumi ends it."""
    servicer = Servicer(provider, sys.argv[1] if len(sys.argv) > 1 else "")
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=MAX_CALLS), options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()

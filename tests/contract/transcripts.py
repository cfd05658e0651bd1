"""The recorded answers of the official Docker plugin, and calls into the stand-in that are compared with them."""

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2

from machine.workdir import CHECKOUT
from offline.standins.docker.server import DockerProvider
from offline.standins.provider import Servicer

Json = dict[str, Any]

REQUESTS = {
    "CheckConfig": provider_pb2.CheckRequest,
    "DiffConfig": provider_pb2.DiffRequest,
    "Check": provider_pb2.CheckRequest,
    "Diff": provider_pb2.DiffRequest,
    "Create": provider_pb2.CreateRequest,
    "Read": provider_pb2.ReadRequest,
    "Update": provider_pb2.UpdateRequest,
    "Delete": provider_pb2.DeleteRequest,
}


@dataclass(frozen=True)
class Line:
    file: str
    number: int
    method: str
    request: Json
    response: Json | None
    errors: tuple[str, ...]

    @property
    def title(self) -> str:
        """Where the line stands, for a failing test's message."""
        return f"{self.file}:{self.number} {self.method} {self.request.get('name')}"


def transcripts_dir() -> Path | None:
    """Where the transcripts are: `DOCKYARD_TRANSCRIPTS`, else `shared/docker-provider` beside the checkout."""
    configured = os.environ.get("DOCKYARD_TRANSCRIPTS")
    folder = Path(configured) if configured else CHECKOUT.parent / "shared/docker-provider/transcripts"
    return folder if folder.is_dir() else None


@functools.cache
def recorded() -> tuple[Line, ...]:
    """Return all recorded calls in order; none where there are no transcripts."""
    folder = transcripts_dir()
    if folder is None:
        return ()
    lines = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_text().splitlines(), start=1):
            call = json.loads(text)
            lines.append(
                Line(
                    path.name,
                    number,
                    call["method"],
                    call["request"],
                    call.get("response"),
                    tuple(call.get("errors") or ()),
                )
            )
    return tuple(lines)


def of_method(*methods: str) -> Iterator[Line]:
    return (line for line in recorded() if line.method in methods)


class CallError(Exception):
    """The stand-in answered with an error; `details` are the bytes that the engine reads the rest from."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes | None) -> None:
        super().__init__(f"rpc error: code = {code.name.title()} desc = {text}")
        self.details = details


class Context:
    """What a gRPC call needs of its context."""

    def __init__(self) -> None:
        self.details: bytes | None = None

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None:
        self.details = dict(metadata).get("grpc-status-details-bin")

    def abort(self, code: grpc.StatusCode, text: str) -> NoReturn:
        raise CallError(code, text, self.details)


class Plugin:
    """The stand-in, called in this process with the protocol's JSON."""

    def __init__(self, host: str = "") -> None:
        self.provider = DockerProvider()
        self.provider.configure({"host": host} if host else {})
        self.servicer = Servicer(self.provider)

    def call(self, method: str, request: Json) -> Json:
        """Call one method and return its answer as JSON. Raises CallError."""
        message = json_format.ParseDict(request, REQUESTS[method](), ignore_unknown_fields=True)
        answer = getattr(self.servicer, method)(message, Context())
        return json_format.MessageToDict(answer)

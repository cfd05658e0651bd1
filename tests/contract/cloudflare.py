"""What the Cloudflare stand-in's tests share: inputs, and a caller that speaks to it as the engine does."""

from __future__ import annotations

from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2

from toolchain.standins.cloudflare.provider import CloudflareProvider
from toolchain.standins.provider import Servicer
from toolchain.standins.values import Properties, from_struct, to_struct

Diff = provider_pb2.DiffResponse

TUNNEL = {"accountId": "acc", "name": "tumulte", "configSrc": "cloudflare"}
RECORD = {
    "zoneId": "zone",
    "name": "monitoring.example.org",
    "type": "CNAME",
    "ttl": 1,
    "content": "x.cfargotunnel.com",
    "proxied": True,
}

POLICY = {
    "accountId": "acc",
    "name": "people",
    "decision": "allow",
    "includes": [{"email": {"email": "ops@example.org"}}, {"emailDomain": {"domain": "example.org"}}],
}
APPLICATION = {
    "accountId": "acc",
    "name": "Grafana",
    "type": "self_hosted",
    "domain": "monitoring.example.org",
    "allowedIdps": ["b", "a"],
}
SERVICE_TOKEN = {"accountId": "acc", "name": "uptime"}


def config_of(tunnel: str, service: str = "http://grafana:3000") -> Properties:
    rules = [{"hostname": "monitoring.example.org", "service": service}, {"service": "http_status:404"}]
    return {"accountId": "acc", "tunnelId": tunnel, "source": "cloudflare", "config": {"ingresses": rules}}


class Context:
    """The gRPC context as far as a servicer uses it: ending a call raises."""

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise RuntimeError(details)

    def set_trailing_metadata(self, metadata: object) -> None:
        raise AssertionError(f"nothing of this provider fails half-made: {metadata}")


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::dockyard::{kind}::it"


class Engine:
    """Speaks to a servicer as the engine does, in protobuf, and remembers nothing."""

    def __init__(self, servicer: Any, *context: Any) -> None:
        self.servicer, self.context = servicer, context

    def configure(self, **args: str) -> provider_pb2.ConfigureResponse:
        request = provider_pb2.ConfigureRequest(args=to_struct(args))
        answer: provider_pb2.ConfigureResponse = self.servicer.Configure(request, *self.context)
        return answer

    def check(self, kind: str, news: Properties) -> list[tuple[str, str]]:
        request = provider_pb2.CheckRequest(urn=urn(kind), type=kind, name="it", news=to_struct(news))
        answer = self.servicer.Check(request, *self.context)
        assert from_struct(answer.inputs) == news
        return [(failure.property, failure.reason) for failure in answer.failures]

    def diff(self, kind: str, old: Properties, new: Properties, ignore: tuple[str, ...] = ()) -> Diff:
        request = provider_pb2.DiffRequest(
            id="1",
            urn=urn(kind),
            type=kind,
            name="it",
            olds=to_struct(old),
            old_inputs=to_struct(old),
            news=to_struct(new),
            ignoreChanges=ignore,
        )
        answer: Diff = self.servicer.Diff(request, *self.context)
        return answer

    def create(self, kind: str, inputs: Properties, preview: bool = False) -> tuple[str, Properties]:
        request = provider_pb2.CreateRequest(
            urn=urn(kind), type=kind, name="it", properties=to_struct(inputs), preview=preview
        )
        answer = self.servicer.Create(request, *self.context)
        return answer.id, from_struct(answer.properties)

    def read(
        self, kind: str, identity: str, outputs: Properties | None = None, inputs: Properties | None = None
    ) -> tuple[str, Properties, Properties]:
        request = provider_pb2.ReadRequest(
            id=identity,
            urn=urn(kind),
            type=kind,
            name="it",
            properties=to_struct(outputs or {}),
            inputs=to_struct(inputs or {}),
        )
        answer = self.servicer.Read(request, *self.context)
        return answer.id, from_struct(answer.properties), from_struct(answer.inputs)

    def update(self, kind: str, identity: str, olds: Properties, news: Properties, preview: bool = False) -> Properties:
        request = provider_pb2.UpdateRequest(
            id=identity,
            urn=urn(kind),
            type=kind,
            name="it",
            olds=to_struct(olds),
            old_inputs=to_struct(olds),
            news=to_struct(news),
            preview=preview,
        )
        return from_struct(self.servicer.Update(request, *self.context).properties)

    def delete(self, kind: str, identity: str, outputs: Properties) -> None:
        request = provider_pb2.DeleteRequest(
            id=identity, urn=urn(kind), type=kind, name="it", properties=to_struct(outputs)
        )
        self.servicer.Delete(request, *self.context)

    def invoke(self, token: str, args: Properties) -> Properties:
        answer = self.servicer.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(args)), *self.context)
        return from_struct(getattr(answer, "return"))


def in_process(**settings: str) -> Engine:
    """Return an engine that calls the servicer directly, configured."""
    engine = Engine(Servicer(CloudflareProvider()), Context())
    engine.configure(**settings)
    return engine

"""What the Cloudflare stand-in's tests share: inputs, and a caller that speaks to it as the engine does."""

from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2

from offline.standins.cloudflare.provider import CloudflareProvider
from offline.standins.provider import Servicer
from offline.standins.values import Properties, from_struct, to_struct

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


class Engine:
    """Speaks to the provider as the engine does, in protobuf, and remembers nothing."""

    def __init__(self) -> None:
        self.servicer: Any = Servicer(CloudflareProvider())

    def configure(self, **args: str) -> provider_pb2.ConfigureResponse:
        answer: provider_pb2.ConfigureResponse = self.servicer.Configure(
            provider_pb2.ConfigureRequest(args=to_struct(args)), Context()
        )
        return answer

    def _call(self, method: str, kind: str, **fields: Any) -> Any:
        packed = {name: to_struct(value) if isinstance(value, dict) else value for name, value in fields.items()}
        about = {"urn": f"urn:pulumi:dev::dockyard::{kind}::it", "type": kind, "name": "it"}
        request = getattr(provider_pb2, f"{method}Request")(**about, **packed)
        return getattr(self.servicer, method)(request, Context())

    def check(self, kind: str, news: Properties) -> list[tuple[str, str]]:
        answer = self._call("Check", kind, news=news)
        assert from_struct(answer.inputs) == news
        return [(failure.property, failure.reason) for failure in answer.failures]

    def diff(self, kind: str, old: Properties, new: Properties) -> Diff:
        answer: Diff = self._call("Diff", kind, id="1", olds=old, old_inputs=old, news=new)
        return answer

    def create(self, kind: str, inputs: Properties, preview: bool = False) -> tuple[str, Properties]:
        answer = self._call("Create", kind, properties=inputs, preview=preview)
        return answer.id, from_struct(answer.properties)

    def read(
        self, kind: str, identity: str, outputs: Properties, inputs: Properties
    ) -> tuple[str, Properties, Properties]:
        answer = self._call("Read", kind, id=identity, properties=outputs, inputs=inputs)
        return answer.id, from_struct(answer.properties), from_struct(answer.inputs)

    def update(self, kind: str, identity: str, olds: Properties, news: Properties, preview: bool) -> Properties:
        answer = self._call("Update", kind, id=identity, olds=olds, old_inputs=olds, news=news, preview=preview)
        return from_struct(answer.properties)

    def delete(self, kind: str, identity: str, outputs: Properties) -> None:
        self._call("Delete", kind, id=identity, properties=outputs)

    def invoke(self, token: str, args: Properties) -> Properties:
        answer = self.servicer.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(args)), Context())
        return from_struct(getattr(answer, "return"))


def in_process(**settings: str) -> Engine:
    engine = Engine()
    engine.configure(**settings)
    return engine

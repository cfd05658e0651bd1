"""The resource types: their properties as declared by `pulumi_cloudflare` 6.23.1, and their paths in the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from offline.standins.cloudflare.access import AccessApplication, AccessPolicy, AccessServiceToken
from offline.standins.cloudflare.kinds import ResourceType
from offline.standins.cloudflare.names import renamed, to_snake
from offline.standins.provider import ProviderError
from offline.standins.values import Properties

if TYPE_CHECKING:
    # Only for type checking: importing the HTTP client is slow, and a preview does not need it.
    from offline.standins.cloudflare.api import CloudflareApi


RECORD_TYPES = (
    *("A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS", "OPENPGPKEY"),
    *("PTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI"),
)


class Tunnel(ResourceType):
    """`ZeroTrustTunnelCloudflared`: a tunnel, without its ingress rules."""

    pulumi_type = "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared"
    collection = "/accounts/{accountId}/cfd_tunnel"
    inputs = {"accountId": str, "name": str, "configSrc": str, "tunnelSecret": str}
    required = ("accountId", "name")
    choices = {"configSrc": ("local", "cloudflare")}
    defaults = {"configSrc": "local"}
    replaces = ("accountId", "configSrc")
    computed = (
        *("accountTag", "connections", "connsActiveAt", "connsInactiveAt", "createdAt", "deletedAt"),
        *("metadata", "remoteConfig", "status", "tunType"),
    )
    unreported = ("tunnelSecret",)

    def read(self, api: CloudflareApi, identity: str, properties: Properties) -> Properties | None:
        """Read a tunnel; Cloudflare still returns a deleted one, with `deleted_at`, which counts as gone."""
        tunnel = super().read(api, identity, properties)
        return None if tunnel is None or tunnel.get("deletedAt") else tunnel

    def update(self, api: CloudflareApi, identity: str, inputs: Properties) -> Properties:
        """Update the name or the secret, with a PATCH."""
        fields = {key: inputs[key] for key in ("name", "tunnelSecret") if inputs.get(key) is not None}
        return self.outputs(api.call("PATCH", self.path(inputs, identity), to_snake(fields)), inputs)

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs; the free-form metadata is a JSON text, as in the official plugin."""
        return super().outputs(with_text(result, "metadata"), properties)


class TunnelConfig(ResourceType):
    """`ZeroTrustTunnelCloudflaredConfig`: a tunnel's ingress rules, with the tunnel's id and lifetime."""

    pulumi_type = "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig"
    inputs = {"accountId": str, "tunnelId": str, "config": dict, "source": str}
    required = ("accountId", "tunnelId")
    choices = {"source": ("local", "cloudflare")}
    replaces = ("accountId", "tunnelId")
    computed = ("createdAt", "version")
    strict = ("config",)

    CONFIG_NAMES = {
        "ingresses": "ingress",
        "audTags": "audTag",
        "noTlsVerify": "noTLSVerify",
        "matchSnItoHost": "matchSNItoHost",
        "warpRouting": "warp-routing",
    }
    """The configuration is camelCase in the API too, except for these names."""

    def path(self, properties: Properties, identity: str = "") -> str:
        """Return the path below the tunnel."""
        tunnel = identity or properties["tunnelId"]
        return f"/accounts/{properties['accountId']}/cfd_tunnel/{tunnel}/configurations"

    def create(self, api: CloudflareApi, inputs: Properties) -> tuple[str, Properties]:
        """Write the configuration; every tunnel has exactly one, so a create is an update."""
        return str(inputs["tunnelId"]), self.update(api, str(inputs["tunnelId"]), inputs)

    def delete(self, api: CloudflareApi, identity: str, properties: Properties) -> None:
        """Do nothing, like the official plugin: the configuration is deleted with its tunnel."""

    def body(self, inputs: Properties) -> Properties:
        """Return the configuration in the API's names."""
        return {"config": renamed(inputs.get("config") or {}, self.CONFIG_NAMES)}

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs, with the names in the configuration mapped back to Pulumi's."""
        config = renamed(result.get("config") or {}, self.CONFIG_NAMES, back=True)
        tunnel = {"tunnelId": result.get("tunnel_id") or properties.get("tunnelId")}
        return super().outputs({**result, "config": None}, properties) | tunnel | {"config": config}

    def locate(self, identity: str) -> tuple[str, Properties]:
        """Return the tunnel's id, which is also this resource's id."""
        tunnel_id, scope = super().locate(identity)
        return tunnel_id, scope | {"tunnelId": tunnel_id}


class DnsRecord(ResourceType):
    """`DnsRecord`: one name of a zone."""

    pulumi_type = "cloudflare:index/dnsRecord:DnsRecord"
    collection = "/zones/{zoneId}/dns_records"
    scope_name = "zoneId"
    inputs = {
        **dict.fromkeys(("zoneId", "name", "type", "content", "comment"), str),
        **dict.fromkeys(("ttl", "priority"), (int, float)),
        **dict.fromkeys(("privateRouting", "proxied"), bool),
        **dict.fromkeys(("data", "settings"), dict),
        "tags": list,
    }
    required = ("zoneId", "name", "type", "ttl")
    choices = {"type": RECORD_TYPES}
    defaults = {"proxied": False}
    replaces = ("type", "zoneId")
    unordered = ("tags",)
    drift_if_unset = ("comment", "data", "priority", "privateRouting")
    computed = ("commentModifiedOn", "createdOn", "meta", "modifiedOn", "proxiable", "tagsModifiedOn")

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs; a name declared relative to its zone stays relative: the API returns it in full."""
        outputs = super().outputs(with_text(result, "meta"), properties)
        written, full = properties.get("name"), outputs.get("name")
        if isinstance(written, str) and isinstance(full, str):
            same = full.lower() == written.lower() or full.lower().startswith(f"{written.lower()}.")
            if same or written == "@":
                outputs["name"] = written
        return outputs


def with_text(result: Properties, key: str) -> Properties:
    """Return the response with one free-form object as JSON text."""
    return result if result.get(key) is None else {**result, key: json.dumps(result[key], sort_keys=True)}


KINDS: tuple[ResourceType, ...] = (
    *(Tunnel(), TunnelConfig(), DnsRecord()),
    *(AccessApplication(), AccessPolicy(), AccessServiceToken()),
)
TYPES: Mapping[str, ResourceType] = {kind.pulumi_type: kind for kind in KINDS}


def resource_type(token: str) -> ResourceType:
    """Return a type by its token. Raises ProviderError for one that the stand-in lacks."""
    try:
        return TYPES[token]
    except KeyError:
        names = ", ".join(kind.rsplit(":", 1)[1] for kind in TYPES)
        raise ProviderError(
            f"the Cloudflare stand-in has no type {token}, only {names}; all others need the official plugin"
        ) from None

"""The provider: checks, defaults and diffs need no network; operations use Cloudflare's API."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from offline.standins.cloudflare.kinds import ResourceType
from offline.standins.cloudflare.names import differences, has_value, restrict_to_inputs, sorted_like
from offline.standins.cloudflare.resources import resource_type
from offline.standins.install import VERSIONS
from offline.standins.provider import (
    Changes,
    Checked,
    Kind,
    Provider,
    ProviderError,
    Request,
    State,
    top_level,
)
from offline.standins.values import UNKNOWN, Properties, has_unknown, secret, without_secrets

if TYPE_CHECKING:
    from offline.standins.cloudflare.api import CloudflareApi

OFFICIAL_API = "https://api.cloudflare.com/client/v4"

TOKEN_FUNCTION = "cloudflare:index/getZeroTrustTunnelCloudflaredToken:getZeroTrustTunnelCloudflaredToken"  # noqa: S105 - a name

PROVIDERS_FUNCTION = "cloudflare:index/getZeroTrustAccessIdentityProviders:getZeroTrustAccessIdentityProviders"

CONFIG_KEYS = frozenset({"apiToken", "baseUrl", "version", "pluginDownloadURL"})
"""Provider settings that this stand-in accepts; the last two, and names starting with `__`, are Pulumi's own."""

OTHER_CONFIG_KEYS = frozenset({"apiKey", "apiUserServiceKey", "email", "userAgentOperatorSuffix"})
"""Provider settings that only the official plugin supports."""


class CloudflareProvider(Provider):
    """Tunnels, their configuration, DNS records, and Access before them."""

    package = "cloudflare"
    version = VERSIONS["cloudflare"]

    def __init__(self) -> None:
        super().__init__()
        self.base_url = OFFICIAL_API
        self.token = ""

    def announcement(self) -> str:
        """Return what this plugin is and where it sends requests."""
        return (
            f"the Cloudflare plugin {self.version} is Dockyard's stand-in: tunnels, their configuration, DNS records"
            f" and Access, at {self.base_url}"
        )

    def check_config(self, news: Properties) -> Checked:
        """Reject settings that the official plugin does not have, and those that only it supports."""
        failures = []
        for key in news.keys() - CONFIG_KEYS:
            if key in OTHER_CONFIG_KEYS:
                failures.append((key, "the stand-in takes an apiToken only; this needs the official plugin"))
            elif not key.startswith("__"):
                failures.append((key, "the Cloudflare plugin has no such setting"))
        return Checked(news, sorted(failures))

    def diff_config(self, olds: Properties, news: Properties) -> Changes:
        """Compare provider settings; a change of token or address replaces no resource."""
        return Changes(differences(without_secrets(olds), without_secrets(news)))

    def configure(self, args: Properties) -> None:
        """Store token and address, from the configuration or else the environment. Needs no network."""
        self.base_url = self._setting(args, "baseUrl", "CLOUDFLARE_BASE_URL") or OFFICIAL_API
        self.token = self._setting(args, "apiToken", "CLOUDFLARE_API_TOKEN")
        self.__dict__.pop("_api", None)

    def check(self, request: Request) -> Checked:
        """Check that required inputs are present, and that every input exists and has the right type."""
        kind = resource_type(request.type)
        inputs = _plain(request.inputs)
        failures = [(key, f"{key} is required") for key in kind.required if inputs.get(key) in (None, "")]
        failures += [(key, reason) for key, value in sorted(inputs.items()) if (reason := _fault(kind, key, value))]
        return Checked(request.inputs, failures)

    def diff(self, request: Request) -> Changes:
        """Compare old and new inputs, both with defaults; after a refresh, the old inputs are the real values."""
        kind = resource_type(request.type)
        after = kind.defaults | _plain(request.inputs)
        before = kind.defaults | _plain(request.old_inputs)
        before |= {key: sorted_like(after.get(key), before[key]) for key in kind.unordered if key in before}
        ignored = set(map(top_level, request.ignore))
        detailed = {
            path: Kind(change + 1) if top_level(path) in kind.replaces else change
            for path, change in differences(before, after).items()
            if top_level(path) not in ignored
        }
        changes = Changes(detailed, stables=list(kind.replaces))
        return replace(changes, stables=()) if changes.replaces else changes

    def create(self, request: Request) -> State:
        """Create the resource; a preview makes no request."""
        kind = resource_type(request.type)
        inputs = _plain(request.inputs)
        if request.preview:
            unknown = dict.fromkeys(kind.computed, UNKNOWN)
            return State("", kind.defaults | unknown | inputs)
        identity, outputs = kind.create(self._api, inputs)
        return State(identity, _hidden(kind, outputs))

    def read(self, request: Request) -> State | None:
        """Read the resource back; an import has only an id (`<account or zone>/<id>`)."""
        kind = resource_type(request.type)
        outputs, inputs, identity = _plain(request.state), _plain(request.inputs), request.identity
        imported = kind.scope_name not in outputs
        if imported:
            identity, outputs = kind.locate(identity)
        real = kind.read(self._api, identity, outputs)
        if real is None:
            return None
        declared = {key: real[key] for key in kind.inputs if key in real} if imported else inputs
        ordered = real | {key: sorted_like(declared.get(key), real[key]) for key in kind.unordered if key in real}
        refreshed = {key: value for key, value in declared.items() if key in kind.unreported}
        refreshed |= restrict_to_inputs(declared, ordered)
        refreshed |= {
            key: restrict_to_inputs(declared[key], ordered[key], strict=True) for key in kind.strict if key in refreshed
        }
        refreshed |= {
            key: ordered[key] for key in kind.drift_if_unset if key not in declared and has_value(ordered.get(key))
        }
        return State(identity, _hidden(kind, ordered), refreshed)

    def update(self, request: Request) -> Properties:
        """Update the resource in place."""
        kind = resource_type(request.type)
        olds, news = request.state, _plain(request.inputs)
        if request.preview:
            return kind.defaults | {key: olds[key] for key in kind.computed if key in olds} | news
        secrets = {key: value for key, value in _plain(olds).items() if key in kind.create_only}
        return _hidden(kind, kind.update(self._api, request.identity, secrets | news))

    def delete(self, request: Request) -> None:
        """Delete the resource."""
        resource_type(request.type).delete(self._api, request.identity, _plain(request.state))

    def invoke(self, token: str, args: Properties) -> Properties:
        """Return a tunnel's token, marked as secret, or the account's identity providers."""
        functions = {TOKEN_FUNCTION: self._tunnel_token, PROVIDERS_FUNCTION: self._identity_providers}
        if token not in functions:
            names = " and ".join(function.rsplit(":", 1)[1] for function in functions)
            raise ProviderError(
                f"the Cloudflare stand-in has no function {token}, only {names}; all others need the official plugin"
            )
        return functions[token](_plain(args))

    def _tunnel_token(self, args: Properties) -> Properties:
        account, tunnel = args.get("accountId"), args.get("tunnelId")
        if not account or not tunnel:
            raise ProviderError("accountId and tunnelId are required")
        if has_unknown(args):
            return args | {"token": UNKNOWN}
        tunnel_token = self._api.call("GET", f"/accounts/{account}/cfd_tunnel/{tunnel}/token")
        return {"accountId": account, "tunnelId": tunnel, "token": secret(str(tunnel_token))}

    def _identity_providers(self, args: Properties) -> Properties:
        account = args.get("accountId")
        if not account or args.keys() - {"accountId"}:
            raise ProviderError("the Cloudflare stand-in finds identity providers by accountId, and by nothing else")
        if has_unknown(args):
            return args | {"results": UNKNOWN}
        providers = self._api.all(f"/accounts/{account}/access/identity_providers")
        results = [{key: provider.get(key) for key in ("id", "name", "type")} for provider in providers]
        return {"accountId": account, "id": account, "results": results}

    def _setting(self, args: Properties, key: str, variable: str) -> str:
        value = without_secrets(args.get(key))
        # A setting taken from a resource of the same program is unknown in the first preview.
        return str(value) if value and value != UNKNOWN else os.environ.get(variable, "")

    @cached_property
    def _api(self) -> CloudflareApi:
        """The API client. Raises ProviderError without a token."""
        if not self.token:
            raise ProviderError(
                "there is no API token for Cloudflare; set it with `pulumi config set --secret cloudflare:apiToken`"
                " or in CLOUDFLARE_API_TOKEN"
            )
        # Imported here because Pulumi starts this program at every command, and a preview needs no client.
        from offline.standins.cloudflare.api import CloudflareApi  # noqa: PLC0415 - previews need no httpx

        return CloudflareApi(self.base_url, self.token, self.cancelled)


def _plain(properties: Properties) -> Properties:
    """Return the properties that are not null, without secret marks."""
    return {key: without_secrets(value) for key, value in properties.items() if value is not None}


def _hidden(kind: ResourceType, outputs: Properties) -> Properties:
    """Return the outputs with secrets marked."""
    return outputs | {key: secret(outputs[key]) for key in kind.create_only if outputs.get(key) is not None}


def _fault(kind: ResourceType, key: str, value: Any) -> str:
    """Return what is wrong with one input, "" when it is valid."""
    if key not in kind.inputs:
        return f"{kind.pulumi_type.rsplit(':', 1)[1]} has no input {key}"
    expected = kind.inputs[key]
    if value == UNKNOWN:
        return ""
    # In Python a bool is an int, but not in the schema.
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        names = expected if isinstance(expected, tuple) else (expected,)
        return f"expected {' or '.join(name.__name__ for name in names)}, found {type(value).__name__}"
    allowed = kind.choices.get(key)
    if allowed and value not in allowed:
        return f"expected one of {', '.join(allowed)}, found {value!r}"
    return ""

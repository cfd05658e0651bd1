"""Cloudflare Access: one application for each public name of the tunnel, the policies, and the service tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from settings.tunnel import ONE_TIME_PIN, Access, Tunnel

TOKEN_DURATION = "8760h"  # noqa: S105 - a year, Cloudflare's default
"""Lifetime of a service token."""


@dataclass(frozen=True)
class AccessOutputs:
    """Results of Access that the tunnel and the stack's outputs need."""

    audiences: Mapping[str, pulumi.Output[str]]
    """Public name → the audience (AUD tag) that cloudflared requires in a visitor's token."""

    secrets: Mapping[str, pulumi.Output[str]]
    """`access-<name>-client-id` and `access-<name>-client-secret` of each service token."""


def protect_with_access(name: str, settings: Tunnel, parent: pulumi.Resource) -> AccessOutputs:
    """Protect every public name of a tunnel that uses Access.

    Policies are the account's reusable ones, shared by all names. The inputs are chosen so that a second `up` changes
    nothing with the official plugin, as read in terraform-provider-cloudflare v5:

    - An application refers to its policies by id and precedence; other fields that Cloudflare returns are ignored.
    - `self_hosted_domains` and `destinations` follow `domain` and are read-only; disabled switches are left unset.
    - A policy has its own session duration, 24h by default whatever the application's is: both are set.
    - A service token's secret is returned only at its creation; the plugin keeps it in the state.

    Identity providers belong to the account and all of its applications, so none is created here.
    """
    import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - takes two seconds, and a plugin

    access = settings.access
    if access is None:
        return AccessOutputs({}, {})
    child_opts = pulumi.ResourceOptions(parent=parent)
    session = format_session(access.session)
    tokens = {
        token: cloudflare.ZeroTrustAccessServiceToken(
            f"{name}-access-{token}",
            account_id=settings.account_id,
            name=f"{settings.name} {token}",
            duration=TOKEN_DURATION,
            # The plugin itself marks only the client secret as secret.
            opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["clientId"]),
        )
        for token in access.tokens
    }
    allowed = _allowed(access)
    programs: list[Any] = [{"service_token": {"token_id": token.id}} for token in tokens.values()]
    policies = [
        cloudflare.ZeroTrustAccessPolicy(
            f"{name}-access-{role}",
            account_id=settings.account_id,
            name=f"{settings.name} {role}",
            decision=decision,
            includes=includes,
            session_duration=session,
            opts=child_opts,
        )
        # Cloudflare evaluates service token policies first, whatever their order.
        for role, decision, includes in (("people", "allow", allowed), ("programs", "non_identity", programs))
        if includes
    ]
    providers = _providers(settings, access, parent)
    applications = {
        hostname: cloudflare.ZeroTrustAccessApplication(
            f"{name}-access-{hostname}",
            account_id=settings.account_id,
            name=f"{settings.name} {hostname}",
            type="self_hosted",
            domain=hostname,
            session_duration=session,
            # Other sites cannot make a browser send the session cookie.
            same_site_cookie_attribute="lax",
            allowed_idps=providers,
            # With one provider there is no choice to show.
            auto_redirect_to_identity=True if len(access.identity_providers) == 1 else None,
            policies=[{"id": policy.id, "precedence": number} for number, policy in enumerate(policies, start=1)],
            # A domain can have only one application.
            opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
        )
        for hostname in sorted(settings.protected)
    }
    secrets: dict[str, pulumi.Output[str]] = {}
    for token, service_token in tokens.items():
        secrets[f"access-{token}-client-id"] = pulumi.Output.secret(service_token.client_id)
        secrets[f"access-{token}-client-secret"] = pulumi.Output.secret(service_token.client_secret)
    return AccessOutputs({hostname: application.aud for hostname, application in applications.items()}, secrets)


def format_session(seconds: int) -> str:
    """Return a duration in Cloudflare's format, which has no unit for days: `24h`, `90m`, `45s`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _allowed(access: Access) -> list[Any]:
    """Return the alternatives that admit people: e-mails and their domains, or without any the log-in methods."""
    people = [{"email": {"email": email}} for email in sorted(access.emails)]
    people += [{"email_domain": {"domain": domain}} for domain in sorted(access.email_domains)]
    return people or [{"login_method": {"id": provider}} for provider in sorted(access.identity_providers)]


def _providers(
    settings: Tunnel, access: Access, parent: pulumi.Resource
) -> Sequence[str] | pulumi.Output[Sequence[str]] | None:
    """Return the ids of the allowed identity providers; None allows all of the account's.

    The one-time PIN provider has a different id in each account, so it is looked up.
    """
    import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - as above

    ids = sorted(provider for provider in access.identity_providers if provider != ONE_TIME_PIN)
    if ONE_TIME_PIN not in access.identity_providers or any(settings.placeholders):
        return ids or None

    def with_pin(account_providers: Any) -> list[str]:
        pin = next((str(provider.id) for provider in account_providers.results if provider.type == "onetimepin"), None)
        if pin is None:
            raise pulumi.RunError(
                "tunnel.access.identity_providers: the account has no one-time PIN. Add it: Zero Trust → Settings →"
                " Authentication → Login methods → Add new → One-time PIN"
            )
        return sorted([*ids, pin])

    return cloudflare.get_zero_trust_access_identity_providers_output(
        account_id=settings.account_id, opts=pulumi.InvokeOutputOptions(parent=parent)
    ).apply(with_pin)

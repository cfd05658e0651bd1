"""The types of Access: applications, reusable policies and service tokens of an account."""

from __future__ import annotations

from offline.standins.cloudflare.kinds import ResourceType
from offline.standins.cloudflare.names import restrict_to_inputs
from offline.standins.provider import ProviderError
from offline.standins.values import Properties


class AccountOrZoneType(ResourceType):
    """A type with the import id `accounts/<account>/<id>`: the official plugin accepts a zone instead, this one not."""

    def locate(self, identity: str) -> tuple[str, Properties]:
        """Return the id and the account. Raises ProviderError."""
        kind, _, rest = identity.partition("/")
        if kind != "accounts":
            raise ProviderError(f"the id {identity!r} cannot be imported, expected accounts/<accountId>/<id>")
        return super().locate(rest)


class AccessApplication(AccountOrZoneType):
    """`ZeroTrustAccessApplication`: Access in front of a host name."""

    pulumi_type = "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication"
    collection = "/accounts/{accountId}/access/apps"
    inputs = {
        **dict.fromkeys(
            (
                *("accountId", "appLauncherLogoUrl", "bgColor", "customDenyMessage", "customDenyUrl"),
                *("customNonIdentityDenyUrl", "domain", "headerBgColor", "logoUrl", "name"),
                *("readServiceTokensFromHeader", "sameSiteCookieAttribute", "sessionDuration", "type"),
            ),
            str,
        ),
        **dict.fromkeys(
            (
                *("allowAuthenticateViaWarp", "allowIframe", "appLauncherVisible", "autoRedirectToIdentity"),
                *("enableBindingCookie", "httpOnlyCookieAttribute", "optionsPreflightBypass", "pathCookieAttribute"),
                *("serviceAuth401Redirect", "skipAppLauncherLoginPage", "skipInterstitial"),
            ),
            bool,
        ),
        **dict.fromkeys(
            (
                *("allowedIdps", "customPages", "destinations", "footerLinks", "policies", "selfHostedDomains"),
                *("tags", "targetCriterias"),
            ),
            list,
        ),
        **dict.fromkeys(
            ("corsHeaders", "landingPageDesign", "mfaConfig", "oauthConfiguration", "saasApp", "scimConfig"), dict
        ),
    }
    required = ("accountId",)
    choices = {
        "type": (
            *("self_hosted", "saas", "ssh", "vnc", "app_launcher", "warp", "biso", "bookmark", "dash_sso"),
            *("infrastructure", "rdp", "mcp", "mcp_portal", "proxy_endpoint"),
        )
    }
    computed = ("aud",)
    unordered = ("allowedIdps", "selfHostedDomains", "tags")
    # Optional and not computed in the official schema: a value set by hand is drift, unless it is a switch that is off.
    drift_if_unset = tuple(
        sorted(
            inputs.keys()
            - {"domain", "name", "type", "appLauncherVisible", "httpOnlyCookieAttribute", "sessionDuration"}
            - {"skipAppLauncherLoginPage", "selfHostedDomains", "destinations", "accountId"}
        )
    )

    api_names = {"service_auth401_redirect": "service_auth_401_redirect", "target_criterias": "target_criteria"}

    def body(self, inputs: Properties) -> Properties:
        """Return the request body. Without a list of policies, the API would keep the existing ones."""
        return {"policies": []} | super().body(inputs)

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs; a policy that the inputs refer to by id has only the fields of the inputs."""
        outputs = super().outputs(result, properties)
        if "policies" in properties:
            outputs["policies"] = restrict_to_inputs(properties["policies"], outputs.get("policies", []))
        return outputs


class AccessPolicy(ResourceType):
    """`ZeroTrustAccessPolicy`: a reusable policy."""

    pulumi_type = "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy"
    collection = "/accounts/{accountId}/access/policies"
    inputs = {
        **dict.fromkeys(("accountId", "decision", "name", "purposeJustificationPrompt", "sessionDuration"), str),
        **dict.fromkeys(("approvalRequired", "isolationRequired", "purposeJustificationRequired"), bool),
        **dict.fromkeys(("approvalGroups", "excludes", "includes", "requires"), list),
        **dict.fromkeys(("connectionRules", "mfaConfig"), dict),
    }
    required = ("accountId", "decision", "name")
    choices = {"decision": ("allow", "deny", "non_identity", "bypass")}
    defaults = {"sessionDuration": "24h"}
    unordered = ("approvalGroups", "excludes", "includes", "requires")
    drift_if_unset = tuple(sorted(inputs.keys() - {"accountId"}))

    api_names = {
        "includes": "include",
        "excludes": "exclude",
        "requires": "require",
        "azure_ad": "azureAD",
        "github_organization": "github-organization",
    }

    def outputs(self, result: Properties, properties: Properties) -> Properties:
        """Return the outputs, without empty lists of rules."""
        return super().outputs({key: value for key, value in result.items() if value != []}, properties)


class AccessServiceToken(AccountOrZoneType):
    """`ZeroTrustAccessServiceToken`: credentials of a program. The API returns the secret only on creation."""

    pulumi_type = "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken"
    collection = "/accounts/{accountId}/access/service_tokens"
    inputs = {
        "accountId": str,
        "name": str,
        "clientSecretVersion": (int, float),
        "duration": str,
        "enabled": bool,
        "previousClientSecretExpiresAt": str,
    }
    required = ("accountId", "name")
    defaults = {"clientSecretVersion": 1, "duration": "8760h"}
    computed = ("clientId", "clientSecret", "expiresAt")
    unreported = ("clientSecretVersion", "previousClientSecretExpiresAt")
    create_only = ("clientSecret",)

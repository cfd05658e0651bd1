"""Grafana: its limits, its address and its log-in; in the product file, the stack file or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from settings.base import Model, SecretRef, duplicates
from settings.container import Limits
from settings.logs import LogStore

ALERTMANAGER_UID = "alertmanager"
"""Uid of the data source through which Grafana shows alerts and silences them."""

Uid = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/\S*)?$")]
Domain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]

PUBLIC_MAIL = (
    *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com"),
    *("me.com", "aol.com", "proton.me", "protonmail.com", "gmx.com", "gmx.net", "gmx.de", "web.de", "mail.ru"),
    *("orange.fr", "free.fr", "laposte.net", "wanadoo.fr", "sfr.fr", "yandex.ru"),
)
"""Domains of public mail providers: allowing one of them would let everybody in."""


@dataclass(frozen=True)
class Provider:
    """The settings that Grafana 12 supports for one kind of identity provider (pkg/login/social/connectors)."""

    section: str
    """Section of Grafana's configuration: `auth.<section>`."""

    limits: tuple[str, ...]
    """Settings each of which is sufficient to keep strangers out."""

    also: tuple[str, ...] = ()
    """Settings that restrict access further, but are not sufficient alone."""

    urls: tuple[str, ...] = ()
    """Required addresses."""

    own_urls: tuple[str, ...] = ()
    """Optional addresses of a self-hosted server: all of them or none."""


URLS = ("auth_url", "token_url", "api_url")
PROVIDERS = {
    "generic": Provider(
        "generic_oauth",
        ("allowed_domains", "allowed_groups", "allowed_organizations"),
        ("groups_attribute_path",),
        urls=URLS,
    ),
    "google": Provider("google", ("allowed_domains", "allowed_groups")),
    # The first address that GitHub returns may be one that its owner never confirmed.
    "github": Provider("github", ("allowed_organizations", "team_ids"), ("allowed_domains",), own_urls=URLS),
    "gitlab": Provider("gitlab", ("allowed_groups", "allowed_domains"), own_urls=URLS),
    # The administrator of any tenant can enter any address into its accounts.
    "azuread": Provider(
        "azuread", ("allowed_organizations", "allowed_groups"), ("allowed_domains",), ("auth_url", "token_url")
    ),
    "okta": Provider("okta", ("allowed_groups", "allowed_domains"), urls=URLS),
}
CHOICES = (*URLS, "allowed_domains", "allowed_organizations", "allowed_groups", "team_ids", "groups_attribute_path")


class OAuth(Model):
    """Log-in by an identity provider, OAuth 2 or OpenID Connect; the keys are Grafana's.

    The redirect URI at the provider is `<Grafana's root URL>/login/<provider>` (`generic_oauth` for `generic`). Access
    must be restricted: by default Grafana admits everybody who has an account there.
    """

    provider: Literal["generic", "google", "github", "gitlab", "azuread", "okta"]
    client_id: Text
    client_secret: SecretRef
    """Name of the secret with the client secret."""

    name: Text | None = None
    """Label of the log-in button. Default: the provider's own name."""

    auth_url: Url | None = None
    token_url: Url | None = None
    api_url: Url | None = None
    """Address of the provider's user information (OpenID Connect: userinfo)."""

    scopes: list[Text] = []
    """Default: Grafana's for the provider, for `generic` those of OpenID Connect. Google returns groups only with
    `https://www.googleapis.com/auth/cloud-identity.groups.readonly` among them."""

    allowed_domains: list[Domain] = []
    """Domains of the e-mail address; for Google also of the account (its hosted domain)."""

    allowed_organizations: list[Text] = []
    """GitHub: organisations; Azure AD: tenant ids; generic: the answer of `<api_url>/orgs`."""

    allowed_groups: list[Text] = []
    """GitLab: full paths of groups; Azure AD: object ids."""

    team_ids: list[Annotated[int, Field(ge=1)]] = []
    """GitHub: numeric ids of teams."""

    groups_attribute_path: Text | None = None
    """`generic`: JMESPath of the groups in the user information."""

    role_attribute_path: Text | None = None
    """JMESPath that returns `Viewer`, `Editor` (may silence alerts) or `Admin`: `contains(groups, 'ops') && 'Editor'`.
    Default: everybody starts as Viewer, and an administrator assigns other roles in Grafana."""

    auto_login: bool = False
    """Redirect to the provider at once, without Grafana's own log-in page."""

    allow_sign_up: bool = True
    """Create a Grafana account at the first log-in of everybody who is admitted. `false`: only people whose account an
    administrator has created can log in."""

    @model_validator(mode="after")
    def _fits_the_provider(self) -> OAuth:
        provider = PROVIDERS[self.provider]
        configured = {choice for choice in CHOICES if getattr(self, choice)}
        supported = {*provider.limits, *provider.also, *provider.urls, *provider.own_urls}
        # Grafana ignores settings that a provider does not support, and would let in whom they were to keep out.
        if unknown := [choice for choice in CHOICES if choice in configured - supported]:
            raise ValueError(f"no {' and no '.join(unknown)}: Grafana ignores it for provider {self.provider}")
        if missing := [url for url in provider.urls if url not in configured]:
            raise ValueError(f"also {' and '.join(missing)}, required by provider {self.provider}")
        if configured & {*provider.own_urls} and (
            missing := [url for url in provider.own_urls if url not in configured]
        ):
            raise ValueError(f"also {' and '.join(missing)}: all of {', '.join(provider.own_urls)}, or none of them")
        if not configured & {*provider.limits}:
            raise ValueError(
                f"{' or '.join(provider.limits)}, to limit who can log in: otherwise Grafana would admit everybody"
                f" who has an account at {self.provider}"
            )
        if public := [domain for domain in self.allowed_domains if domain in PUBLIC_MAIL]:
            raise ValueError(f"your own domains in allowed_domains: anybody can get an address at {', '.join(public)}")
        if self.provider == "generic" and self.allowed_groups and not self.groups_attribute_path:
            raise ValueError("also groups_attribute_path, the place of the groups in the user information")
        return self


class Grafana(Model):
    """Grafana. The limits are from the dating app's table."""

    admin_user: Text = "admin"
    root_url: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    """The address at which people reach Grafana. Default: the tunnel's host name, else its host name at the edge
    (`edge.tools`), else the published port."""

    oauth: OAuth | None = None
    """Log-in by an identity provider, in addition to the administrator's password."""

    password_login: bool = True
    """Form for name and password on the log-in page. `false` only with `oauth`; the administrator's password then still
    works for Grafana's HTTP API."""

    datasource_uid: Uid = "prometheus"
    """Uid of the Prometheus data source; Love Parser's dashboards refer to `love-prom`."""

    loki_datasource_uid: Uid = "loki"
    """Uid of the Loki data source; Love Parser's dashboards refer to `love-loki`."""

    victorialogs_datasource_uid: Uid = "victorialogs"
    """Uid of the VictoriaLogs data source, where that is the log store."""

    boards: list[Literal["nodejs", "queues"]] = []
    """Optional dashboards, for metrics that only some products have: Node's own metrics, Bull's queues."""

    limits: Limits = Limits.of("512MB", cpus=1)

    @model_validator(mode="after")
    def _someone_can_log_in(self) -> Grafana:
        if not self.password_login and self.oauth is None:
            raise ValueError("also oauth where password_login is false: otherwise nobody could log in")
        return self

    @model_validator(mode="after")
    def _uids_differ(self) -> Grafana:
        uids = [self.datasource_uid, self.loki_datasource_uid, self.victorialogs_datasource_uid, ALERTMANAGER_UID]
        if twice := duplicates(uids):
            raise ValueError(
                f"a unique uid for each data source: {', '.join(twice)} is used twice"
                f" ({ALERTMANAGER_UID} is Alertmanager's)"
            )
        return self

    def logs_datasource_uid(self, store: LogStore) -> str:
        """Return the uid of a log store's data source."""
        return self.loki_datasource_uid if store == "loki" else self.victorialogs_datasource_uid

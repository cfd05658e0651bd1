"""Grafana: its settings, data sources and dashboards. MonitoringStack runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import yaml

from components.edge.traefik import HSTS_SECONDS
from components.logs.pipeline import logs_datasource
from components.logs.victorialogs import PLUGIN
from runtime.base import Instance
from runtime.context import StackContext
from runtime.health import wget
from runtime.secret_files import required_secret
from runtime.spec import Attachment, ContainerSpec, FileSet, Mount, Volume
from settings.grafana import ALERTMANAGER_UID, PROVIDERS, Grafana, OAuth
from settings.logs import LogStore
from settings.names import TOOLS

PORT = TOOLS["grafana"]
USER = "472:0"
"""User and group of the official image."""

PROVISIONING = "/etc/grafana/provisioning"
# In the provisioning folder, where Grafana ignores it: another volume would slow down every `up` and preview.
ADMIN_PASSWORD = "secrets/admin-password"  # noqa: S105 - where it is, not what it is
CLIENT_SECRET = "secrets/oauth-client-secret"  # noqa: S105 - where it is, not what it is

ALERTMANAGER = "Alertmanager"
"""Name of Alertmanager's data source, which links to Grafana's silence form must contain."""

SHUT = {
    # Includes values that are Grafana's defaults: a default can change between versions.
    "GF_AUTH_ANONYMOUS_ENABLED": "false",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_USERS_ALLOW_ORG_CREATE": "false",
    # Dashboards that an editor shares by a link without log-in.
    "GF_PUBLIC_DASHBOARDS_ENABLED": "false",
    # Five wrong passwords lock a name for five minutes.
    "GF_SECURITY_DISABLE_BRUTE_FORCE_LOGIN_PROTECTION": "false",
    "GF_SECURITY_ALLOW_EMBEDDING": "false",
    # `strict` would withhold the cookie from people who follow a link in a message, or return from OAuth.
    "GF_SECURITY_COOKIE_SAMESITE": "lax",
}
"""No access without a log-in; accounts are created only by an administrator or by OAuth."""

QUIET = {
    # No unrequested calls to the outside.
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    # Avatars, fetched by a hash of the mail address; snapshots of dashboards, on Grafana's public server.
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
}


WITH_PLUGIN = {
    # Installed into the data volume before the first start, which needs access to grafana.com; later starts do not.
    "GF_PLUGINS_PREINSTALL_SYNC": PLUGIN,
    "GF_PLUGINS_PREINSTALL_DISABLED": "false",
    # Plugins that Grafana would install as well.
    "GF_PLUGINS_DISABLE_PLUGINS": "grafana-lokiexplore-app,grafana-exploretraces-app,grafana-pyroscope-app"
    ",grafana-metricsdrilldown-app",
}
"""For VictoriaLogs as log store: Grafana has no built-in data source for it."""


@dataclass(frozen=True)
class GrafanaArgs:
    """Arguments of Grafana."""

    grafana: Grafana
    context: StackContext
    dashboards: Mapping[str, str]
    """File name → dashboard as JSON."""

    root_url: str
    """The address at which people reach it."""

    logs: LogStore | None
    """The log store of this stack; None without logs."""


def run_grafana(
    name: str,
    args: GrafanaArgs,
    admin_password: pulumi.Output[str],
    data: Volume,
    parent: pulumi.Resource,
) -> Instance:
    """Run Grafana with its data sources and dashboards; resources are named `<name>-…`.

    It has no route to the outside. It stores the administrator's password in its data at the first start; later changes
    of the secret have no effect.
    """
    settings, context = args.grafana, args.context
    sources = yaml.safe_dump(datasources(settings, logs=args.logs))
    files: dict[str, pulumi.Input[str]] = {
        ADMIN_PASSWORD: admin_password,
        "datasources/dockyard.yaml": sources,
        "dashboards/dockyard.yaml": yaml.safe_dump(_dashboard_provider()),
    }
    # Grafana reloads dashboards continuously, data sources only at startup.
    at_start = pulumi.Output.from_input(sources)
    if settings.oauth:
        # Unset only in a preview that continues without secrets.
        client_secret = required_secret(settings.oauth.client_secret)
        files[CLIENT_SECRET] = client_secret
        at_start = pulumi.Output.concat(sources, client_secret)
    provisioned = context.files(
        f"{name}-provisioning",
        FileSet(
            files=files,
            packed={f"dashboards/json/{file}": text for file, text in args.dashboards.items()},
            owner=USER,
            image=args.context.image("busybox"),
        ),
        parent,
    )
    return context.service(
        name,
        ContainerSpec(
            role="grafana",
            image=args.context.image("grafana"),
            user=USER,
            env=environment(settings, args.root_url, logs=args.logs),
            limits=settings.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("grafana",)),),
            mounts=(
                Mount(data.name, "/var/lib/grafana", read_only=False),
                provisioned.mounted_at(PROVISIONING),
            ),
            tmpfs=("/tmp",),
            health=wget(PORT, "/api/health"),
            # Eight digits are too few to guess a secret from.
            content=pulumi.Output.unsecret(
                at_start.apply(lambda content: hashlib.sha256(content.encode()).hexdigest()[:8])
            )
            if settings.oauth
            else hashlib.sha256(sources.encode()).hexdigest()[:8],
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=provisioned.ready),
    )


def environment(settings: Grafana, root_url: str, *, logs: LogStore | None = None) -> dict[str, str]:
    """Return Grafana's environment variables. For secrets they contain the paths of files."""
    secure = root_url.startswith("https://")
    env = {
        **SHUT,
        **QUIET,
        **(WITH_PLUGIN if logs == "victorialogs" else {}),
        "GF_SECURITY_ADMIN_USER": settings.admin_user,
        "GF_SECURITY_ADMIN_PASSWORD__FILE": f"{PROVISIONING}/{ADMIN_PASSWORD}",
        "GF_SERVER_ROOT_URL": root_url,
        "GF_SECURITY_COOKIE_SECURE": str(secure).lower(),
        # The edge proxy sets this header anyway, but behind a tunnel only Grafana does; browsers heed it only over TLS.
        "GF_SECURITY_STRICT_TRANSPORT_SECURITY": str(secure).lower(),
    }
    if secure:
        env["GF_SECURITY_STRICT_TRANSPORT_SECURITY_MAX_AGE_SECONDS"] = str(HSTS_SECONDS)
    if not settings.password_login:
        env["GF_AUTH_DISABLE_LOGIN_FORM"] = "true"
    return env | (_oauth(settings.oauth) if settings.oauth else {})


def _oauth(oauth: OAuth) -> dict[str, str]:
    provider = PROVIDERS[oauth.provider]
    scopes = oauth.scopes or (["openid", "profile", "email"] if oauth.provider == "generic" else [])
    # As JSON: Grafana treats a value that it cannot parse as an empty list, which allows everybody.
    lists = {
        "scopes": scopes,
        "allowed_domains": oauth.allowed_domains,
        "allowed_organizations": oauth.allowed_organizations,
        "allowed_groups": oauth.allowed_groups,
        "team_ids": [str(team) for team in oauth.team_ids],
    }
    options = {
        "enabled": "true",
        "name": oauth.name,
        "client_id": oauth.client_id,
        "client_secret__FILE": f"{PROVISIONING}/{CLIENT_SECRET}",
        "auth_url": oauth.auth_url,
        "token_url": oauth.token_url,
        "api_url": oauth.api_url,
        **{key: json.dumps(values) for key, values in lists.items() if values},
        "groups_attribute_path": oauth.groups_attribute_path,
        "role_attribute_path": oauth.role_attribute_path,
        # Otherwise a role that an administrator assigned would be reset at the next log-in. Azure AD has its own roles.
        "skip_org_role_sync": str(oauth.role_attribute_path is None and oauth.provider != "azuread").lower(),
        "auto_login": str(oauth.auto_login).lower(),
        "allow_sign_up": str(oauth.allow_sign_up).lower(),
        "use_pkce": "true" if oauth.provider == "generic" else None,
    }
    prefix = f"GF_AUTH_{provider.section}_"
    return {f"{prefix}{key}".upper(): value for key, value in options.items() if value is not None}


def datasources(settings: Grafana, *, logs: LogStore | None) -> dict[str, object]:
    """Return the data sources in the format of Grafana's provisioning."""
    prometheus = {
        "name": "Prometheus",
        "uid": settings.datasource_uid,
        "type": "prometheus",
        "access": "proxy",
        "url": f"http://prometheus:{TOOLS['prometheus']}",
        "isDefault": True,
        "editable": False,
        # The Alertmanager that `Silence` on a rule's page in Grafana opens.
        "jsonData": {"alertmanagerUid": ALERTMANAGER_UID},
    }
    alertmanager = {
        "name": ALERTMANAGER,
        "uid": ALERTMANAGER_UID,
        "type": "alertmanager",
        "access": "proxy",
        "url": f"http://alertmanager:{TOOLS['alertmanager']}",
        "isDefault": False,
        "editable": False,
        "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    }
    lines = [logs_datasource(logs, settings.logs_datasource_uid(logs))] if logs else []
    return {"apiVersion": 1, "datasources": [prometheus, *lines, alertmanager]}


def _dashboard_provider() -> dict[str, object]:
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "dockyard",
                "folder": "Dockyard",
                "type": "file",
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": f"{PROVISIONING}/dashboards/json"},
            }
        ],
    }

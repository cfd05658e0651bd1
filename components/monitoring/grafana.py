"""Grafana: its settings, data sources and dashboards. MonitoringStack runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import pulumi
import yaml

from components.common import HSTS_SECONDS
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

DASHBOARD_PROVIDER = {
    **{"name": "dockyard", "folder": "Dockyard", "type": "file", "allowUiUpdates": False, "updateIntervalSeconds": 30},
    "options": {"path": f"{PROVISIONING}/dashboards/json"},
}

ALERTMANAGER = "Alertmanager"
"""Name of Alertmanager's data source, which links to Grafana's silence form must contain."""

LOGIN_REQUIRED = {
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

NO_OUTBOUND_CALLS = {
    # No unrequested calls to the outside.
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    # Avatars, fetched by a hash of the mail address; snapshots of dashboards, on Grafana's public server.
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
}

VICTORIALOGS_PLUGIN = "victoriametrics-logs-datasource"

VICTORIALOGS_ENV = {
    # Installed into the data volume before the first start, which needs access to grafana.com; later starts do not.
    "GF_PLUGINS_PREINSTALL_SYNC": f"{VICTORIALOGS_PLUGIN}@0.21.0",
    "GF_PLUGINS_PREINSTALL_DISABLED": "false",
    # Plugins that Grafana would install as well.
    "GF_PLUGINS_DISABLE_PLUGINS": "grafana-lokiexplore-app,grafana-exploretraces-app,grafana-pyroscope-app"
    ",grafana-metricsdrilldown-app",
}
"""For VictoriaLogs as log store: Grafana has no built-in data source for it."""


def run_grafana(
    name: str,
    context: StackContext,
    *,
    grafana: Grafana,
    dashboards: Mapping[str, str],
    root_url: str,
    logs: LogStore | None,
    admin_password: pulumi.Output[str],
    data: Volume,
    parent: pulumi.Resource,
) -> Instance:
    """Run Grafana with its data sources and dashboards; resources are named `<name>-…`.

    It has no route to the outside. It stores the administrator's password in its data at the first start; later changes
    of the secret have no effect.
    """
    sources = yaml.safe_dump(datasources(grafana, logs=logs))
    files: dict[str, pulumi.Input[str]] = {
        ADMIN_PASSWORD: admin_password,
        "datasources/dockyard.yaml": sources,
        "dashboards/dockyard.yaml": yaml.safe_dump({"apiVersion": 1, "providers": [DASHBOARD_PROVIDER]}),
    }
    # Grafana reloads dashboards continuously, data sources and the client secret only at startup.
    content: pulumi.Input[str] = _digest(sources)
    if grafana.oauth:
        client_secret = required_secret(grafana.oauth.client_secret)
        files[CLIENT_SECRET] = client_secret
        content = pulumi.Output.unsecret(client_secret.apply(lambda secret: _digest(sources + secret)))
    provisioned = context.files(
        f"{name}-provisioning",
        FileSet(
            files=files,
            packed={f"dashboards/json/{file}": text for file, text in dashboards.items()},
            owner=USER,
            image=context.image("busybox"),
        ),
        parent,
    )
    return context.service(
        name,
        ContainerSpec(
            role="grafana",
            image=context.image("grafana"),
            user=USER,
            env=environment(grafana, root_url, logs=logs),
            limits=grafana.limits,
            exclusive=True,
            networks=(Attachment(context.monitoring_network, ("grafana",)),),
            mounts=(Mount(data.name, "/var/lib/grafana", read_only=False), provisioned.mounted_at(PROVISIONING)),
            tmpfs=("/tmp",),
            health=wget(PORT, "/api/health"),
            content=content,
        ),
        pulumi.ResourceOptions(parent=parent, depends_on=provisioned.ready),
    )


def _digest(text: str) -> str:
    """Return a hash of eight digits, too few to guess a secret from."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def environment(settings: Grafana, root_url: str, *, logs: LogStore | None = None) -> dict[str, str]:
    """Return Grafana's environment variables. For secrets they contain the paths of files."""
    secure = root_url.startswith("https://")
    env = {
        **LOGIN_REQUIRED,
        **NO_OUTBOUND_CALLS,
        **(VICTORIALOGS_ENV if logs == "victorialogs" else {}),
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
    # The Alertmanager that `Silence` on a rule's page in Grafana opens.
    silences = {"alertmanagerUid": ALERTMANAGER_UID}
    sources = [_datasource("Prometheus", settings.datasource_uid, "prometheus", isDefault=True, jsonData=silences)]
    if logs:
        # The types of `maxLines` are the plugins'.
        more = {"type": VICTORIALOGS_PLUGIN, "jsonData": {"maxLines": "1000"}}
        name, options = ("Loki", {"jsonData": {"maxLines": 1000}}) if logs == "loki" else ("VictoriaLogs", more)
        sources.append(_datasource(name, settings.logs_datasource_uid(logs), logs, **options))
    own_alerts = {"implementation": "prometheus", "handleGrafanaManagedAlerts": False}
    sources.append(_datasource(ALERTMANAGER, ALERTMANAGER_UID, "alertmanager", jsonData=own_alerts))
    return {"apiVersion": 1, "datasources": sources}


def _datasource(name: str, uid: str, tool: str, **options: object) -> dict[str, object]:
    url = f"http://{tool}:{TOOLS[tool]}"
    common = {"type": tool, "access": "proxy", "url": url, "isDefault": False, "editable": False}
    return {"name": name, "uid": uid, **common, **options}

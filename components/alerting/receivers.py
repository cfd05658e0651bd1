"""Alertmanager's receivers: the integration of each kind, and the template of each field of its messages.

The templates are defined in components/alerting/templates/, with names of the form `dockyard.<type>.<field>`.
"""

from __future__ import annotations

from typing import Any

import yaml

from settings.alerts import Discord, Email, Ntfy, Opsgenie, PagerDuty, Receiver, Slack, Sms, Teams, Telegram, Webhook

FOLDER = "/etc/alertmanager"
LINKS = ("runbook", "dashboard", "silence")
"""The links in a message."""


def secret_file(secret: str) -> str:
    """Return the path of a secret's file in Alertmanager's container."""
    return f"{FOLDER}/secrets/{secret}"


def receiver_config(name: str, receiver: Receiver) -> dict[str, Any]:
    """Return one entry of `receivers`."""
    kind, config = _integration(receiver)
    return {"name": name, f"{kind}_configs": [{**config, "send_resolved": receiver.recoveries}]}


def _template(name: str) -> str:
    return f'{{{{ template "dockyard.{name}" . }}}}'


def _templates(kind: str, *fields: str) -> dict[str, str]:
    return {field: _template(f"{kind}.{field}") for field in fields}


def _links(kind: str, address: str, text: str) -> list[dict[str, str]]:
    """Return the links of a message; `address` and `text` are the keys that the receiver has for them."""
    return [{address: _template(f"{kind}.{link}"), text: _template(f"{kind}.{link}_label")} for link in LINKS]


def _as_yaml_text(value: str) -> str:
    """Return a value that stays text in a payload.

    Alertmanager parses payload values as YAML, and a phone number would become an integer. A leading tab prevents it,
    since no YAML begins with one.
    """
    try:
        return value if isinstance(yaml.safe_load(value), str) else f"\t{value}"
    except yaml.YAMLError:
        # Alertmanager cannot parse it either, and takes it as text.
        return value


def _integration(receiver: Receiver) -> tuple[str, dict[str, Any]]:  # noqa: PLR0911 - one for each kind
    """Return the name of Alertmanager's integration for a kind of receiver, and its configuration."""
    match receiver:
        case Discord():
            webhook = {"webhook_url_file": secret_file(receiver.webhook)}
            return "discord", webhook | _templates("discord", "title", "message")
        case Slack():
            channel = {"channel": receiver.channel} if receiver.channel else {}
            fields = _templates("slack", "title", "title_link", "text", "color", "fallback")
            return "slack", {"api_url_file": secret_file(receiver.webhook), **channel, **fields}
        case Email():
            return "email", _email(receiver)
        case Webhook():
            return "webhook", {"url_file": secret_file(receiver.url), **_bearer(receiver.token)}
        case Sms():
            payload = {name: _as_yaml_text(value) for name, value in receiver.fields.items()}
            payload[receiver.text_key] = _template("sms.text")
            return "webhook", {"url_file": secret_file(receiver.url), **_bearer(receiver.token), "payload": payload}
        case Ntfy():
            return "webhook", _ntfy(receiver)
        case PagerDuty():
            return "pagerduty", _pagerduty(receiver)
        case Opsgenie():
            regions = {"us": "https://api.opsgenie.com/", "eu": "https://api.eu.opsgenie.com/"}
            # Alertmanager appends `v2/alerts`.
            api_url = f"{(receiver.url or regions[receiver.region]).rstrip('/')}/"
            config = {"api_key_file": secret_file(receiver.api_key), "api_url": api_url}
            return "opsgenie", config | _templates("opsgenie", "message", "description", "priority")
        case Telegram():
            return "webhook", _telegram(receiver)
        case Teams():
            webhook = {"webhook_url_file": secret_file(receiver.webhook)}
            return "msteamsv2", webhook | _templates("teams", "title", "text")
    raise TypeError(f"unknown type of receiver: {type(receiver).__name__}")


def _bearer(token: str | None) -> dict[str, Any]:
    return {"http_config": {"authorization": {"credentials_file": secret_file(token)}}} if token else {}


def _email(receiver: Email) -> dict[str, Any]:
    config: dict[str, Any] = {
        "to": ", ".join(receiver.to),
        "from": receiver.sender,
        "smarthost": receiver.smarthost,
        # On port 465 Alertmanager uses implicit TLS; on any other port it requires STARTTLS.
        "require_tls": True,
        "headers": {"Subject": _template("email.subject")},
        **_templates("email", "html", "text"),
        # Firing and resolved messages of an alert, in one thread.
        "threading": {"enabled": True, "thread_by_date": "daily"},
    }
    if receiver.password:
        config |= {"auth_username": receiver.username, "auth_password_file": secret_file(receiver.password)}
    if receiver.ca:
        config["tls_config"] = {"ca_file": secret_file(receiver.ca)}
    return config


def _ntfy(receiver: Ntfy) -> dict[str, Any]:
    payload = {
        "topic": receiver.topic,
        **_templates("ntfy", "title", "message", "click", "priority"),
        "tags": [_template("ntfy.tag")],
        "actions": [{"action": "view", **link} for link in _links("ntfy", "url", "label")],
    }
    return {"url": receiver.server, **_bearer(receiver.token), "payload": payload}


def _pagerduty(receiver: PagerDuty) -> dict[str, Any]:
    return {
        "routing_key_file": secret_file(receiver.routing_key),
        "url": receiver.url,
        **_templates("pagerduty", "description", "severity", "client_url"),
        "client": "Dockyard",
        # By default every alert would be sent in full, and PagerDuty refuses a message with 10,000 of them.
        "details": {
            "alerts": _template("pagerduty.details"),
            "firing": "{{ len .Alerts.Firing }}",
            "resolved": "{{ len .Alerts.Resolved }}",
        },
        "links": _links("pagerduty", "href", "text"),
    }


def _telegram(receiver: Telegram) -> dict[str, Any]:
    """Return a webhook to Telegram's `sendMessage`.

    Alertmanager's own Telegram integration (0.33) logs the address with the bot's token whenever it gets no answer;
    the address of a webhook is never logged.
    """
    payload = {
        "chat_id": receiver.chat_id,
        **({"message_thread_id": receiver.thread} if receiver.thread else {}),
        # The tab keeps it text, see _as_yaml_text. Telegram strips white space off both ends.
        "text": f"\t{_template('telegram.message')}",
        "parse_mode": "HTML",
        "disable_web_page_preview": True,
    }
    return {"url_file": secret_file(receiver.bot_token), "payload": payload}


def bot_address(receiver: Telegram, token: str) -> str:
    """Return the content of a bot's secret file: the address that messages are posted to."""
    return f"{receiver.url.rstrip('/')}/bot{token.strip()}/sendMessage"

"""The dev stack with everything that has a secret, each of which is a canary: it is found wherever it leaks."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.certificates import self_signed
from tests.cloudflare_api import running_cloudflare
from tests.sink.server import Sink
from tests.support.canaries import Watch, canary
from tests.support.checkout import Finished
from tests.support.stack import Stack

HERE = {"environments": ["development"]}
BCRYPT_HASH = f"$2y$05${('CanaryEdgeUsers' * 4)[:53]}"  # a hash in the form of bcrypt; nobody logs in with it

RULES = {name: {"for": "15s"} for name in ("TumulteBackendDown", "RedisDown", "DiskSpaceLow")}
"""The alerts that the tests cause; `for` outlasts the few scrapes that a busy machine misses in a row."""


@dataclass
class FirstUp:
    stack: Stack
    began: float  # seconds since 1970
    finished: Finished
    watch: Watch = field(repr=False)  # the processes that ran meanwhile


@contextmanager
def tunnel_token(address: str) -> Iterator[str]:
    """Yield the token of a tunnel that a fake of Cloudflare at an address of this machine knows."""
    with running_cloudflare(address) as state:
        state.edge = True
        account = "/accounts/0123456789abcdef0123456789abcdef/cfd_tunnel"
        tunnel = state.answer("POST", account, {"name": "by-hand", "config_src": "cloudflare"})
        ingress = {"config": {"ingress": [{"service": "http_status:404"}]}}
        state.answer("PUT", f"{account}/{tunnel['id']}/configurations", ingress)
        yield state.answer("GET", f"{account}/{tunnel['id']}/token", None)


def make_secrets(sink: Sink, mail_authority: str, token: str, folder: Path) -> dict[str, str]:
    """Return every secret that the stack can have in development, by name; the sink checks some of them."""
    certificate, key = self_signed(folder, "localhost")
    assert sink.mail
    names = ("app-key", "postgres-password", "redis-password", "grafana-admin-password", "oauth-secret")
    secrets = {name: canary(name) for name in (*names, "remote-write-password", "hook-token", "ntfy-token")}
    secrets["discord-critical"] = sink.address("critical", "discord").replace("/token", f"/{canary('critical')}")
    secrets["discord-monitoring"] = sink.address("monitoring", "discord").replace("/token", f"/{canary('monitoring')}")
    secrets["slack-ops"] = sink.address("ops", "slack").replace("/XXXX", f"/{canary('slack')}")
    secrets["hook-url"] = sink.address("hook", "webhook") + f"/{canary('hook')}"
    secrets["teams-url"] = sink.address("teams", "teams") + f"/{canary('teams')}"
    secrets["telegram-bot"] = f"123456:{canary('bot')}"
    secrets |= {"smtp-password": sink.mail.password, "smtp-ca": mail_authority, "tunnel-token": token}
    secrets |= {"edge-users": f"somebody:{BCRYPT_HASH}", "tls-certificate": certificate, "tls-key": key}
    sink.tokens.update({"hook": secrets["hook-token"], "bell": secrets["ntfy-token"]})
    return secrets


def canaries_of(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return what to search for: of an address the part that is secret, of a key one of its lines."""
    canaries = {
        name: next(filter(lambda part: "Canary" in part, value.split("/")), value) for name, value in secrets.items()
    }
    canaries["tls-key"] = secrets["tls-key"].splitlines()[5]
    # What is shown to everybody who connects, and what every client may know, is no secret.
    del canaries["tls-certificate"], canaries["smtp-ca"]
    canaries["edge-users"] = BCRYPT_HASH.rpartition("$")[2]
    return canaries


def set_secrets(stack: Stack, secrets: Mapping[str, str]) -> None:
    """Set them by standard input, as a person does who keeps secrets off the command line."""
    for name, value in secrets.items():
        command = ["pulumi", "config", "set", "--secret", f"dockyard:{name}", "-s", stack.name]
        environment = stack.checkout.environment
        subprocess.run(command, cwd=stack.checkout.folder, env=environment, input=value, text=True, check=True)


def settings(sink: Sink) -> dict[str, Any]:
    """Return receivers of every kind, and everything else that has a secret, for the stack file."""
    assert sink.mail
    critical = {"severities": ["critical"], **HERE}
    host = {"smarthost": f"{sink.host}:{sink.mail.port}", "ca": "smtp-ca"}
    login = {"username": "dockyard", "password": "smtp-password"}
    mail = {"type": "email", "to": ["mail@example.org"], "from": "dockyard@example.org", **host, **login}
    bell = {"type": "ntfy", "server": sink.address("bell", "ntfy"), "topic": "alerts", "token": "ntfy-token"}
    chat = {"chat_id": -1001, "url": sink.address("telegram", "telegram")}
    telegram = {"type": "telegram", "bot_token": "telegram-bot", **chat}
    receivers = {
        "critical": {"type": "discord", "webhook": "discord-critical", **critical},
        "monitoring": {"type": "discord", "webhook": "discord-monitoring", "severities": ["warning"], **HERE},
        "alertes-critiques": {"type": "discord", "webhook": "discord-critical", "severities": ["critical"]},
        "ops": {"type": "slack", "webhook": "slack-ops", **HERE},
        "mail": {**mail, **critical},
        "hook": {"type": "webhook", "url": "hook-url", "token": "hook-token", **HERE},
        "teams": {"type": "teams", "webhook": "teams-url", **critical},
        "bell": {**bell, **critical},
        "telegram": {**telegram, **critical},
    }
    oauth = {"provider": "github", "client_id": "dockyard", "client_secret": "oauth-secret"}
    remote_write: dict[str, Any] = {"name": "nowhere", "url": f"http://{sink.host}:{sink.port}/nowhere/push"}
    remote_write["basic_auth"] = {"username": "dockyard", "password": "remote-write-password"}
    tls = {"certificate": "tls-certificate", "key": "tls-key"}
    tools = {"prometheus": {"host": "prometheus.localhost", "basic_auth": "edge-users"}}
    grafana = {"oauth": {**oauth, "allowed_organizations": ["example"]}}
    return {
        "dockyard:alerts": {"language": "en", "receivers": receivers},
        "dockyard:monitoring": {"thresholds": RULES, "grafana": grafana, "remote_write": [remote_write]},
        "dockyard:edge": {"tls": tls, "tools": tools},
        "dockyard:tunnel": {"token": "tunnel-token"},
    }

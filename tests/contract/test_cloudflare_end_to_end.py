"""The tunnel from the real engine to a fake of Cloudflare's API; an echo takes the Docker plugin's place."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machine.progress import Progress
from machine.workdir import WorkDir
from offline.standins.install import VERSIONS, install_standin
from ops.events import RunOutcome
from ops.pulumi_cli import PulumiCli
from tests.cloudflare_access import ONE_TIME_PIN
from tests.cloudflare_api import TOKEN, Cloudflare, running_cloudflare
from toolchain.pulumi_cli import ensure_pulumi

CHECKOUT = Path(__file__).resolve().parents[2]
GRAFANA = "monitoring.example.org"
TUNNEL = {"account_id": "a" * 32, "zone_id": "b" * 32, "name": "tumulte-monitoring-staging", "hostname": GRAFANA}
ACCESS = {
    "team": "shop",
    "emails": ["ops@example.org", "dev@example.org"],
    "email_domains": ["example.org"],
    "identity_providers": ["one-time-pin"],
    "service_tokens": ["uptime"],
    "session": "8h",
}
SERVICES = [
    {"hostname": "shop.example.org", "service": "web", "access": False},
    {"hostname": "shop.example.org", "service": "api", "path": "/api", "access": False},
    {"hostname": "admin.example.org", "service": "web"},
]
FULL = {**TUNNEL, "access": ACCESS, "services": SERVICES}


class Stack:
    def __init__(self, folder: Path, cloudflare: Cloudflare) -> None:
        tools = WorkDir(CHECKOUT)
        self.cloudflare = cloudflare
        self.folder = folder
        home, state = folder / "home", folder / "state"
        state.mkdir()
        home.mkdir()
        (home / "logs").touch()  # switches Pulumi's automatic debug log off, see tests/support/checkout.py
        (folder / "Pulumi.yaml").write_text("name: dockyard\nruntime: python\n")
        shutil.copy(CHECKOUT / "tests/contract/tunnel_program.py", folder / "__main__.py")
        install_standin("cloudflare", home / "plugins", Path(sys.executable), CHECKOUT)
        install_echo(home / "plugins")
        self.engine = PulumiCli(
            WorkDir(folder),
            "test",
            {
                **os.environ,
                "PATH": os.pathsep.join((str(tools.bin), str(Path(sys.executable).parent), os.environ["PATH"])),
                "PYTHONPATH": str(CHECKOUT),
                "PULUMI_HOME": str(home),
                "PULUMI_BACKEND_URL": f"file://{state}",
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                # Compiling Cloudflare's package takes longer than all else.
                "PYTHONDONTWRITEBYTECODE": "",
                "CLOUDFLARE_BASE_URL": cloudflare.url,
                "CLOUDFLARE_API_TOKEN": TOKEN,
            },
        )
        assert self.engine.show("stack init", []) == 0
        self.is_full = False  # whether the full tunnel is up, as far as is known here

    def says(self, **tunnel: Any) -> None:
        self.declared = tunnel
        (self.folder / "tunnel.json").write_text(json.dumps(tunnel))

    def up(self) -> RunOutcome:
        """Bring the stack up, refreshed first as `./dockyard up` does."""
        self.code, outcome = self.engine.change("up", ["--refresh"], Progress(quiet=True))
        self.is_full = self.code == 0 and self.declared == FULL
        return outcome

    def is_clean(self) -> bool:
        return self.engine.show("preview", ["--refresh", "--expect-no-changes"]) == 0

    def state(self) -> str:
        return (self.folder / "state/.pulumi/stacks/dockyard/test.json").read_text()


def install_echo(plugins: Path) -> None:
    """Put the echo where the engine looks for the Docker plugin."""
    folder = plugins / f"resource-docker-v{VERSIONS['docker']}"
    folder.mkdir(parents=True)
    program = folder / "pulumi-resource-docker"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m tests.contract.echo "$@"\n')
    program.chmod(0o755)


@pytest.fixture(scope="module")
def cloudflare() -> Iterator[Cloudflare]:
    with running_cloudflare() as fake:
        yield fake


@pytest.fixture(scope="module")
def shared(cloudflare: Cloudflare, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    ensure_pulumi(WorkDir(CHECKOUT), Progress(quiet=True))
    return Stack(tmp_path_factory.mktemp("tunnel"), cloudflare)


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """The full tunnel, up. A test may leave it otherwise."""
    shared.says(**FULL)
    if not shared.is_full:
        outcome = shared.up()
        assert shared.code == 0, outcome.errors
    return shared


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    """A stack that was never up, at a Cloudflare of its own."""
    ensure_pulumi(WorkDir(CHECKOUT), Progress(quiet=True))
    with running_cloudflare() as cloudflare:
        yield Stack(tmp_path, cloudflare)


def alive(cloudflare: Cloudflare) -> dict[str, Any]:
    [tunnel] = [tunnel for tunnel in cloudflare.tunnels.values() if not tunnel["deleted_at"]]
    return tunnel


def service_token(cloudflare: Cloudflare) -> tuple[str, str]:
    """Return the id and the secret of the one service token that is there."""
    [identity] = cloudflare.access.service_tokens
    return identity, cloudflare.access.secrets[identity]


def ingress(cloudflare: Cloudflare) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = cloudflare.configs[alive(cloudflare)["id"]]["config"]["ingress"]
    return rules


def application(cloudflare: Cloudflare, domain: str = GRAFANA) -> dict[str, Any]:
    return next(one for one in cloudflare.access.apps.values() if one["domain"] == domain)


def policy(cloudflare: Cloudflare, decision: str) -> dict[str, Any]:
    return next(one for one in cloudflare.access.policies.values() if one["decision"] == decision)


def check_full(cloudflare: Cloudflare) -> None:
    """Assert that Cloudflare has the tunnel, its names and its access as the full settings declare them."""
    tunnel = alive(cloudflare)
    assert (tunnel["name"], tunnel["config_src"]) == ("tumulte-monitoring-staging", "cloudflare")
    names = {one["name"]: (one["type"], one["content"], one["proxied"]) for one in cloudflare.records.values()}
    assert names == dict.fromkeys(
        (GRAFANA, "shop.example.org", "admin.example.org"), ("CNAME", f"{tunnel['id']}.cfargotunnel.com", True)
    )
    assert {one["domain"] for one in cloudflare.access.apps.values()} == {GRAFANA, "admin.example.org"}
    grafana = application(cloudflare)
    assert (grafana["session_duration"], grafana["allowed_idps"]) == ("8h", [ONE_TIME_PIN["id"]])
    rules = ingress(cloudflare)
    assert [(one.get("hostname"), one.get("path"), one["service"]) for one in rules] == [
        (GRAFANA, None, "http://grafana:3000"),
        ("admin.example.org", None, "http://web:3000"),
        ("shop.example.org", "^/api(/|$)", "http://api:3333"),
        ("shop.example.org", None, "http://web:3000"),
        (None, None, "http_status:404"),
    ]
    guards = {one.get("hostname"): one["originRequest"].get("access") for one in rules}
    assert guards[GRAFANA] == {"required": True, "teamName": "shop", "audTag": [grafana["aud"]]}
    assert guards["shop.example.org"] is None
    allowed = policy(cloudflare, "allow")["include"]
    assert {"email": {"email": "ops@example.org"}} in allowed
    assert {"email_domain": {"domain": "example.org"}} in allowed
    [token] = cloudflare.access.service_tokens
    assert policy(cloudflare, "non_identity")["include"] == [{"service_token": {"token_id": token}}]


def test_an_up_makes_the_tunnel_with_its_names_and_access(stack: Stack, cloudflare: Cloudflare) -> None:
    check_full(cloudflare)
    assert stack.up().summary() == "0 changes"
    tunnel = alive(cloudflare)
    tunnel.update(status="healthy", conns_active_at="2026-01-02T03:05:00Z", connections=[{"client_id": "c"}])
    assert stack.is_clean(), "a connector that comes is no change"
    tunnel.update(status="inactive", conns_active_at=None, connections=[])


def test_secrets_are_encrypted_in_the_state_and_can_be_read(stack: Stack, cloudflare: Cloudflare) -> None:
    identity, secret = service_token(cloudflare)
    client = cloudflare.access.service_tokens[identity]["client_id"]
    connector = cloudflare._token("GET", None, "a" * 32, alive(cloudflare)["id"])
    for hidden in (secret, client, connector):
        assert hidden not in stack.state()
    told = stack.engine.read("stack output", "--json", "--show-secrets")["secrets"]
    assert told == {"access-uptime-client-id": client, "access-uptime-client-secret": secret}
    assert "[secret]" in str(stack.engine.read("stack output", "--json"))


def test_changed_settings_are_changes_in_place(stack: Stack, cloudflare: Cloudflare) -> None:
    before = set(cloudflare.tunnels) | set(cloudflare.records) | set(cloudflare.access.apps)
    token = service_token(cloudflare)
    changed = {**ACCESS, "emails": ["ops@example.org"], "session": "12h"}
    stack.says(**{**FULL, "name": "renamed", "access": changed})
    outcome = stack.up()
    # The tunnel's name; the session of two policies and two applications, and their names, and the token's.
    assert dict(outcome.operations) == {"update": 6}, outcome.errors
    assert set(cloudflare.tunnels) | set(cloudflare.records) | set(cloudflare.access.apps) == before
    assert {"email": {"email": "dev@example.org"}} not in policy(cloudflare, "allow")["include"]
    assert policy(cloudflare, "non_identity")["session_duration"] == "12h"
    assert stack.is_clean()
    stack.says(**FULL)
    stack.up()
    # The token's secret is the one that was told when it was made.
    assert service_token(cloudflare) == token
    told = stack.engine.read("stack output", "--json", "--show-secrets")["secrets"]
    assert told["access-uptime-client-secret"] == token[1]


def test_access_can_be_taken_off_and_services_taken_away(stack: Stack, cloudflare: Cloudflare) -> None:
    stack.says(**TUNNEL)
    outcome = stack.up()
    assert stack.code == 0, outcome.errors
    assert not (cloudflare.access.apps or cloudflare.access.policies or cloudflare.access.service_tokens)
    assert {one["name"] for one in cloudflare.records.values()} == {GRAFANA}
    assert [one["service"] for one in ingress(cloudflare)] == ["http://grafana:3000", "http_status:404"]


def test_an_account_without_one_time_pins_is_told_how_to_get_them(
    stack: Stack, cloudflare: Cloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudflare.access, "identity_providers", [{"id": "g", "type": "google", "name": "Google"}])
    outcome = stack.up()
    assert stack.code
    assert "the account has no one-time PIN. Add it: Zero Trust" in " ".join(outcome.errors)
    # Beyond the first page of the answer, too.
    cloudflare.access.identity_providers = [{"id": str(n), "type": "saml"} for n in range(120)] + [ONE_TIME_PIN]
    assert stack.up().summary() == "0 changes"


@pytest.mark.parametrize(
    ("holder", "trouble", "message"),
    [
        ("missing", {"b" * 32}, "dns record t-dns-monitoring.example.org: Cloudflare does not know the zone bbbb"),
        (
            "records",
            {"r": {"name": GRAFANA, "type": "A"}},
            "dns record t-dns-monitoring.example.org: this name already has a DNS record",
        ),
        (
            "tunnels",
            {"t": {"name": TUNNEL["name"], "deleted_at": None}},
            "tunnel cloudflared t-tunnel: Cloudflare already has a tunnel of this name",
        ),
        ("token", "hunter2", "the API token is wrong or lacks a permission in the account aaaa"),
    ],
    ids=["a zone that is not there", "a name that is taken", "a tunnel's name that is taken", "a wrong token"],
)
def test_trouble_reaches_the_person_in_one_sentence(
    fresh: Stack, monkeypatch: pytest.MonkeyPatch, holder: str, trouble: Any, message: str
) -> None:
    fresh.says(**TUNNEL)
    if holder == "token":
        # A dict, though the engine declares what it only reads.
        monkeypatch.setitem(fresh.engine.env, "CLOUDFLARE_API_TOKEN", trouble)  # type: ignore[arg-type]  # it can be changed
    else:
        monkeypatch.setattr(fresh.cloudflare, holder, trouble)
    outcome = fresh.up()
    assert fresh.code
    [error] = outcome.errors
    assert message in error
    assert "\n" not in error
    assert "hunter2" not in error

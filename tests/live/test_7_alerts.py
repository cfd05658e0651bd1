"""Alerts reach people from the live stack: what a fault causes is told at the sink, and no secret shows on the way."""

import base64
import io
import itertools
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from settings.names import METRICS_FOLDER, METRICS_WRITER
from tests.certificates import self_signed, signed
from tests.cloudflare_api import running_cloudflare
from tests.live.canaries import Watch, canary, hits, now, of_docker, of_files
from tests.live.running import Running
from tests.sink.mail import MailServer
from tests.sink.server import running_sink

ROOT = Path(__file__).resolve().parents[2]
STACK = "dev"
HERE = {"environments": ["development"]}
DELIVERED_SECONDS = 120
"""Bar: from the stop of a backend to the message about it."""

CAUSED = {"TumulteBackendDown": "critical", "RedisDown": "critical", "DiskSpaceLow": "monitoring"}
"""Alert → the channel that is told of it."""

FULL_DISK = """\
# HELP node_filesystem_avail_bytes Filesystem space available to non-root users in bytes.
# TYPE node_filesystem_avail_bytes gauge
node_filesystem_avail_bytes{device="/dev/sdz1",device_error="",fstype="ext4",mountpoint="/srv/full"} 1e+09
# HELP node_filesystem_size_bytes Filesystem size in bytes.
# TYPE node_filesystem_size_bytes gauge
node_filesystem_size_bytes{device="/dev/sdz1",device_error="",fstype="ext4",mountpoint="/srv/full"} 1e+11
"""
"""A disk with one percent left, as the node exporter tells of it."""

IN_FULL = f"$2y$05${('CanaryEdgeUsers' * 4)[:53]}"
"""A hash in the form of bcrypt; nobody logs in with it."""


@pytest.fixture(scope="module")
def bridge(fresh_checkout) -> str:
    """The address of this machine that the engine's containers reach."""
    ready = fresh_checkout.dockyard("setup", STACK, limit=30 * 60)
    assert ready.code == 0, ready.output
    return fresh_checkout.docker().networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]


@pytest.fixture(scope="module")
def sink(bridge, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    signed(folder, bridge)
    mail = MailServer(folder / "certificate.pem", folder / "key.pem", "dockyard", canary("smtp"))
    with running_sink(bridge, mail=mail) as running:
        running.ca = (folder / "ca.pem").read_text()
        yield running


@pytest.fixture(scope="module")
def tunnel_token(bridge):
    """The token of a tunnel that a fake of Cloudflare knows."""
    with running_cloudflare(bridge) as state:
        state.edge = True
        account = "/accounts/0123456789abcdef0123456789abcdef/cfd_tunnel"
        made = state.answer("POST", account, {"name": "by-hand", "config_src": "cloudflare"})
        ingress = {"config": {"ingress": [{"service": "http_status:404"}]}}
        state.answer("PUT", f"{account}/{made['id']}/configurations", ingress)
        yield state.answer("GET", f"{account}/{made['id']}/token", None)


@pytest.fixture(scope="module")
def secrets(sink, tunnel_token, tmp_path_factory) -> dict[str, str]:
    """Every secret that the stack can have in development, by name."""
    folder = tmp_path_factory.mktemp("edge")
    certificate, key = self_signed(folder, "localhost")
    found = {
        name: canary(name)
        for name in (
            *("app-key", "postgres-password", "redis-password", "grafana-admin-password"),
            *("oauth-secret", "remote-write-password", "hook-token", "ntfy-token"),
        )
    }
    found["discord-critical"] = sink.address("critical", "discord").replace("/token", f"/{canary('critical')}")
    found["discord-monitoring"] = sink.address("monitoring", "discord").replace("/token", f"/{canary('monitoring')}")
    found["slack-ops"] = sink.address("ops", "slack").replace("/XXXX", f"/{canary('slack')}")
    found["hook-url"] = sink.address("hook", "webhook") + f"/{canary('hook')}"
    found["teams-url"] = sink.address("teams", "teams") + f"/{canary('teams')}"
    found["telegram-bot"] = f"123456:{canary('bot')}"
    found |= {"smtp-password": sink.mail.password, "smtp-ca": sink.ca, "tunnel-token": tunnel_token}
    found |= {"edge-users": f"somebody:{IN_FULL}", "tls-certificate": certificate, "tls-key": key}
    sink.tokens.update({"hook": found["hook-token"], "bell": found["ntfy-token"]})
    return found


@pytest.fixture(scope="module")
def canaries(secrets) -> dict[str, str]:
    """What is searched for: of addresses the part that is secret, of a key one of its lines."""
    found = {
        name: next(filter(lambda part: "Canary" in part, value.split("/")), value) for name, value in secrets.items()
    }
    found["tls-key"] = secrets["tls-key"].splitlines()[5]
    # What is shown to everybody who connects, and what every client may know, is no secret.
    del found["tls-certificate"], found["smtp-ca"]
    found["edge-users"] = IN_FULL.rpartition("$")[2]
    return found


def settings(sink, before: str) -> str:
    """Return the stack's file with receivers, and with everything else that has a secret."""
    said = yaml.safe_load(before)["config"]
    said["dockyard:alerts"] = {
        "language": "en",
        "receivers": {
            "critical": {"type": "discord", "webhook": "discord-critical", "severities": ["critical"], **HERE},
            "monitoring": {"type": "discord", "webhook": "discord-monitoring", "severities": ["warning"], **HERE},
            "alertes-critiques": {"type": "discord", "webhook": "discord-critical", "severities": ["critical"]},
            "ops": {"type": "slack", "webhook": "slack-ops", **HERE},
            "mail": {
                "type": "email",
                "to": ["mail@example.org"],
                "from": "dockyard@example.org",
                "smarthost": f"{sink.host}:{sink.mail.port}",
                "username": "dockyard",
                "password": "smtp-password",
                "ca": "smtp-ca",
                "severities": ["critical"],
                **HERE,
            },
            "hook": {"type": "webhook", "url": "hook-url", "token": "hook-token", **HERE},
            "teams": {"type": "teams", "webhook": "teams-url", "severities": ["critical"], **HERE},
            "bell": {
                "type": "ntfy",
                "server": sink.address("bell", "ntfy"),
                "topic": "alerts",
                "token": "ntfy-token",
                "severities": ["critical"],
                **HERE,
            },
            "telegram": {
                "type": "telegram",
                "bot_token": "telegram-bot",
                "chat_id": -1001,
                "url": sink.address("telegram", "telegram"),
                "severities": ["critical"],
                **HERE,
            },
        },
    }
    oauth = {"provider": "github", "client_id": "dockyard", "client_secret": "oauth-secret"}
    said["dockyard:monitoring"] |= {
        "thresholds": {"DiskSpaceLow": {"for": "15s"}},
        "grafana": {"oauth": {**oauth, "allowed_organizations": ["example"]}},
        "remote_write": [
            {
                "name": "nowhere",
                "url": f"http://{sink.host}:{sink.port}/nowhere/push",
                "basic_auth": {"username": "dockyard", "password": "remote-write-password"},
            }
        ],
    }
    said["dockyard:edge"] = {
        "tls": {"certificate": "tls-certificate", "key": "tls-key"},
        "tools": {"prometheus": {"host": "prometheus.localhost", "basic_auth": "edge-users"}},
    }
    said["dockyard:tunnel"] = {"token": "tunnel-token"}
    return yaml.safe_dump({"config": said}, sort_keys=False)


@pytest.fixture(scope="module")
def watched() -> Watch:
    """What processes showed while the stack came up."""
    return Watch()


@pytest.fixture(scope="module")
def told(fresh_checkout, sink, secrets, watched):
    """The dev stack with its receivers, and when it began to come up."""
    file = fresh_checkout.folder / f"Pulumi.{STACK}.yaml"
    before = file.read_text()
    # As it is in the repository: what an earlier test put into its own stays there until all of them have run.
    file.write_text(settings(sink, (ROOT / file.name).read_text()))
    for name, value in secrets.items():
        # By standard input, as a person who keeps secrets off the command line.
        command = ["pulumi", "config", "set", "--secret", f"dockyard:{name}", "-s", STACK]
        environment = fresh_checkout.environment
        subprocess.run(command, cwd=fresh_checkout.folder, env=environment, input=value, text=True, check=True)
    began = now()
    with watched.watching():
        up = fresh_checkout.dockyard("up", STACK, limit=30 * 60)
    yield began, Running(fresh_checkout, STACK, up)
    gone = fresh_checkout.dockyard("down", STACK, "--volumes", "--yes")
    file.write_text(before)
    assert gone.code == 0, gone.output


def test_it_comes_up_with_receivers_a_tunnel_and_a_guarded_edge(told):
    _, running = told
    assert running.up.code == 0, running.up.output
    assert {"cloudflared", "alertmanager", "traefik"} <= running.containers.keys()


def test_a_second_up_and_a_preview_with_refresh_change_nothing(told, fresh_checkout):
    _, running = told
    again = fresh_checkout.dockyard("up", STACK)
    assert "\n0 changes in" in again.output, again.output
    seen = running.preview()
    assert seen.code == 0, seen.output


def test_alert_test_reaches_every_receiver_and_says_so(told, fresh_checkout, sink):
    tested = fresh_checkout.dockyard("alert-test", STACK)
    assert tested.code == 0, tested.output
    names = ["critical", "monitoring", "ops", "mail", "hook", "teams", "bell", "telegram"]
    for name in names:
        assert f"✓ {name}: delivered" in tested.output
        (message, *_) = sink.wait(name, 1)
        assert "TEST" in message.text
    assert "alertes-critiques" not in tested.output, "not told in development"

    sink.mail.failing = "550 5.7.1 no such mailbox"
    failed = fresh_checkout.dockyard("alert-test", STACK, "mail")
    sink.mail.failing = ""
    assert failed.code == 1
    assert "✗ mail: failed" in failed.output
    assert "no such mailbox" in failed.output
    unknown = fresh_checkout.dockyard("alert-test", STACK, "pager")
    assert unknown.code == 1
    assert "it has: monitoring, critical, ops" in unknown.output


def test_amtool_is_at_hand(told, fresh_checkout):
    silence = ["silence", "add", "alertname=Nothing", "--duration=1h", "--comment=a test", "--author=me"]
    made = fresh_checkout.dockyard("amtool", STACK, *silence)
    assert made.code == 0, made.output
    shown = fresh_checkout.dockyard("amtool", STACK, "silence", "query")
    assert 'alertname="Nothing"' in shown.output and "a test" in shown.output
    wrong = fresh_checkout.dockyard("amtool", STACK, "silence", "expire", "not-an-id")
    assert wrong.code != 0


@pytest.fixture(scope="module")
def stopped(told, sink) -> dict[str, float]:
    """Seconds until the messages about a stopped backend, a dead Redis and a full disk came; all happen at once."""
    _, running = told
    containers = running.containers
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        about = tarfile.TarInfo("full.prom")
        about.size, about.mode = len(FULL_DISK), 0o644
        tar.addfile(about, io.BytesIO(FULL_DISK.encode()))
    began = time.monotonic()
    containers[METRICS_WRITER].put_archive(METRICS_FOLDER, archive.getvalue())
    containers["redis"].stop()
    containers["backend"].stop()
    found = {}
    for alert, channel in CAUSED.items():
        (message, *_) = sink.wait(channel, 180, has=lambda one, alert=alert: alert in one.text)
        found[alert] = message.at - began
    print({alert: f"{seconds:.0f} s" for alert, seconds in found.items()})  # noqa: T201 - figures worth seeing
    return found


def test_a_stopped_backend_is_told_within_two_minutes_with_what_a_person_needs(stopped, told, sink):
    _, running = told
    assert stopped["TumulteBackendDown"] <= DELIVERED_SECONDS
    grafana = running.urls["grafana"]
    for name in ("critical", "ops", "mail", "teams", "bell", "telegram"):
        (message, *_) = sink.wait(name, 20, has=lambda one: "TumulteBackendDown" in one.text)
        assert "The backend of tumulte (development) is down" in message.text.replace("\\", ""), name
        assert f"{grafana}/d/dockyard-runbooks" in message.text.replace("&amp;", "&"), name
        assert f"{grafana}/alerting/silence/new?alertmanager=" in message.text.replace("&amp;", "&"), name
    assert not any("TumulteBackendDown" in one.text for one in sink.told("monitoring"))


def test_a_full_disk_is_told_in_the_channel_of_warnings(stopped, sink):
    (message, *_) = [one for one in sink.told("monitoring") if "DiskSpaceLow" in one.text]
    assert "/srv/full" in message.text.replace("\\", "")
    assert "1%" in message.text.replace("\\", "")
    assert not any("DiskSpaceLow" in one.text for one in sink.told("critical"))


def test_a_dead_redis_is_told_in_the_channel_of_what_is_critical(stopped, sink):
    assert stopped["RedisDown"] <= DELIVERED_SECONDS
    (message, *_) = [one for one in sink.told("critical") if "RedisDown" in one.text]
    assert "Redis of tumulte (development) is down" in message.text.replace("\\", "")


def test_what_is_well_again_is_told_too(stopped, told, sink):
    _, running = told
    containers = running.containers
    containers["redis"].start()
    containers["backend"].start()

    def tells_the_end_of(alert):
        def has(message) -> bool:
            ended = {one["labels"]["alertname"] for one in message.body["alerts"] if one["status"] == "resolved"}
            return alert in ended

        return has

    for alert in ("RedisDown", "TumulteBackendDown"):
        sink.wait("hook", 180, has=tells_the_end_of(alert))
    assert not [one for one in sink.refused() if one.receiver != "nowhere"], sink.refused()


def test_no_secret_is_in_what_docker_shows_in_files_in_outputs_or_in_processes(
    told, stopped, canaries, watched, fresh_checkout, tmp_path_factory
):
    began, running = told
    folder = fresh_checkout.folder
    client = fresh_checkout.docker()
    root = client.info()["DockerRootDir"]
    # Where secrets are kept on purpose, for root alone: volumes, and layers of the containers that write them there.
    kept = tuple(f"{root}/{part}" for part in ("volumes", "overlay2", "vfs", "fuse-overlayfs", "containerd"))
    outputs = {
        "up": running.up.output,
        "preview": fresh_checkout.dockyard("preview", STACK).output,
        "status": fresh_checkout.dockyard("status", STACK).output,
        "stack output": fresh_checkout.pulumi("stack", "output", "-s", STACK, "--json").output,
        "stack export": fresh_checkout.pulumi("stack", "export", "-s", STACK).output,
        "configuration": running.get("alertmanager", "/api/v2/status").text,
        "flags": running.get("prometheus", "/api/v1/status/config").text,
    }
    processes = [(place, content) for place, content in watched.seen.items()]
    assert len(processes) > 100
    found, places = hits(
        itertools.chain(
            of_docker(client),
            of_files(folder, 0, skip=(str(folder / ".dockyard/venv"), str(folder / ".git"), *kept)),
            of_files(root, 0, skip=kept),
            *(
                of_files(tmp, began, skip=(str(folder), root, str(tmp_path_factory.getbasetemp())))
                for tmp in ("/tmp", "/var/tmp", "/run")
            ),
            ((f"output of {name}", text.encode()) for name, text in outputs.items()),
            processes,
        ),
        canaries,
    )
    hidden = ((name, base64.b64encode(f"{name}={value}".encode())) for name, value in canaries.items())
    assert len(hits(hidden, canaries)[0]) >= len(canaries), "what is there is found"
    print(f"{len(canaries)} secrets, {places} places, {len(processes)} of them processes")  # noqa: T201 - figures
    assert found == [], "\n".join(found)

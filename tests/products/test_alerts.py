"""Alerts reach people from a live stack: the sink gets a message about each fault, and no secret shows on the way."""

import base64
import itertools
import time
from collections.abc import Callable

import pytest
from docker.models.containers import Container

from settings.names import METRICS_FOLDER, METRICS_WRITER
from tests.products.everything import FirstUp, canaries_of
from tests.sink.server import Message, Sink
from tests.support.canaries import hits, of_docker, of_files
from tests.support.checkout import Finished
from tests.support.containers import archive
from tests.support.stack import Stack
from tests.support.waiting import wait_until

RECEIVERS = ("critical", "monitoring", "ops", "mail", "hook", "teams", "bell", "telegram")
CAUSED = {"TumulteBackendDown": "critical", "RedisDown": "critical", "DiskSpaceLow": "monitoring"}
"""Alert that the outage causes → the channel that gets the message."""

MESSAGE_SECONDS = 180
"""Limit of a wait for a message; two scrapes, `for`, an evaluation and the group's wait take some 25 s."""

FULL_DISK = """\
# HELP node_filesystem_avail_bytes Filesystem space available to non-root users in bytes.
# TYPE node_filesystem_avail_bytes gauge
node_filesystem_avail_bytes{device="/dev/sdz1",device_error="",fstype="ext4",mountpoint="/srv/full"} 1e+09
# HELP node_filesystem_size_bytes Filesystem size in bytes.
# TYPE node_filesystem_size_bytes gauge
node_filesystem_size_bytes{device="/dev/sdz1",device_error="",fstype="ext4",mountpoint="/srv/full"} 1e+11
"""
"""A disk with one percent left, as the node exporter shows it."""


@pytest.fixture(scope="module")
def alert_test(tumulte: Stack) -> Finished:
    return tumulte.checkout.dockyard("alert-test", tumulte.name)


@pytest.fixture(scope="module")
def outage(tumulte: Stack, sink: Sink) -> dict[str, Message]:
    """The first message about each alert, after backend and Redis stopped and a disk was full; all runs again."""
    containers = tumulte.containers
    began = time.monotonic()
    write_metrics(containers[METRICS_WRITER], FULL_DISK)
    containers["redis"].stop()
    containers["backend"].stop()
    try:
        return {
            alert: sink.wait(channel, MESSAGE_SECONDS, has=lambda m, alert=alert: alert in m.text and m.at >= began)[0]
            for alert, channel in CAUSED.items()
        }
    finally:
        containers["redis"].start()
        containers["backend"].start()
        write_metrics(containers[METRICS_WRITER], "")
        wait_until(lambda: not tumulte.unhealthy, "backend and Redis are healthy", 120)


def write_metrics(writer: Container, text: str) -> None:
    """Write a file of metrics for the node exporter, through the container that has its folder and need not run."""
    writer.put_archive(METRICS_FOLDER, archive("full.prom", text))


def plain(message: Message) -> str:
    """Return a message's text without the escapes of Markdown and HTML."""
    return message.text.replace("\\", "").replace("&amp;", "&")


def test_a_stack_with_every_secret_comes_up(first_up: FirstUp) -> None:
    assert {"cloudflared", "alertmanager", "traefik"} <= first_up.stack.containers.keys()
    assert first_up.stack.unhealthy == []


def test_a_second_up_changes_nothing(tumulte: Stack) -> None:
    again = tumulte.checkout.dockyard("up", tumulte.name)
    assert "\n0 changes in" in again.output, again.output


def test_alert_test_reaches_every_receiver_of_the_environment(alert_test: Finished, sink: Sink) -> None:
    assert alert_test.code == 0, alert_test.output
    for name in RECEIVERS:
        assert f"✓ {name}: delivered" in alert_test.output
        assert sink.wait(name, 5, has=lambda message: "TEST" in message.text)
    assert "alertes-critiques" not in alert_test.output, "it gets no messages in development"


def test_alert_test_reports_a_receiver_that_fails(tumulte: Stack, alert_test: Finished, sink: Sink) -> None:
    assert sink.mail
    sink.mail.failing = "550 5.7.1 no such mailbox"
    failed = tumulte.checkout.dockyard("alert-test", tumulte.name, "mail")
    sink.mail.failing = ""
    assert failed.code == 1
    assert "✗ mail: failed" in failed.output
    assert "no such mailbox" in failed.output


def test_amtool_adds_and_lists_a_silence(tumulte: Stack) -> None:
    silence = ["silence", "add", "alertname=Nothing", "--duration=1h", "--comment=a test", "--author=me"]
    tumulte.checkout.dockyard("amtool", tumulte.name, *silence).good()
    listed = tumulte.checkout.dockyard("amtool", tumulte.name, "silence", "query")
    assert 'alertname="Nothing"' in listed.output and "a test" in listed.output
    wrong = tumulte.checkout.dockyard("amtool", tumulte.name, "silence", "expire", "not-an-id")
    assert wrong.code != 0


@pytest.mark.parametrize("receiver", ["critical", "ops", "mail", "teams", "bell", "telegram"])
def test_a_stopped_backend_is_reported_with_what_a_person_needs(
    receiver: str, outage: dict[str, Message], tumulte: Stack, sink: Sink
) -> None:
    grafana = tumulte.urls["grafana"]
    (message, *_) = sink.wait(receiver, 30, has=lambda message: "TumulteBackendDown" in message.text)
    assert "The backend of tumulte (development) is down" in plain(message)
    assert f"{grafana}/d/dockyard-runbooks" in plain(message)
    assert f"{grafana}/alerting/silence/new?alertmanager=" in plain(message)


def test_a_full_disk_is_reported_in_the_channel_of_warnings(outage: dict[str, Message], sink: Sink) -> None:
    message = plain(outage["DiskSpaceLow"])
    assert "/srv/full" in message
    assert "1%" in message
    assert not any("DiskSpaceLow" in message.text for message in sink.told("critical"))


def test_a_dead_redis_is_reported_in_the_channel_of_critical_alerts(outage: dict[str, Message], sink: Sink) -> None:
    assert "Redis of tumulte (development) is down" in plain(outage["RedisDown"])
    for alert in ("RedisDown", "TumulteBackendDown"):
        assert not any(alert in message.text for message in sink.told("monitoring"))


@pytest.mark.parametrize("alert", ["RedisDown", "TumulteBackendDown", "DiskSpaceLow"])
def test_the_end_of_an_alert_is_reported_after_its_start(alert: str, outage: dict[str, Message], sink: Sink) -> None:
    def is_about(status: str) -> Callable[[Message], bool]:
        return lambda message: any(
            one["labels"]["alertname"] == alert and one["status"] == status for one in message.body["alerts"]
        )

    (start, *_) = sink.wait("hook", 30, has=is_about("firing"))
    (end, *_) = sink.wait("hook", MESSAGE_SECONDS, has=is_about("resolved"))
    assert start.at < end.at


def test_no_receiver_refuses_a_message(outage: dict[str, Message], alert_test: Finished, sink: Sink) -> None:
    assert [attempt for attempt in sink.refused() if attempt.receiver != "nowhere"] == []


def test_no_secret_is_in_what_docker_shows_in_files_in_outputs_or_in_processes(
    first_up: FirstUp, outage: dict[str, Message], alert_test: Finished, secrets: dict[str, str], tmp_path_factory
) -> None:
    stack, canaries = first_up.stack, canaries_of(secrets)
    checkout, folder = stack.checkout, stack.checkout.folder
    root = stack.client.info()["DockerRootDir"]
    # Where secrets are kept on purpose, for root alone: volumes, and layers of the containers that write them there.
    private = tuple(f"{root}/{part}" for part in ("volumes", "overlay2", "vfs", "fuse-overlayfs", "containerd"))
    own = (str(folder), root, str(tmp_path_factory.getbasetemp()))
    outputs = {
        "up": first_up.finished.output,
        "alert-test": alert_test.output,
        "preview": checkout.dockyard("preview", stack.name).output,
        "status": checkout.dockyard("status", stack.name).output,
        "stack output": checkout.pulumi("stack", "output", "-s", stack.name, "--json").output,
        "stack export": checkout.pulumi("stack", "export", "-s", stack.name).output,
        "configuration": stack.get("alertmanager", "/api/v2/status").text,
        "flags": stack.get("prometheus", "/api/v1/status/config").text,
    }
    processes = list(first_up.watch.seen.items())
    assert len(processes) > 100
    leaks, places = hits(
        itertools.chain(
            of_docker(stack.client),
            of_files(folder, 0, skip=(str(folder / ".dockyard/venv"), str(folder / ".git"), *private)),
            of_files(root, 0, skip=private),
            *(of_files(tmp, first_up.began, skip=own) for tmp in ("/tmp", "/var/tmp", "/run")),
            ((f"output of {name}", text.encode()) for name, text in outputs.items()),
            processes,
        ),
        canaries,
    )
    planted = ((name, base64.b64encode(f"{name}={value}".encode())) for name, value in canaries.items())
    assert len(hits(planted, canaries)[0]) >= len(canaries), "the search finds every canary where there is one"
    print(f"{len(canaries)} secrets, {places} places, {len(processes)} of them processes")  # noqa: T201 - figures
    assert leaks == [], "\n".join(leaks)

"""Three Alertmanagers that are told the same: people hear of it once, and one of them may go."""

import time

import pytest

from components.alerting.alertmanager import GOSSIP_PORT, gossip
from components.common import replica_roles
from settings.alerts import Alerts
from tests.sink.server import running_sink
from tests.support.alertmanager import FAST, Alertmanager, firing
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PEER_WAIT = 2  # seconds that each waits for the one before it; 15 by default

TOO_LATE = 3 * PEER_WAIT  # seconds after which each of them has had its turn: absence has no event to wait for


@pytest.fixture(scope="module")
def sink():
    with running_sink() as running:
        yield running


@pytest.fixture(scope="module")
def three(sink, tmp_path_factory):
    """Three that know each other. Each test has a group of alerts of its own, and leaves all of them running."""
    roles = replica_roles("alertmanager", 3)
    alerts = Alerts.model_validate(
        {**FAST, "receivers": {"chat": {"type": "discord", "webhook": "chat-url"}}, "replicas": 3}
    )
    ports = {role: free_port() for role in roles}
    started = []
    for role in roles:
        # As the component has it, but for names and addresses: here all of them are this machine.
        flags = " ".join(gossip(role, roles)).replace(f"0.0.0.0:{GOSSIP_PORT}", f"127.0.0.1:{ports[role]}")
        for other, port in ports.items():
            flags = flags.replace(f"peer={other}:{GOSSIP_PORT}", f"peer=127.0.0.1:{port}")
        own = [f"--cluster.advertise-address=127.0.0.1:{ports[role]}", f"--cluster.peer-timeout={PEER_WAIT}s"]
        # They have settled once ten of these intervals, several times, have brought nothing new.
        cluster = (*flags.split(), *own, "--cluster.gossip-interval=50ms")
        secrets = {"chat-url": sink.address("chat", "discord")}
        started.append(Alertmanager(tmp_path_factory.mktemp(role), alerts, secrets, cluster=cluster))
        started[-1].start()
    wait_until(lambda: all(map(_has_settled, started)), "the three know each other", details=lambda: started[0].log)
    yield started
    for running in started:
        running.kill()


def _has_settled(running):
    cluster = running.get("status")["cluster"]
    return cluster["status"] == "ready" and len(cluster["peers"]) == 3


def post(three, name):
    for running in three:
        running.post([firing(name, scope=name.lower())])


def told(sink, name):
    return [message for message in sink.told("chat") if name in message.text]


def test_an_alert_that_all_have_is_told_once(sink, three):
    post(three, "Shared")
    sink.wait("chat", has=lambda message: "Shared" in message.text)
    time.sleep(TOO_LATE)
    assert len(told(sink, "Shared")) == 1
    assert [len(running.get("alerts", filter="alertname=Shared")) for running in three] == [1, 1, 1]


def _silenced(running, name):
    return [silence for silence in running.get("silences") if silence["matchers"][0]["value"] == name]


def test_one_that_is_killed_before_it_tells_loses_nothing(sink, three):
    first, *rest = three
    post(three, "Early")
    sink.wait("chat", has=lambda message: "Early" in message.text)
    for running in rest:
        running.wait_for_rounds(1)
    post(three, "Late")
    first.kill()
    sink.wait("chat", has=lambda message: "Late" in message.text)
    rest[0].silence({"alertname": "MadeMeanwhile"})
    first.start()
    wait_until(lambda: _silenced(first, "MadeMeanwhile"), "it learns what was made while it was away")
    wait_until(lambda: all(map(_has_settled, three)), "the three know each other again")
    post(three, "Late")
    post(three, "Early")
    time.sleep(TOO_LATE)
    assert (len(told(sink, "Early")), len(told(sink, "Late"))) == (1, 1), "each once"

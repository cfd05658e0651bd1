"""Three Alertmanagers that are told the same: people hear of it once, and one of them may go."""

import time

import pytest

from components.alert_routing import GOSSIP_PORT, gossip, peers
from settings.alerts import Alerts
from tests.alerts.conftest import FAST
from tests.support.alertmanager import Alertmanager, firing, free_port

PEER_WAIT = 3
"""Seconds that each waits for the one before it; 15 by default."""

SETTLING = 60


@pytest.fixture
def three(sink, tmp_path):
    roles = peers(3)
    alerts = Alerts.model_validate(
        {**FAST, "receivers": {"chat": {"type": "discord", "webhook": "chat-url"}}, "replicas": 3}
    )
    secrets = {"chat-url": sink.address("chat", "discord")}
    ports = {role: free_port() for role in roles}
    found = []
    for role in roles:
        # As the component has it, but for names and addresses: here all of them are this machine.
        said = " ".join(gossip(role, roles)).replace(f"0.0.0.0:{GOSSIP_PORT}", f"127.0.0.1:{ports[role]}")
        for other, port in ports.items():
            said = said.replace(f"peer={other}:{GOSSIP_PORT}", f"peer=127.0.0.1:{port}")
        own = f"--cluster.advertise-address=127.0.0.1:{ports[role]} --cluster.peer-timeout={PEER_WAIT}s"
        one = Alertmanager(tmp_path / role, alerts, secrets, cluster=(*said.split(), *own.split()))
        one.start()
        found.append(one)
    until = time.monotonic() + SETTLING
    while any(one.get("status")["cluster"]["status"] != "ready" or len(members(one)) < 3 for one in found):
        assert time.monotonic() < until, found[0].log
        time.sleep(0.2)
    yield found
    for one in found:
        one.kill()


def members(running):
    return running.get("status")["cluster"]["peers"]


def post(running, *alerts):
    for one in running:
        one.post(alerts)


def test_all_are_told_and_people_once(sink, three):
    post(three, firing("RedisDown", scope="store"))
    sink.wait("chat", 10)
    time.sleep(3 * PEER_WAIT + 2)
    assert len(sink.told("chat")) == 1
    assert [len(one.get("alerts")) for one in three] == [1, 1, 1]


def test_a_silence_made_at_one_holds_at_all(sink, three):
    three[1].silence({"alertname": "RedisDown"})
    until = time.monotonic() + 10
    while not all(one.get("silences") for one in three):
        assert time.monotonic() < until
        time.sleep(0.1)
    post(three, firing("RedisDown", scope="store"), firing("PostgresDown", scope="database"))
    (message,) = sink.wait("chat", 10)
    time.sleep(3 * PEER_WAIT)
    assert [message.text for message in sink.told("chat")] == [message.text]
    assert "RedisDown" not in message.text


def test_one_that_is_killed_before_it_tells_loses_nothing(sink, three):
    post(three, firing("PostgresDown", scope="database"))
    sink.wait("chat", 10)
    time.sleep(1)
    first = three[0]
    rest = three[1:]
    post(three, firing("RedisDown", scope="store"))
    first.kill()
    (message,) = sink.wait("chat", 15, has=lambda one: "RedisDown" in one.text)
    time.sleep(3 * PEER_WAIT)
    assert len(sink.told("chat")) == 2, "each once: what the dead one told is known to the others"
    assert message.text
    rest[0].silence({"alertname": "BackupFailed"})
    first.start()
    until = time.monotonic() + 30
    while not first.get("silences"):
        assert time.monotonic() < until, "it learns what was made while it was away"
        time.sleep(0.2)
    post(three, firing("RedisDown", scope="store"))
    time.sleep(3 * PEER_WAIT)
    assert len(sink.told("chat")) == 2

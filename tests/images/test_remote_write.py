"""Prometheus as MonitoringStack runs it sends on to a second one, which is killed for a while: nothing is lost."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import docker
import pytest
from docker.models.containers import Container

from components.monitoring.stack import MonitoringStack
from settings.monitoring import Monitoring
from tests.support.component_stage import NO_CONTENT, ComponentStage
from tests.support.containers import succeeded, wait_in
from tests.support.recording import RecordedProgram, record
from tests.support.waiting import wait_until

PASSWORD = "p w\"$'x"
HASH = "$2b$04$A87a6okahDfdbk50V986fO0dMyyb8BsUx0VLep7NMQlHcEyOk4zMy"  # bcrypt of it

Samples = Mapping[str, list[tuple[float, str]]]  # series, as its labels in JSON → moments and values


@dataclass
class Pair(ComponentStage):
    """The sender, which scrapes itself every second, and the receiver, which lets in those with the password alone."""

    sender: Container = field(init=False)
    receiver: Container = field(init=False)

    def world(self) -> RecordedProgram:
        said = {
            "prometheus": {"scrape_interval": "1s"},
            "remote_write": [
                {
                    "name": "archive",
                    "url": "http://archive:9090/api/v1/write",
                    "basic_auth": {"username": "shop", "password": "archive-password"},
                    "drop": ["prometheus_http_.+"],
                }
            ],
        }

        def program() -> None:
            MonitoringStack("m", self.context(), monitoring=Monitoring.model_validate(said), **NO_CONTENT)

        return record(program, stack=self.mark, secrets={"archive-password": PASSWORD})

    def up(self) -> None:
        self.make_network()
        api = self.engine.api
        created = api.create_container(
            self.images["prometheus"],
            entrypoint=["sh", "-c"],
            command=[
                f"printf 'basic_auth_users: {{shop: {HASH}}}\\n' > /tmp/web.yml && echo 'global: {{}}' > /tmp/p.yml &&"
                " exec prometheus --config.file=/tmp/p.yml --storage.tsdb.path=/prometheus"
                " --web.enable-remote-write-receiver --web.config.file=/tmp/web.yml"
            ],
            labels=self.labels,
            host_config=api.create_host_config(
                network_mode=self.mark, mounts=[docker.types.Mount("/prometheus", f"{self.mark}-archive", "volume")]
            ),
            networking_config=api.create_networking_config(
                {self.mark: api.create_endpoint_config(aliases=["archive"])}
            ),
        )
        self.receiver = self.engine.containers.get(created["Id"])
        self.receiver.start()
        world = self.world()
        succeeded(self.job(world["m-prometheus-config-writer"]))
        self.sender = self.make(world["m-prometheus"])
        self.sender.start()
        for container in (self.receiver, self.sender):
            wait_in(container, lambda one=container: self.answers(one), "Prometheus is ready")

    def answers(self, container: Container) -> bool:
        return container.exec_run(self._get(container, "/-/ready"))[0] == 0

    def _get(self, container: Container, path: str) -> list[str]:
        # busybox' wget takes a password in the address alone, where some of its signs mean something else.
        given = ["--header", f"Authorization: Basic {_basic('shop', PASSWORD)}"] if container == self.receiver else []
        return ["wget", "-q", "-T", "20", *given, "-O", "-", f"http://127.0.0.1:9090{path}"]

    def ask(self, container: Container, query: str, moment: float | None = None) -> list[dict]:
        at = {"time": f"{moment:.3f}"} if moment else {}
        command = self._get(container, f"/api/v1/query?{urlencode({'query': query, **at})}")
        for _ in range(5):
            code, said = container.exec_run(command)
            assert code == 0, f"{said.decode()}\n{container.logs(tail=20).decode()}"
            try:
                return json.loads(said)["data"]["result"]
            except json.JSONDecodeError:
                # A busy engine loses what a program said that is gone already.
                time.sleep(0.2)
        raise AssertionError(f"half an answer, five times: {said[-200:]!r}")

    def samples(self, container: Container, selector: str, until: float, seconds: int) -> Samples:
        """Return every sample of some series up to a moment."""
        found = self.ask(container, f"{selector}[{seconds}s]", until)
        return {
            json.dumps(one["metric"], sort_keys=True): [(moment, value) for moment, value in one["values"]]
            for one in found
        }

    def value(self, query: str) -> float:
        """Return the sum of what the sender says of itself, 0 where there is nothing."""
        found = self.ask(self.sender, f"sum({query})")
        return float(found[0]["value"][1]) if found else 0.0


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def pair(engine: docker.DockerClient, kit: Mapping[str, str]) -> Iterator[Pair]:
    with Pair(engine, kit) as made:
        made.up()
        wait_until(
            lambda: made.ask(made.receiver, 'up{job="prometheus"}'),
            "the receiver has samples",
            details=lambda: made.sender.logs(tail=30).decode(),
        )
        yield made


@pytest.mark.parametrize("outage", [20, pytest.param(120, marks=pytest.mark.soak)])
def test_a_receiver_that_is_killed_misses_not_one_sample(pair: Pair, outage: int):
    """`outage` is in samples of a series, which is scraped every second."""
    steady = 'up{job="prometheus"}'
    began = time.time()

    pair.receiver.kill()
    killed = time.time()

    def scraped() -> int:
        series = pair.samples(pair.sender, steady, time.time(), int(time.time() - began) + 1).values()
        return len([moment for samples in series for moment, _ in samples if moment > killed])

    wait_until(lambda: scraped() >= outage, "the sender has scraped through the outage", 2 * outage + 30)
    assert pair.value("prometheus_remote_storage_samples_retried_total") > 0, "the sender did not notice"
    pair.receiver.start()
    wait_in(pair.receiver, lambda: pair.answers(pair.receiver), "the receiver is ready")
    back = until = time.time()
    window = int(until - began) + 5
    wait_until(
        lambda: pair.samples(pair.receiver, steady, until, window) == pair.samples(pair.sender, steady, until, window),
        "the receiver has every sample",
        120,
        details=lambda: f"{pair.value('prometheus_remote_storage_samples_pending')} wait to be sent",
    )
    everything = '{__name__=~".+", __name__!~"prometheus_http_.+"}'
    sent = pair.samples(pair.sender, everything, until, window)
    received = pair.samples(pair.receiver, everything, until, window)
    (own,) = [
        samples
        for series, samples in sent.items()
        if json.loads(series).get("job") == "prometheus" and json.loads(series)["__name__"] == "up"
    ]
    assert len([moment for moment, _ in own if killed < moment < back]) >= outage
    assert sum(map(len, sent.values())) > 400 * outage
    lost = {
        series: len(samples) - len(received.get(series, []))
        for series, samples in sent.items()
        if received.get(series) != samples
    }
    assert lost == {}
    assert received.keys() == sent.keys()
    for kind in ("failed", "dropped"):
        assert pair.value(f'prometheus_remote_storage_samples_{kind}_total{{reason!="dropped_series"}}') == 0


def test_what_is_dropped_by_name_stays_at_home(pair: Pair):
    assert pair.ask(pair.sender, "count(prometheus_http_requests_total)")
    assert pair.ask(pair.receiver, "count(prometheus_http_requests_total)") == []


def test_series_bear_their_product_and_environment_there_too(pair: Pair):
    (found,) = pair.ask(pair.receiver, 'up{job="prometheus"}')
    assert (found["metric"]["product"], found["metric"]["environment"]) == ("shop", "development")


def test_the_password_stands_in_no_configuration_that_can_be_asked_for(pair: Pair):
    said = succeeded(pair.sender.exec_run(["wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/status/config"]))
    assert "password_file: /etc/prometheus/secrets/archive-password" in json.loads(said)["data"]["yaml"]
    code, said = pair.sender.exec_run(["stat", "-c", "%a %u", "/etc/prometheus/secrets/archive-password"])
    assert (code, said.decode().split()) == (0, ["400", "65534"])

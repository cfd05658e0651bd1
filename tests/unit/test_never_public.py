"""Prometheus, Alertmanager, Loki, exporters, the collector, data stores: never public, in any shipped stack."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.support.recording import RecordedProgram
from tests.support.shipped import STACKS, TOOL_PEOPLE, record_stack, recorded_stack, shipped_settings
from tests.unit.exposure import EVERYWHERE, INSIDE, Reach, reaches


def own(stack: str) -> set[str]:
    """Return the roles that may be public without another guard: the product's services, and Grafana."""
    services = shipped_settings(stack).product.services
    replicas = {f"{name}-{number}" for name, one in services.items() for number in range(2, one.replicas + 1)}
    return {"grafana", *services, *replicas}


def offences(world: RecordedProgram, allowed: set[str]) -> list[Reach]:
    """Return every way from outside to what nobody should reach without a log-in."""
    return [reach for reach in reaches(world) if reach.target not in allowed and not reach.guarded]


@pytest.mark.parametrize("stack", STACKS)
def test_in_no_shipped_stack_does_anything_lead_to_what_has_no_log_in(stack: str):
    world = recorded_stack(stack)
    assert offences(world, own(stack)) == []
    # All of them are there to be found.
    roles = {one.label("dockyard.service") for one in world.containers}
    assert {"prometheus", "alertmanager", "grafana", "cadvisor", "node-exporter", "traefik"} <= roles


@pytest.mark.parametrize(
    ("stack", "seen"),
    [
        ("staging", {"grafana"}),
        ("production", {"grafana"}),
        ("dating-app", {"webapp"}),
        ("dev", set()),
        ("love-parser", set()),
    ],
)
def test_what_is_meant_to_be_public_is_seen_to_be(stack: str, seen: set[str]):
    assert {reach.target for reach in reaches(recorded_stack(stack))} == seen


TOOLS = {
    "prometheus": {"host": "prom.shop.example", "basic_auth": TOOL_PEOPLE},
    "alertmanager": {"host": "alerts.shop.example", "forward_auth": "http://backend:3333/may"},
    "grafana": {"host": "grafana.shop.example"},
}


@pytest.fixture(scope="module")
def guarded() -> RecordedProgram:
    """Tumulte's dev stack with tools that have host names, on every address of the host."""
    return record_stack("dev", {"edge": {"address": EVERYWHERE, "tools": TOOLS}})


def test_a_tool_behind_a_log_in_is_public_on_purpose(guarded: RecordedProgram):
    found = reaches(guarded)
    assert {reach.target for reach in found} == {"prometheus", "alertmanager", "grafana"}
    assert {reach.target for reach in found if reach.guarded} == {"prometheus", "alertmanager"}
    assert {reach.way.split(",")[0] for reach in found} == {f"port {EVERYWHERE}:443", "route at websecure"}
    assert offences(guarded, own("dev")) == []


Change = Callable[[dict[str, Any]], None]


def changed(world: RecordedProgram, name: str, change: Change) -> RecordedProgram:
    inputs = copy.deepcopy(dict(world[name].inputs))
    change(inputs)
    return RecordedProgram([replace(one, inputs=inputs) if one.name == name else one for one in world.resources])


def publishing(address: str | None) -> Change:
    def change(inputs: dict[str, Any]) -> None:
        for port in inputs["ports"]:
            port["ip"] = address

    return change


def publishing_too(port: int) -> Change:
    binding = {"internal": port, "external": port, "ip": EVERYWHERE}
    return lambda inputs: inputs.update(ports=[*inputs.get("ports", ()), binding])


def in_file(change: Change) -> Change:
    def whole(inputs: dict[str, Any]) -> None:
        (upload,) = inputs["uploads"]
        document = yaml.load(upload["content"], yaml.CSafeLoader)
        change(document["http"])
        upload["content"] = yaml.safe_dump(document)

    return whole


class TestItFindsWhatShouldNotBe:
    """Each of these is what the tests above must not let pass."""

    @staticmethod
    def found(world: RecordedProgram, stack: str = "dev") -> set[str]:
        return {reach.target for reach in offences(world, own(stack))}

    @pytest.mark.parametrize("address", [EVERYWHERE, "192.0.2.7", "::", None])
    def test_a_published_port_that_others_can_ask(self, address):
        world = changed(recorded_stack("dev"), "tumulte-edge-traefik", publishing(address))
        assert self.found(world) == {"prometheus", "alertmanager"}
        assert self.found(changed(world, "tumulte-edge-traefik", publishing("127.0.0.1"))) == set()

    def test_a_store_that_is_published_to_others_through_the_edge(self):
        world = record_stack("dev", {"publish": {"postgres": 15000, "redis": 16000}})
        assert self.found(world) == set()
        assert {"postgres", "redis"} <= self.found(changed(world, "tumulte-edge-traefik", publishing(EVERYWHERE)))

    @pytest.mark.parametrize(
        ("name", "port", "target"),
        [
            ("tumulte-monitoring-prometheus", 9090, "prometheus"),
            ("tumulte-exporters-node-exporter", 9100, "node-exporter"),
            ("tumulte-app-postgres", 5432, "postgres"),
            ("love-parser-logs-collector", 8888, "collector"),
            # The edge's own metrics.
            ("tumulte-edge-traefik", 9180, INSIDE),
        ],
    )
    def test_a_container_that_publishes_a_port_itself(self, name, port, target):
        stack = "love-parser" if name.startswith("love-parser") else "dev"
        assert self.found(changed(recorded_stack(stack), name, publishing_too(port)), stack) == {target}

    def test_a_container_on_the_hosts_own_network(self):
        world = changed(recorded_stack("dev"), "tumulte-app-redis", lambda inputs: inputs.update(networkMode="host"))
        assert self.found(world) == {"redis"}

    def test_a_route_that_has_lost_its_guard_and_a_guard_that_asks_nothing(self, guarded):
        def open_(http: dict[str, Any]) -> None:
            http["routers"]["prometheus_route_0"]["middlewares"] = ["hsts", "retry"]

        def hollow(http: dict[str, Any]) -> None:
            http["middlewares"]["prometheus_basic"] = {"headers": {"stsSeconds": 1}}
            del http["middlewares"]["alertmanager_forward"]

        for change, targets in ((open_, {"prometheus"}), (hollow, {"prometheus", "alertmanager"})):
            assert self.found(changed(guarded, "tumulte-edge-writer", in_file(change))) == targets

    @pytest.mark.parametrize("server", ["http://loki:3100", "http://love-parser-logs-loki-0a1b2c3:3100"])
    def test_a_route_to_it_by_whatever_name(self, server):
        def lead(http: dict[str, Any]) -> None:
            http["services"]["grafana"]["loadBalancer"]["servers"] = [{"url": server}]

        world = changed(recorded_stack("love-parser"), "love-parser-edge-writer", in_file(lead))
        world = changed(world, "love-parser-edge-traefik", publishing(EVERYWHERE))
        assert "loki" in self.found(world, "love-parser")

    @pytest.mark.parametrize(
        ("service", "target"),
        [
            ("http://prometheus:9090", "prometheus"),
            ("http://tumulte-monitoring-prometheus-0a1b2c3:9090", "prometheus"),
            ("tcp://postgres:5432", "postgres"),
            ("http://192.0.2.7:9090", "http://192.0.2.7:9090"),
            ("http://edge:9180", INSIDE),
        ],
    )
    def test_a_rule_of_the_tunnel(self, service, target):
        def lead(inputs: dict[str, Any]) -> None:
            inputs["config"]["ingresses"].insert(0, {"hostname": "x.example", "service": service})

        world = changed(recorded_stack("staging"), "tumulte-tunnel-ingress", lead)
        assert self.found(world, "staging") == {target}

    @pytest.mark.parametrize(
        ("required", "tags", "targets"),
        [(True, ["a1"], set()), (False, ["a1"], {"prometheus"}), (True, [], {"prometheus"})],
    )
    def test_a_rule_behind_access_that_the_connector_does_not_ask_for(self, required, tags, targets):
        access = {"required": required, "teamName": "shop", "audTags": tags}
        rule = {"hostname": "x.example", "service": "http://prometheus:9090", "originRequest": {"access": access}}
        ingress = "tumulte-tunnel-ingress"
        world = changed(
            recorded_stack("staging"), ingress, lambda inputs: inputs["config"]["ingresses"].insert(0, rule)
        )
        assert self.found(world, "staging") == targets

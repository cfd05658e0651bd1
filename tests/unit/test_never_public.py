"""Prometheus, Alertmanager, Loki, exporters, the collector, data stores: never public, in any shipped stack."""

from __future__ import annotations

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


def changed(world: RecordedProgram, name: str, change: Callable[[dict[str, Any]], None]) -> RecordedProgram:
    """Return the world with one resource's inputs changed."""
    inputs = copy.deepcopy(dict(world[name].inputs))
    change(inputs)
    return RecordedProgram([replace(one, inputs=inputs) if one.name == name else one for one in world.resources])


def publishing(address: str | None) -> Callable[[dict[str, Any]], None]:
    """Bind every published port to an address."""

    def change(inputs: dict[str, Any]) -> None:
        for port in inputs["ports"]:
            port["ip"] = address

    return change


def in_file(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Change Traefik's fixed file."""

    def whole(inputs: dict[str, Any]) -> None:
        (upload,) = inputs["uploads"]
        document = yaml.safe_load(upload["content"])
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

    @pytest.mark.parametrize("store", ["postgres", "redis"])
    def test_a_store_that_is_published_to_others_through_the_edge(self, store):
        world = record_stack("dev", {"publish": {store: 15000}})
        assert self.found(world) == set()
        assert self.found(changed(world, "tumulte-edge-traefik", publishing(EVERYWHERE))) == {store}

    @pytest.mark.parametrize(
        "name",
        ["tumulte-monitoring-prometheus", "tumulte-exporters-node-exporter", "tumulte-app-postgres"],
    )
    def test_a_container_that_publishes_a_port_itself(self, name):
        world = recorded_stack("dev")
        port = {"internal": 1, "external": 1, "ip": EVERYWHERE}
        target = world[name].label("dockyard.service")
        assert self.found(changed(world, name, lambda inputs: inputs.update(ports=[port]))) == {target}
        assert self.found(changed(world, name, lambda inputs: inputs.update(networkMode="host"))) == {target}

    def test_the_collector_where_it_runs(self):
        world = changed(
            recorded_stack("love-parser"),
            "love-parser-logs-collector",
            lambda inputs: inputs.update(ports=[{"internal": 8888, "external": 8888, "ip": EVERYWHERE}]),
        )
        assert self.found(world, "love-parser") == {"collector"}

    def test_the_edges_own_metrics(self):
        port = {"internal": 9180, "external": 9180, "ip": EVERYWHERE}
        world = changed(recorded_stack("dev"), "tumulte-edge-traefik", lambda inputs: inputs["ports"].append(port))
        assert self.found(world) == {INSIDE}

    @pytest.mark.parametrize("tool", ["prometheus", "alertmanager"])
    def test_a_route_that_has_lost_its_guard(self, tool, guarded):
        def open_(http: dict[str, Any]) -> None:
            http["routers"][f"{tool}_route_0"]["middlewares"] = ["hsts", "retry"]

        assert self.found(changed(guarded, "tumulte-edge-writer", in_file(open_))) == {tool}

    def test_a_guard_that_asks_nothing(self, guarded):
        def hollow(http: dict[str, Any]) -> None:
            http["middlewares"]["prometheus_basic"] = {"headers": {"stsSeconds": 1}}
            del http["middlewares"]["alertmanager_forward"]

        assert self.found(changed(guarded, "tumulte-edge-writer", in_file(hollow))) == {"prometheus", "alertmanager"}

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

    def test_access_before_a_rule_is_a_log_in_only_where_the_connector_asks_for_it(self):
        def lead(access: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
            rule = {"hostname": "x.example", "service": "http://prometheus:9090", "originRequest": {"access": access}}
            return lambda inputs: inputs["config"]["ingresses"].insert(0, rule)

        def found(access: dict[str, Any]) -> set[str]:
            return self.found(changed(recorded_stack("staging"), "tumulte-tunnel-ingress", lead(access)), "staging")

        assert found({"required": True, "teamName": "shop", "audTags": ["a1"]}) == set()
        assert found({"required": False, "teamName": "shop", "audTags": ["a1"]}) == {"prometheus"}
        assert found({"required": True, "teamName": "shop", "audTags": []}) == {"prometheus"}

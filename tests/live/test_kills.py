"""Containers of the dev stack are killed: the next `up` has them back, healthy, and no data is lost."""

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack

SERVICES = (
    *("traefik", "postgres", "redis", "backend", "frontend", "prometheus", "alertmanager", "grafana"),
    *("node-exporter", "cadvisor", "postgres-exporter", "redis-exporter", "blackbox-exporter"),
)
DAILY = [("postgres", "SIGKILL"), ("traefik", "SIGTERM"), ("backend", "SIGINT")]
"""A store, the edge proxy and a service."""

SOAK = [pytest.param(service, "SIGKILL", marks=pytest.mark.soak) for service in SERVICES if service != "postgres"]


@pytest.fixture
def polls(dev: Stack) -> Iterator[int]:
    """The number of rows before anything is killed, at least one. At the end the stack is healthy again."""
    created = dev.post("backend", "/polls", {"question": "Coffee?", "options": ["yes", "no"]})
    assert created.is_success, created.text
    yield len(dev.get("backend", "/polls").json())
    dev.restore()


def assert_back(dev: Stack, services: tuple[str, ...], polls: int) -> None:
    dev.up().good()
    containers = dev.containers
    assert [containers[service].status for service in services] == ["running"] * len(services)
    dev.wait_until_healthy()
    assert len(dev.get("backend", "/polls").json()) == polls


def test_the_kills_below_cover_every_running_service(dev: Stack) -> None:
    running = {container.labels["dockyard.service"] for container in dev.client.containers.list(filters=dev.label)}
    assert running == set(SERVICES)


@pytest.mark.parametrize(("service", "signal"), DAILY + SOAK)
def test_a_killed_container_is_back_with_its_data_after_an_up(service: str, signal: str, dev: Stack, polls: int):
    container = dev.container(service)
    container.kill(signal)
    container.wait(timeout=60)
    assert_back(dev, (service,), polls)


def test_all_containers_killed_at_once_are_back_after_an_up(dev: Stack, polls: int) -> None:
    containers = [dev.container(service) for service in SERVICES]
    for container in containers:
        container.kill()
    for container in containers:
        container.wait(timeout=60)
    assert_back(dev, SERVICES, polls)

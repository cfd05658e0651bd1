"""Any one container of the dev stack is killed: the next `up` has it back, healthy, and nothing is lost."""

import pytest


@pytest.fixture(scope="module")
def polls(dev) -> int:
    """How many rows there are before anything is killed."""
    return len(dev.get("backend", "/polls").json())


SERVICES = (
    "traefik",
    "postgres",
    "redis",
    "backend",
    "frontend",
    "prometheus",
    "alertmanager",
    "grafana",
    "node-exporter",
    "cadvisor",
    "postgres-exporter",
    "redis-exporter",
    "blackbox-exporter",
)


def test_every_long_running_service_is_killed_here(dev):
    running = {one.labels["dockyard.service"] for one in dev.docker().containers.list()}
    assert running == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_is_back_with_the_next_up_and_the_data_is_there(service, dev, polls):
    dev.container(service).kill()
    back = dev.dockyard("up", "dev")
    assert back.code == 0, back.output
    state = dev.container(service).attrs["State"]
    assert state["Status"] == "running"
    assert state.get("Health", {}).get("Status", "healthy") == "healthy"
    assert len(dev.get("backend", "/polls").json()) == polls

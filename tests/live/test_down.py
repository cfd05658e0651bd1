"""`./dockyard down`: everything it made goes, nothing else does, and data stays unless it is meant to go."""

from collections.abc import Iterator

import pytest

from tests.support.checkout import Checkout
from tests.support.stack import STORE_PRODUCT, Stack, small_stack

PRODUCT = STORE_PRODUCT.replace("needs: [postgres]", "needs: [postgres, redis]") + "redis: {{maxmemory: 16MB}}\n"
NAMES = (
    *("lake-app-postgres-data", "lake-app-postgres-dumps", "lake-app-redis-data", "lake-alerts-data"),
    *("lake-monitoring-prometheus-data", "lake-monitoring-grafana-data"),
)
"""Data volumes, without the random end of their names."""

QUESTION = {"question": "Tea?", "options": ["yes", "no"]}
ALL = ("--volumes", "--yes")


@pytest.fixture(scope="module")
def lake_stack(checkout: Checkout) -> Iterator[Stack]:
    """A stack with both kinds of store, which need not be up."""
    published = "dockyard:publish: {backend: 3333}"
    with small_stack(checkout, "lake", PRODUCT, settings=[published]) as lake:
        yield lake


@pytest.fixture
def lake(lake_stack: Stack) -> Stack:
    lake_stack.restore()
    return lake_stack


def others(stack: Stack) -> dict[str, str]:
    """Return all that is on the engine and not of the stack. An anonymous volume is of the stack that uses it."""
    client, ours = stack.client, stack.everything
    mounts = [mount for container in stack.all_containers for mount in container.attrs["Mounts"]]
    ours |= {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
    items = [*client.networks.list(), *client.volumes.list()]
    names = {item.id: item.name for item in items}
    names |= {item.id: item.status for item in client.containers.list(all=True)}
    return {id: text for id, text in names.items() if id not in ours}


@pytest.fixture
def strangers(lake: Stack) -> Iterator[None]:
    volume = lake.client.volumes.create("of-somebody-else")
    network = lake.client.networks.create("of-somebody-else")
    yield
    network.remove()
    volume.remove()


def test_a_foreign_container_on_a_network_of_the_stack_stops_down(lake: Stack) -> None:
    exporter = lake.container("node-exporter")
    (network, *_) = exporter.attrs["NetworkSettings"]["Networks"]
    image = exporter.attrs["Config"]["Image"]
    stranger = lake.client.containers.run(image, name="of-somebody-else", network=network, detach=True)
    try:
        before = lake.everything
        refused = lake.down()
        assert refused.code != 0
        assert f"use its networks: of-somebody-else on {network}" in refused.output
        assert f"docker network disconnect {network} of-somebody-else" in refused.output
        assert lake.everything == before
        stranger.reload()
        assert stranger.status == "running"
    finally:
        stranger.remove(force=True)


@pytest.mark.usefixtures("strangers")
def test_down_removes_all_but_data_and_the_next_up_finds_it(lake: Stack) -> None:
    created = lake.post("backend", "/polls", QUESTION)
    assert created.is_success, created.text
    before = others(lake)
    lake.down().good()
    assert lake.all_containers == lake.networks == []
    assert sorted(name.rpartition("-")[0] for name in lake.volumes) == sorted(NAMES)
    assert others(lake) == before

    lake.up().good()
    assert "Tea?" in lake.get("backend", "/polls").text


@pytest.mark.usefixtures("strangers")
def test_down_with_volumes_leaves_nothing_once_it_is_confirmed(lake: Stack) -> None:
    before = others(lake)
    refused = lake.down("--volumes")
    assert refused.code != 0
    assert "Delete all data of the stack lake?" in refused.output
    assert lake.get("backend", "/health/ready").status_code == 200

    lake.down(*ALL).good()
    assert lake.everything == set()
    assert others(lake) == before

"""`./dockyard down dev`: everything it made goes, nothing else does, and data stays unless it is meant to go."""


def everything(dev) -> dict[str, set[str]]:
    client = dev.docker()
    return {
        "containers": {one.name for one in client.containers.list(all=True)},
        "networks": {one.name for one in client.networks.list()} - {"bridge", "host", "none"},
        "volumes": {one.name for one in client.volumes.list()},
    }


def test_a_container_of_others_on_a_network_of_the_stack_is_named_and_nothing_is_removed(dev):
    exporter = dev.container("node-exporter")
    (network, *_) = exporter.attrs["NetworkSettings"]["Networks"]
    image = exporter.attrs["Config"]["Image"]
    stranger = dev.docker().containers.run(image, name="of-somebody-else", network=network, detach=True)
    before = everything(dev)
    try:
        refused = dev.dockyard("down", "dev")
        assert refused.code != 0
        assert f"use its networks: of-somebody-else on {network}" in refused.output
        assert f"docker network disconnect {network} of-somebody-else" in refused.output
        assert everything(dev) == before
        stranger.reload()
        assert stranger.status == "running"
    finally:
        stranger.remove(force=True)


def test_down_removes_all_but_data_volumes_and_touches_nothing_of_others(dev):
    client = dev.docker()
    client.volumes.create("of-somebody-else")
    client.networks.create("of-somebody-else")
    gone = dev.dockyard("down", "dev")
    assert gone.code == 0, gone.output
    left = everything(dev)
    assert left["containers"] == set()
    assert left["networks"] == {"of-somebody-else"}
    data = left["volumes"] - {"of-somebody-else"}
    assert {name.rsplit("-", 1)[0] for name in data} == {
        "tumulte-app-postgres-data",
        "tumulte-app-postgres-dumps",
        "tumulte-app-redis-data",
        "tumulte-alerts-data",
        "tumulte-monitoring-prometheus-data",
        "tumulte-monitoring-grafana-data",
    }


def test_up_after_down_finds_its_data_again(dev):
    back = dev.dockyard("up", "dev")
    assert back.code == 0, back.output
    assert "Tea?" in dev.get("frontend", "/").text


def test_deleting_data_is_asked_about_and_no_answer_means_no(dev):
    refused = dev.dockyard("down", "dev", "--volumes")
    assert refused.code != 0
    assert "Delete all data of the stack dev?" in refused.output
    assert dev.get("backend", "/health/ready").status_code == 200


def test_down_with_volumes_leaves_nothing(dev):
    gone = dev.dockyard("down", "dev", "--volumes", "--yes")
    assert gone.code == 0, gone.output
    assert everything(dev) == {
        "containers": set(),
        "networks": {"of-somebody-else"},
        "volumes": {"of-somebody-else"},
    }

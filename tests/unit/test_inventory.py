"""The file that tells Prometheus which containers the stack has."""

import pulumi_docker as docker

from components.inventory import Inventory, exposition
from tests.support.recording import record


def test_each_container_is_a_series_with_the_start_of_its_id_by_which_cadvisor_knows_it():
    text = exposition({"backend-2": ("a" * 64, "shop-app-backend-2-1f", "ghcr.io/shop/api:1.0@sha256:00")})
    assert text.splitlines()[-1] == (
        f'dockyard_container_info{{container_id="{"a" * 12}",container="shop-app-backend-2-1f",'
        'service="backend-2",image="api:1.0"} 1'
    )
    assert "# TYPE dockyard_container_info gauge" in text


def test_the_order_of_the_containers_does_not_change_the_file():
    one, other = ("1" * 64, "one", "i:1"), ("2" * 64, "other", "i:2")
    assert exposition({"a": one, "b": other}) == exposition({"b": other, "a": one})


def test_the_volume_is_there_before_the_containers_and_the_file_is_written_after_them(make_context):
    def program():
        inventory = Inventory("inv", make_context(), lambda name: name)
        made = docker.Container("web", image="demo:1", mounts=[])
        assert inventory.mount.target == "/metrics/inventory"
        assert inventory.mount.read_only
        inventory.write({"web": made})

    world = record(program)
    (path, text) = next(iter(world["inv-metrics-writer"].files.items()))
    assert path == "/dockyard/files/containers.prom"
    assert 'service="web"' in text
    assert 'container_id="web' in text
    assert world["inv-metrics"].label("dockyard.volume") == "config"

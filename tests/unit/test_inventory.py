"""The file that tells Prometheus which containers the stack has."""

from components.inventory import exposition


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

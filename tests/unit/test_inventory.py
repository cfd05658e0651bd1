"""The file that tells Prometheus which containers the stack has."""

from components.monitoring.inventory import exposition


def test_the_order_of_the_containers_does_not_change_the_file():
    one, other = ("1" * 64, "one", "i:1"), ("2" * 64, "other", "i:2")
    assert exposition({"a": one, "b": other}) == exposition({"b": other, "a": one})

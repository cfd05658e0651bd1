"""What departs from the hardened defaults has its reason in one place."""

from dataclasses import replace

import pytest

from runtime.hardening import check_hardening
from runtime.spec import ContainerSpec, Mount


@pytest.fixture
def spec(limits):
    return ContainerSpec(role="api", image="api:1", limits=limits, networks=(), user="1001:1001")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user": None}, "runs as root"),
        ({"user": "0:0"}, "runs as root"),
        ({"user": "root"}, "runs as root"),
        ({"read_only": False}, "writable root file system"),
        ({"capabilities": ("NET_ADMIN",)}, "capability NET_ADMIN"),
        ({"mounts": (Mount("/", "/host", host=True),)}, "mounts / of the host"),
    ],
)
def test_a_departure_without_a_reason_is_refused_and_named(change, told, spec):
    with pytest.raises(ValueError, match=rf"^api: {told}: give the reason in runtime/hardening.py$"):
        check_hardening(replace(spec, **change))


def test_a_departure_that_is_reasoned_holds_for_its_role_only(spec):
    mounts = (Mount("/", "/host", host=True),)
    check_hardening(replace(spec, role="node-exporter", mounts=mounts))
    with pytest.raises(ValueError, match="runs as root"):
        check_hardening(replace(spec, role="node-exporter", mounts=mounts, user="0:0"))


def test_a_products_own_workloads_are_reasoned_in_its_file(spec):
    check_hardening(replace(spec, read_only=False, of_product=True))

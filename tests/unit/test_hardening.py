"""What departs from the hardened defaults has its reason in one place."""

from dataclasses import replace

import pytest

from runtime.guarantees import DOCKER, Guarantee
from runtime.hardening import check_hardening
from runtime.spec import ContainerSpec, Mount, PortMapping


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
    with pytest.raises(ValueError, match=rf"^api: {told}: add a reason to runtime/hardening.py$"):
        check_hardening(replace(spec, **change), DOCKER)


def test_a_departure_that_is_reasoned_holds_for_its_role_only(spec):
    mounts = (Mount("/", "/host", host=True),)
    check_hardening(replace(spec, role="node-exporter", mounts=mounts), DOCKER)
    with pytest.raises(ValueError, match="runs as root"):
        check_hardening(replace(spec, role="node-exporter", mounts=mounts, user="0:0"), DOCKER)


def test_a_products_own_workloads_are_reasoned_in_its_file(spec):
    check_hardening(replace(spec, read_only=False, of_product=True), DOCKER)


def test_what_a_runtime_does_not_guarantee_is_a_departure_of_every_container_that_needs_it(spec):
    own, published = replace(spec, of_product=True), replace(spec, publish=(PortMapping(80, 8080),))
    with pytest.raises(ValueError, match=r"^api: may gain new privileges, swap is not limited: add a reason"):
        check_hardening(own, {Guarantee.LOOPBACK_PORTS})
    check_hardening(own, DOCKER - {Guarantee.LOOPBACK_PORTS})
    with pytest.raises(ValueError, match=r"^api: ports cannot be bound to the loopback address: add a reason"):
        check_hardening(published, DOCKER - {Guarantee.LOOPBACK_PORTS})

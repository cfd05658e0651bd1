"""`./dockyard down` while health checks start, again and again: the engine must let go of every network.

CI has seen "has active endpoints" of a network though every container was gone: one was removed while the engine began
to run something in it, such as a health check.
"""

from collections.abc import Iterator

import pytest

from tests.support.checkout import MINUTES, Checkout
from tests.support.stack import Stack, small_stack

SERVICE = """\
  web{number}:
    image: demo
    port: 3000
    health: {{{{http: /health, interval: 1s}}}}
    command: [static]
    limits: {{{{memory: 64MB, cpus: 0.25}}}}
    env: {{{{PORT: "3000"}}}}
"""
PRODUCT = "name: {name}\nservices:\n" + "".join(SERVICE.format(number=number) for number in range(1, 6))
"""Five services, each with a health check every second."""


@pytest.fixture(scope="module")
def pond(checkout: Checkout) -> Iterator[Stack]:
    with small_stack(checkout, "pond", PRODUCT) as pond:
        yield pond


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(240 * MINUTES)])])
def test_down_succeeds_while_health_checks_start(pond: Stack, rounds: int) -> None:
    for number in range(rounds):
        started = pond.up()
        assert started.code == 0, f"round {number + 1}:\n{started.output}"
        for service, container in pond.containers.items():
            if service.startswith("web"):
                container.restart(timeout=0)
        finished = pond.down()
        assert finished.code == 0, f"round {number + 1}:\n{finished.output}"
        assert pond.all_containers == [], f"round {number + 1}"
        assert pond.networks == [], f"round {number + 1}"

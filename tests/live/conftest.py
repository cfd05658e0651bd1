"""One checkout with an engine of its own for all files of this folder, and the dev stack that they share.

A test that changes the dev stack restores it in a fixture, which asserts that it is healthy again. What changes a stack
for good, or needs none of what `dev` runs, uses a small stack of its own: `tests.support.stack.small_stack`.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.checkout import Checkout, disposable_checkout
from tests.support.stack import STORE_PRODUCT, FirstUp, Stack, small_stack
from tests.support.waiting import wait_until


def check_health_rarely(checkout: Path) -> None:
    """Give the dev stack a long health interval after a quick start: its own 2 s start seven processes a second."""
    file = checkout / "Pulumi.dev.yaml"
    text, own = file.read_text(), "{health_interval: 2s}"
    assert text.count(own) == 1
    file.write_text(text.replace(own, "{health_interval: 15s, health_start_interval: 1s}"))


@pytest.fixture(scope="session")
def checkout() -> Iterator[Checkout]:
    """A fresh checkout. At the end its engine is removed, with every stack that is left on it."""
    with disposable_checkout(check_health_rarely) as checkout:
        yield checkout


@pytest.fixture(scope="session")
def dev_stack(checkout: Checkout) -> Stack:
    return Stack(checkout, "dev")


@pytest.fixture(scope="session")
def first_up(dev_stack: Stack) -> FirstUp:
    began = time.time()
    finished = dev_stack.up().good()
    states = {service: container.attrs["State"] for service, container in dev_stack.containers.items()}
    fires = 'ALERTS{alertstate="firing"}'
    alerts = wait_until(lambda: dev_stack.query(fires), "the Watchdog fires", 120, ignoring=(httpx.HTTPError,))
    return FirstUp(began, finished, states, frozenset(alert["metric"]["alertname"] for alert in alerts))


@pytest.fixture(scope="session")
def dev(dev_stack: Stack, first_up: FirstUp) -> Stack:
    return dev_stack


@pytest.fixture(scope="session")
def shop(checkout: Checkout) -> Iterator[Stack]:
    """A backend over Postgres, up, for releases and failures."""
    published = "dockyard:publish: {backend: 3333, prometheus: 9090}"
    with small_stack(checkout, "shop", STORE_PRODUCT, settings=[published]) as shop:
        shop.restore()
        yield shop

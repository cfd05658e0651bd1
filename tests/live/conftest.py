"""One checkout with an engine of its own for all files of this folder, and the dev stack that they share.

A test that changes the dev stack restores it in a fixture, which asserts that it is healthy again. What changes a stack
for good, or needs none of what `dev` runs, uses a small stack of its own: `tests.support.stack.small_stack`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.checkout import MINUTES, SOURCE, Checkout, Finished, disposable_checkout
from tests.support.stack import Stack

if TYPE_CHECKING:
    from tests.live.running import Running


@pytest.fixture(scope="session")
def checkout() -> Iterator[Checkout]:
    """A fresh checkout. At the end its engine is removed, with every stack that is left on it."""
    with disposable_checkout() as checkout:
        yield checkout


@pytest.fixture(scope="session")
def fresh_checkout(checkout: Checkout) -> Checkout:
    """The same, by its old name."""
    return checkout


@pytest.fixture(scope="session")
def dev_stack(checkout: Checkout) -> Stack:
    """The dev stack, which need not be up yet."""
    return Stack(checkout, "dev")


@pytest.fixture(scope="session")
def first_up(dev_stack: Stack) -> Finished:
    """The first `up` of the dev stack."""
    return dev_stack.up()


@pytest.fixture(scope="session")
def dev(dev_stack: Stack, first_up: Finished) -> Stack:
    """The dev stack, up."""
    assert first_up.code == 0, first_up.output
    return dev_stack


@pytest.fixture(scope="session")
def products(fresh_checkout) -> Iterator[dict[str, Running]]:
    """The stacks of all four products, brought up at once. The last tests of test_5_products take them down."""
    # Late: these modules stand on this one.
    from tests.live.products import all_up  # noqa: PLC0415 - see above

    with all_up(fresh_checkout) as found:
        yield found


@pytest.fixture(scope="session")
def guestbook(fresh_checkout) -> Iterator[Running]:
    """The small product of docs/examples, put where its page says, and brought up.

    The last test of test_9_drift takes it down.
    """
    # Late, as above.
    from tests.live.running import Running  # noqa: PLC0415 - see above

    names = ("products/guestbook.yaml", "Pulumi.guestbook.yaml")
    for name in names:
        shutil.copy(SOURCE / "docs/examples" / name, fresh_checkout.folder / name)
    running = Running(fresh_checkout, "guestbook", fresh_checkout.dockyard("up", "guestbook", limit=30 * MINUTES))
    assert running.up.code == 0, running.up.output
    yield running
    for name in names:
        (fresh_checkout.folder / name).unlink()

"""A pytest plugin that stops the containers of a stack once no test that is left uses it: idle stacks that scrape,
evaluate rules and check health every few seconds take a third of the processors."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.stack import Stack

CHOOSING = {"product", "stacks"}
"""Fixtures that choose their stacks when they run: while a test is left that uses one, no stack is idle."""

STACKS = pytest.StashKey[dict[str, Stack]]()
"""Fixture → its stack, of all fixtures that a test of the session has used."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    stacks = item.session.stash.setdefault(STACKS, {})
    used = {name: value for name, value in getattr(item, "funcargs", {}).items() if isinstance(value, Stack)}
    stacks.update(used)
    items = item.session.items
    left = {name for later in items[items.index(item) + 1 :] for name in getattr(later, "fixturenames", ())}
    if left and not left & CHOOSING:
        needed = {stacks[name].name for name in left if name in stacks}
        for stack in {stack.name: stack for stack in used.values() if stack.name not in needed}.values():
            running = stack.client.containers.list(filters=stack.label)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda container: container.stop(timeout=0), running))

"""The stacks of the four products, as the tests bring them up side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.live.conftest import Checkout
from tests.live.running import Running

STACKS = ("dating-app", "dev", "pivotal-flow", "love-parser")
QUICK = "  dockyard:docker: {health_interval: 2s}\n"
"""The line of Pulumi.dev.yaml that overrides Tumulte's own intervals."""

RECEIVER = """\
  dockyard:alerts:
    receivers: {nowhere: {type: webhook, url: nowhere-url, environments: [development], alerts: [HostDown]}}
"""
"""Where nobody is told Alertmanager counts no notifications, and nothing can be seen of them."""


@contextmanager
def all_up(checkout: Checkout) -> Iterator[dict[str, Running]]:
    """Bring up all four at once; Tumulte's dev stack with the health intervals of its document, and a receiver."""
    file = checkout.folder / "Pulumi.dev.yaml"
    before = file.read_text()
    assert before.count(QUICK) == 1
    file.write_text(before.replace(QUICK, RECEIVER))
    given = checkout.pulumi("config", "set", "--secret", "dockyard:nowhere-url", "http://127.0.0.1:9", "-s", "dev")
    assert given.code == 0, given.output
    # The images are there before two want them at once.
    for stack in STACKS:
        ready = checkout.dockyard("setup", stack, limit=30 * 60)
        assert ready.code == 0, ready.output
    with ThreadPoolExecutor(max_workers=len(STACKS)) as lanes:
        ups = list(lanes.map(lambda stack: checkout.dockyard("up", stack), STACKS))
    yield {stack: Running(checkout, stack, up) for stack, up in zip(STACKS, ups, strict=True)}
    file.write_text(before)

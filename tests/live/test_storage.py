"""What docs/long-term.md says of series and bytes holds on the dev stack."""

import re
from pathlib import Path

from tests.live.storage import Prometheus, look, write_blocks
from tests.support.checkout import SOURCE
from tests.support.stack import Stack
from tests.support.waiting import wait_until

DOC = (SOURCE / "docs/long-term.md").read_text()
ENOUGH_SAMPLES = 30_000  # about five scrapes of the whole stack


def figure(pattern: str) -> float:
    """Return a number from the page; the group of the pattern holds it."""
    match = re.search(pattern, DOC)
    assert match, f"docs/long-term.md no longer says {pattern}"
    return float(match[1].replace(" ", ""))


def test_the_stack_has_no_more_series_than_the_page_says(dev: Stack) -> None:
    prometheus = Prometheus(dev.urls["prometheus"])
    wait_until(lambda: look(prometheus).containers, "cAdvisor has been scraped", 120)
    live = look(prometheus)
    # cAdvisor and node_exporter see whatever else the machine runs.
    own = sum(number for job, number in live.jobs.items() if job not in ("cadvisor", "node"))
    assert own <= 1.5 * figure(r"without the host and its containers \| ([\d ]+) \|"), live.jobs
    assert live.per_container <= 1.1 * figure(r"one container \(cAdvisor\) \| (\d+) \|")


def test_samples_and_series_take_no_more_disk_than_the_page_says(dev: Stack, tmp_path: Path) -> None:
    appended = "prometheus_tsdb_head_samples_appended_total"
    prometheus = Prometheus(dev.urls["prometheus"])
    wait_until(lambda: prometheus.value(appended) > ENOUGH_SAMPLES, f"Prometheus has {ENOUGH_SAMPLES} samples", 300)
    mounts = {mount["Destination"]: mount["Source"] for mount in dev.container("prometheus").attrs["Mounts"]}
    stored = write_blocks(Path(mounts["/prometheus"]), tmp_path)
    assert stored.samples > 10_000
    assert stored.index / stored.series <= 1.3 * figure(r"index of a two-hour block \| (\d+) B")
    # What a chunk costs by itself is shared by few samples in a young stack.
    further = (stored.chunks - stored.heads) / (stored.samples - stored.chunk_count)
    assert further <= 1.3 * figure(r"a sample in chunks \| ([\d.]+) B"), stored

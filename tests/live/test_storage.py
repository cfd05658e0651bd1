"""What docs/long-term.md says of series and bytes holds on the dev stack."""

import re
from pathlib import Path

from tests.live.storage import Prometheus, look, write_blocks

DOC = (Path(__file__).resolve().parents[2] / "docs" / "long-term.md").read_text()


def figure(pattern: str) -> float:
    """Return a number from the page; the group of the pattern holds it."""
    found = re.search(pattern, DOC)
    assert found, f"docs/long-term.md no longer says {pattern}"
    return float(found[1].replace(" ", ""))


def test_the_stack_has_no_more_series_than_the_page_says(dev):
    live = look(Prometheus(dev.url("prometheus")))
    # cAdvisor and node_exporter see whatever else the machine runs.
    own = sum(number for job, number in live.jobs.items() if job not in ("cadvisor", "node"))
    assert own <= 1.5 * figure(r"all but the host and its containers \| ([\d ]+) \|"), live.jobs
    assert live.per_container <= 1.1 * figure(r"one container \(cAdvisor\) \| (\d+) \|")


def test_a_sample_and_a_series_take_no_more_disk_than_the_page_says(dev, tmp_path):
    (volume,) = [
        mount["Source"]
        for mount in dev.container("prometheus").attrs["Mounts"]
        if mount["Destination"] == "/prometheus"
    ]
    stored = write_blocks(Path(volume), tmp_path)
    assert stored.samples > 10_000
    assert stored.index / stored.series <= 1.3 * figure(r"index of a block of two hours \| (\d+) B")
    # Chunks of a young stack are far from full: what each costs by itself is shared by few samples.
    assert stored.chunks / stored.samples <= 2 * figure(r"a sample, in chunks \| ([\d.]+) B")

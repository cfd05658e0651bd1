"""The small product of docs/examples: as short as promised, and it runs."""

import pytest

from tests.support.checkout import SOURCE
from tests.support.stack import Stack
from tests.support.waiting import wait_until

EXAMPLES = SOURCE / "docs/examples"


@pytest.mark.parametrize(("file", "lines"), [("products/guestbook.yaml", 25), ("Pulumi.guestbook.yaml", 12)])
def test_the_files_of_a_small_product_are_short(file: str, lines: int) -> None:
    text = (line.strip() for line in (EXAMPLES / file).read_text().splitlines())
    assert sum(bool(line) and not line.startswith("#") for line in text) <= lines


def test_every_container_is_healthy(guestbook: Stack) -> None:
    assert guestbook.unhealthy == []


def test_the_service_answers_from_its_postgres(guestbook: Stack) -> None:
    assert guestbook.post("web", "/polls", {"question": "Was it nice?", "options": ["yes", "no"]}).status_code == 201
    client = ["psql", "-h", "postgres", "-U", "guestbook", "-d", "guestbook", "-tAc"]
    change = "update polls set question = 'Was it very nice?' returning question"
    changed = guestbook.container("postgres").exec_run(
        [*client, change], environment={"PGPASSFILE": "/run/secrets/pgpass"}
    )
    assert changed.exit_code == 0, changed.output
    assert guestbook.get("web", "/polls").json()["polls"][0]["question"] == "Was it very nice?"


def test_a_preview_with_refresh_is_clean(guestbook: Stack) -> None:
    guestbook.preview("--refresh").good()


def test_verify_passes(guestbook: Stack) -> None:
    guestbook.checkout.dockyard("verify", guestbook.name).good()


def test_a_job_that_was_added_later_runs_by_the_clock(guestbook: Stack) -> None:
    """Its schedule is every minute: see the fixture `guestbook`."""
    tidy = guestbook.container("tidy")
    wait_until(lambda: b"event=end exit=0" in tidy.logs(), "the job has run", 90, details=lambda: tidy.logs().decode())
    tidy.reload()
    assert tidy.attrs["State"]["Health"]["Status"] == "healthy"

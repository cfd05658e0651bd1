"""The small product of docs/examples: as short as promised, and it runs."""

from tests.live.conftest import SOURCE
from tests.live.test_1_up import wait_until

EXAMPLES = SOURCE / "docs/examples"
PRODUCT, STACK = "products/guestbook.yaml", "Pulumi.guestbook.yaml"


def lines_that_say_something(name: str) -> int:
    """Count lines that are neither blank nor comment."""
    lines = (line.strip() for line in (EXAMPLES / name).read_text().splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_a_product_needs_at_most_25_lines_and_a_stack_12():
    assert lines_that_say_something(PRODUCT) <= 25
    assert lines_that_say_something(STACK) <= 12


def test_it_comes_up_to_all_healthy(guestbook):
    assert guestbook.up.code == 0, guestbook.up.output
    running = [one for one in guestbook.containers.values() if one.attrs["State"]["Running"]]
    assert {one.attrs["State"]["Health"]["Status"] for one in running} == {"healthy"}


def test_it_answers_with_what_is_in_its_postgres(guestbook):
    assert guestbook.post("web", "/polls", {"question": "Was it nice?", "options": ["yes", "no"]}).status_code == 201
    client = ["psql", "-h", "postgres", "-U", "guestbook", "-d", "guestbook", "-tAc"]
    change = "update polls set question = 'Was it very nice?' returning question"
    changed = guestbook.containers["postgres"].exec_run(
        [*client, change], environment={"PGPASSFILE": "/run/secrets/pgpass"}
    )
    assert changed.exit_code == 0, changed.output
    assert guestbook.get("web", "/polls").json()["polls"][0]["question"] == "Was it very nice?"


def test_a_preview_with_refresh_is_clean(guestbook):
    seen = guestbook.preview()
    assert seen.code == 0, seen.output


def test_a_job_can_be_added_that_runs_by_the_clock_and_the_stack_is_found_to_serve(guestbook):
    """Every minute, so that the test need not wait for the night."""
    file = guestbook.checkout.folder / PRODUCT
    schedule = "{image: demo, schedule: '* * * * *', needs: [postgres], command: [demo, migrate]}"
    file.write_text(file.read_text().replace("jobs:\n", f"jobs:\n  tidy: {schedule}\n"))
    up = guestbook.checkout.dockyard("up", "guestbook")
    assert up.code == 0, up.output

    # While the minute goes by.
    verified = guestbook.checkout.dockyard("verify", "guestbook")
    assert verified.code == 0, verified.output

    def it_has_run() -> bool:
        return b"event=end exit=0" in guestbook.containers["tidy"].logs()

    wait_until(it_has_run, 90)
    assert guestbook.containers["tidy"].attrs["State"]["Health"]["Status"] == "healthy"

"""An `up`, a plain `pulumi up` and previews of a stack that is up change nothing, and are quick.

Quick is a ratio to the first `up` of the same run, since machines differ, and a ratio of processor time, since other
tests run beside these. On two idle cores, with caches, the first takes 35 s (20 s of processor time), an `up` that
changes nothing 6 s (6 s) and a preview 3 s (3 s).
"""

from tests.support.stack import FirstUp, Stack


def test_a_second_up_changes_nothing_and_is_quick(first_up: FirstUp, dev: Stack) -> None:
    second = dev.up()
    assert second.code == 0
    assert "\n0 changes in" in second.output
    assert second.cpu_seconds <= first_up.finished.cpu_seconds / 2


def test_a_plain_up_and_previews_with_refresh_change_nothing(dev: Stack) -> None:
    options = ("--yes", "--skip-preview", "--expect-no-changes", "--non-interactive")
    dev.checkout.pulumi("up", "-s", "dev", *options).good()
    for _ in range(2):
        dev.preview("--refresh").good()


def test_a_plain_preview_that_changes_nothing_is_quick(first_up: FirstUp, dev: Stack) -> None:
    previews = [dev.preview() for _ in range(3)]
    assert all(preview.code == 0 for preview in previews)
    assert sorted(preview.cpu_seconds for preview in previews)[1] <= first_up.finished.cpu_seconds / 4

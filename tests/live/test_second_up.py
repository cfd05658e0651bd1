"""An `up`, a plain `pulumi up` and previews of a stack that is up change nothing, and are quick.

Quick is a ratio of processor times, which differ little beside other tests. On idle cores `./dockyard up` takes 6 s of
it where nothing changes, a plain `pulumi up` or `preview` 3 s, and the imports of the program 0.7 s."""

from tests.support.checkout import MINUTES, Finished, run
from tests.support.stack import Stack


def plain_up(dev: Stack) -> Finished:
    options = ("--yes", "--skip-preview", "--expect-no-changes", "--non-interactive")
    return dev.checkout.pulumi("up", "-s", "dev", *options).good()


def imports_of_the_program(dev: Stack) -> Finished:
    folder = dev.checkout.folder
    lines = (folder / "__main__.py").read_text().splitlines()
    imports = "\n".join(line for line in lines if line.startswith(("import ", "from ")))
    command = [str(folder / ".dockyard/venv/bin/python"), "-c", imports]
    return run(command, folder, dev.checkout.environment, MINUTES).good()


def test_a_second_up_changes_nothing_and_is_quick(dev: Stack) -> None:
    second, plain = dev.up().good(), plain_up(dev)
    assert "\n0 changes in" in second.output
    assert second.cpu_seconds <= 3 * plain.cpu_seconds


def test_a_plain_up_and_previews_with_refresh_change_nothing(dev: Stack) -> None:
    plain_up(dev)
    for _ in range(2):
        dev.preview("--refresh").good()


def test_a_plain_preview_that_changes_nothing_is_quick(dev: Stack) -> None:
    pairs = [(dev.preview().good(), imports_of_the_program(dev)) for _ in range(3)]
    assert min(preview.cpu_seconds / imports.cpu_seconds for preview, imports in pairs) <= 8

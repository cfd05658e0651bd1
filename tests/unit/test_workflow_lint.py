"""The workflows as actionlint reads them, beside their schemas: expressions, contexts, needs, labels, and scripts."""

import re
import subprocess
from pathlib import Path

import pytest

from machine.workdir import WorkDir
from offline.golang import GoProgram, build, ensure_go
from offline.host_programs import host_program
from tests.unit.workflows import ROOT, WORKFLOWS

MODULE = Path(__file__).with_name("actionlint")


@pytest.fixture(scope="module")
def lint():
    """Run actionlint on files. It is built once a machine; Debian has shellcheck."""
    work = WorkDir()
    (package,) = re.findall(r"^tool (\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    program = build(work, ensure_go(work, MODULE, print), GoProgram(MODULE, package), print)
    shellcheck = host_program(work, "sid", "shellcheck", "shellcheck", print)

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        settings = ["-no-color", "-config-file", str(ROOT / ".github/actionlint.yaml"), "-shellcheck", str(shellcheck)]
        return subprocess.run([program, *settings, *files], cwd=ROOT, capture_output=True, text=True)

    return run


def test_actionlint_and_shellcheck_have_nothing_to_say_of_any_workflow(lint):
    done = lint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("steps.rollback.outputs.done == 'yes'", "steps.rolback.outputs.done == 'yes'", 'property "rolback"'),
        ('"$RUNNER_TEMP/plan"', "$RUNNER_TEMP/plan", "SC2086"),
    ],
)
def test_they_would_notice_a_mistake(lint, tmp_path, good, bad, told):
    broken = tmp_path / "production.yml"
    text = (ROOT / ".github/workflows/production.yml").read_text()
    assert good in text
    broken.write_text(text.replace(good, bad))
    done = lint(broken)
    assert done.returncode == 1
    assert told in done.stdout

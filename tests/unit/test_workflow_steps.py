"""The workflows' longer steps, run as a runner runs them, with every program around them played."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.workflows import scripts

PLAY = """#!/bin/sh
echo "{name} $*" >> "$PLAYED/calls"
for file in "$PLAYED"/{name}.*; do
    [ -e "$file" ] || continue
    case "$*" in *"$(sed -n 1p "$file")"*) sed 1d "$file"; exit "$(cat "$file-code" 2> /dev/null || echo 0)" ;; esac
done
"""


class Runner:
    """A runner's folder, in which programs answer what they are told to and note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.work, self.played, self.bin = folder / "work", folder / "played", folder / "bin"
        self.output, self.summary = folder / "output", folder / "summary"
        for one in (self.work, self.played, self.bin):
            one.mkdir()
        self.answers = 0
        for name in ("pulumi", "gh", "git"):
            self._program(self.bin / name, name)
        self._program(self.work / "dockyard", "dockyard")

    def _program(self, path: Path, name: str) -> None:
        path.write_text(PLAY.format(name=name))
        path.chmod(0o755)

    def answer(self, name: str, call: str, said: str, code: int = 0) -> None:
        """Let a program say something, and end with a code, when its arguments contain `call`."""
        self.answers += 1
        (self.played / f"{name}.{self.answers}").write_text(f"{call}\n{said}")
        (self.played / f"{name}.{self.answers}-code").write_text(str(code))

    def run(self, step: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a step's script as GitHub does for `shell: bash`."""
        for file in (self.output, self.summary, self.played / "calls"):
            file.write_text("")
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", scripts()[step]],
            cwd=self.work,
            env={
                "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
                "PLAYED": str(self.played),
                "RUNNER_TEMP": str(self.work.parent),
                "GITHUB_WORKSPACE": str(self.work),
                "GITHUB_OUTPUT": str(self.output),
                "GITHUB_ENV": str(self.output),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_SHA": "0123456789abcdef",
                **variables,
            },
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        return (self.played / "calls").read_text().splitlines()


@pytest.fixture
def runner(tmp_path) -> Runner:
    return Runner(tmp_path)


class TestRollback:
    """After a deploy that failed, production goes back, but never from the release that was good."""

    def after(self, runner: Runner, before: str, after: str, last: str = "succeeded", state: str = "{}") -> str:
        (runner.work.parent / "before").write_text(before)
        runner.answer("pulumi", "stack output release", after)
        runner.answer("pulumi", "stack history", json.dumps([{"message": "x", "result": last}], indent=2))
        runner.answer("pulumi", "stack export", state)
        done = runner.run("production/deploy/Roll back")
        assert done.returncode == 0, done.stderr
        went = "dockyard rollback production" in runner.calls
        assert runner.output.read_text() == f"done={'yes' if went else 'no'}\n"
        return "back" if went else done.stdout

    @pytest.mark.parametrize(
        ("after", "more"),
        [
            ("two", {}),
            # The release of a deploy that failed half way was never written down.
            ("one", {"last": "failed"}),
            ("one", {"state": '{"deployment": {"pending_operations": [{}]}}'}),
        ],
        ids=["up and not well", "failed half way", "killed"],
    )
    def test_a_deploy_that_went_wrong_is_taken_back(self, runner, after, more):
        assert self.after(runner, "one", after, **more) == "back"

    def test_a_run_that_never_reached_the_stack_is_no_reason_to_leave_a_good_release(self, runner):
        assert "no release to go back from" in self.after(runner, "one", "one")

    def test_a_stack_that_was_never_up_is_noted_as_that(self, runner):
        runner.answer("pulumi", "stack output release", "", code=1)
        done = runner.run("production/deploy/Note what runs")
        assert done.returncode == 0
        assert (runner.work.parent / "before").read_text() == "none\n"

    def test_a_rollback_that_fails_fails_its_step(self, runner):
        runner.answer("dockyard", "rollback", "", code=1)
        (runner.work.parent / "before").write_text("one")
        runner.answer("pulumi", "stack output release", "two")
        assert runner.run("production/deploy/Roll back").returncode == 1
        assert runner.output.read_text() == ""

    @pytest.mark.parametrize(
        ("rollback", "done", "told"),
        [
            ("success", "yes", "**Rolled back** to the last good release; verification after that: success."),
            ("success", "no", "nothing was rolled back"),
            ("failure", "", "production needs a person now"),
            ("skipped", "", "deploy failure, verification skipped"),
        ],
    )
    def test_the_summary_says_what_came_of_it(self, runner, rollback, done, told):
        runner.answer("dockyard", "status", "the table\n", code=1)
        outcomes = {"BACKUP": "success", "UP": "failure", "VERIFIED": "skipped", "AGAIN": "success"}
        assert runner.run("production/deploy/Summary", **outcomes, ROLLBACK=rollback, DONE=done).returncode == 0
        assert told in runner.summary.read_text()
        assert "the table" in runner.summary.read_text()
        assert ("rolled back" in runner.summary.read_text().lower()) == (rollback == "success")


class TestBeforeADeploy:
    @pytest.mark.parametrize(("code", "goes_on"), [(0, True), (1, False), (2, True)])
    @pytest.mark.parametrize("step", ["production/plan", "staging/deploy"])
    def test_what_failed_stops_it_and_what_nobody_can_tell_does_not(self, runner, step, code, goes_on):
        runner.answer("dockyard", "doctor", "the table\n", code=code)
        done = runner.run(f"{step}/What the machine lacks")
        assert (done.returncode == 0) == goes_on
        assert done.stdout == "the table\n"
        assert runner.calls[0].endswith("--no-cis")

    @pytest.mark.parametrize(
        ("before", "code", "calls"), [("none\n", 0, []), ("one", 1, ["dockyard backup production"])]
    )
    def test_a_stack_that_was_up_is_saved_first_and_a_backup_that_fails_stops_the_deploy(
        self, runner, before, code, calls
    ):
        (runner.work.parent / "before").write_text(before)
        runner.answer("dockyard", "backup", "", code=1)
        done = runner.run("production/deploy/Back up")
        assert (done.returncode, runner.calls) == (code, calls)


class TestRestoreDrill:
    def test_a_drill_that_fails_fails_its_step_though_its_words_go_into_the_summary(self, runner):
        runner.answer("dockyard", "restore-drill", "not equal\n", code=1)
        assert runner.run("restore-drill/drill/Restore the latest backup into a throwaway Postgres").returncode == 1
        assert runner.run("restore-drill/drill/Summary").returncode == 0
        assert "not equal" in runner.summary.read_text()


class TestDrift:
    FINDING = {
        **{"resource": "container shop-backend-1", "urn": "urn", "field": "memory", "declared": "512 MiB"},
        **{"found": "~~~~ @everyone [x](y)", "repair": "--fix: a targeted up"},
    }
    TITLE = "Drift: staging"

    def report(self, runner: Runner, *findings: dict, listed: str = "") -> list[str]:
        said = {"stack": "staging", "checked": "2026-11-21T04:17:00+00:00", "compared": 80, "drifted": len(findings)}
        said |= {"findings": findings, "untold": [], "exit_code": int(bool(findings))}
        (runner.work / "drift.json").write_text(json.dumps(said))
        runner.answer("gh", "issue list", listed)
        step = "drift/report/Open, update or close the issue"
        done = runner.run(step, STACK="staging", RUN="https://git.example/runs/7")
        assert done.returncode == 0, done.stderr
        return [call for call in runner.calls if not call.startswith(("gh label", "gh issue list"))]

    def test_drift_opens_one_issue_that_names_what_it_found(self, runner):
        (call,) = self.report(runner, self.FINDING, listed="6\tDrift: production\n")
        assert call == f"gh issue create --title {self.TITLE} --label drift --body-file body.md"
        body = (runner.work / "body.md").read_text()
        assert "container shop-backend-1: memory: declared 512 MiB, found" in body
        assert "./dockyard drift staging --fix" in body
        # What was found can neither end the block that it stands in nor call anybody.
        _, block, _ = body.split("~~~~")
        assert "@everyone" in block

    @pytest.mark.parametrize(
        ("findings", "listed", "calls"),
        [
            ([FINDING], "6\tDrift: production\n7\tDrift: staging\n", ["gh issue edit 7 --body-file body.md"]),
            ([], "7\tDrift: staging\n", ["gh issue close 7"]),
            ([], "6\tDrift: production\n", []),
        ],
        ids=["rewritten", "closed", "another's"],
    )
    def test_the_next_look_rewrites_that_issue_or_closes_it(self, runner, findings, listed, calls):
        assert [call.partition(" --comment ")[0] for call in self.report(runner, *findings, listed=listed)] == calls

    def test_where_nobody_could_tell_the_issue_stays_as_it_is(self, runner):
        assert runner.run("drift/report/Open, update or close the issue", STACK="staging", RUN="").returncode == 0
        assert runner.calls == []

    @pytest.mark.parametrize("code", [0, 1, 2])
    def test_the_look_hands_on_its_report_and_its_code(self, runner, code):
        runner.answer("dockyard", "drift staging --json", '{"exit_code": 1}\n', code=code)
        done = runner.run("drift/look/Compare", STACK="staging")
        assert done.returncode == 0
        assert runner.output.read_text() == f"code={code}\n"
        assert json.loads((runner.work / "drift.json").read_text()) == {"exit_code": 1}
        assert '{"exit_code": 1}' in done.stdout

    def test_where_nobody_can_tell_the_run_fails(self, runner):
        done = runner.run("drift/look/Fail where nobody can tell", STACK="staging")
        assert done.returncode == 1
        assert "::error::nobody can tell whether staging has drifted" in done.stdout


class TestStacksRunner:
    STEP = "stack-runner/State, engine, a clean checkout"
    SET = {"PULUMI_BACKEND_URL": "file:///var/lib/dockyard/state", "DOCKER_HOST": "unix:///var/run/docker.sock"}

    def test_a_run_begins_with_a_checkout_that_has_kept_what_git_ignores(self, runner):
        assert runner.run(self.STEP, **self.SET).returncode == 0
        assert runner.calls == ["git clean --quiet -ffd"]

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            *((name, "", f"::error::{name} is not set") for name in SET),
            # The next checkout would remove it.
            ("PULUMI_BACKEND_URL", "file://{}/.dockyard/state", "PULUMI_BACKEND_URL is in the checkout"),
        ],
    )
    def test_a_runner_without_engine_or_lasting_state_is_refused(self, runner, name, value, error):
        done = runner.run(self.STEP, **{**self.SET, name: value.format(runner.work)})
        assert done.returncode == 1
        assert error in done.stdout
        assert runner.calls == []

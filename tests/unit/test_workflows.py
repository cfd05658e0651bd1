"""The workflows: what they are allowed, what they run on, and that all they call exists."""

import json
import re
import shlex
import subprocess
import sys

import pytest
import typer
import yaml

from ops.__main__ import app
from ops.test_runner import PARTS, SOAK
from settings.images import load_images
from tests.unit.workflows import ACTIONS, CHECKS, ROOT, WORKFLOWS, jobs, read, scripts, steps, workflow

RENOVATE = ROOT / "renovate.json"
CALL = re.compile(r"\./dockyard ([^|>;)&`\n]+)")


@pytest.mark.parametrize(("schema", "files"), [("vendor.github-actions", ACTIONS), ("vendor.renovate", [RENOVATE])])
def test_each_file_is_what_its_schema_asks_for(schema, files):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert files
    assert done.returncode == 0, done.stdout


class TestWhatIsCalled:
    def test_every_verb_and_option_that_a_workflow_calls_is_one_that_dockyard_has(self):
        verbs = typer.main.get_command(app).commands
        scripts_ = {where: re.sub(r"\\\n", " ", script) for where, script in scripts().items()}
        found = [(where, said) for where, script in scripts_.items() for said in CALL.findall(script)]
        called = "up preview verify rollback doctor backup restore-drill cleanup drift status test"
        assert {said.split()[0] for _, said in found} >= {*called.split()}
        for where, said in found:
            verb, *arguments = shlex.split(said)
            assert verb in verbs, f"{where} calls ./dockyard {verb}"
            # Raises where it takes no such option or argument; it runs nothing.
            verbs[verb].make_context(verb, arguments)

    @pytest.mark.parametrize(("file", "left_out"), [("checks", set()), (SOAK, {"lint"})])
    def test_every_part_of_the_tests_is_run_once(self, file, left_out):
        matrices = [job["strategy"]["matrix"]["part"] for job in workflow(file)["jobs"].values()]
        assert sorted(part for parts in matrices for part in parts) == sorted({*PARTS} - left_out)


class TestWhatIsAllowed:
    def test_nothing_is_allowed_but_what_a_job_asks_for(self):
        for file in WORKFLOWS:
            assert read(file)["permissions"] == {}, file.name
        given = {name: job["permissions"] for name, job in jobs()}
        more = {name: allowed for name, allowed in given.items() if allowed != {"contents": "read"}}
        assert more == {
            "pull-request/preview": {"contents": "read", "pull-requests": "write"},
            "drift/report": {"issues": "write"},
        }

    def test_no_job_runs_for_ever(self):
        for name, job in jobs():
            # One that calls another workflow ends with that one's jobs.
            assert "uses" in job or 0 < job["timeout-minutes"] <= 180, name

    def test_every_action_is_pinned_by_its_commit_and_says_its_version(self):
        lines = [line for file in [*WORKFLOWS, *ACTIONS] for line in file.read_text().splitlines() if "uses: " in line]
        others = {line.partition("uses: ")[2] for line in lines if "uses: ./" not in line}
        for one in others:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one
        # The same one everywhere.
        assert len({one.split("@")[0] for one in others}) == len(others)

    def test_no_secret_is_handed_to_a_workflow(self):
        # The runner of a stack has what it needs; what GitHub does not know, no run can print.
        for file in [*WORKFLOWS, *ACTIONS]:
            assert "secrets." not in file.read_text(), file.name
            assert "secrets: inherit" not in file.read_text(), file.name

    def test_nothing_that_somebody_else_writes_becomes_part_of_a_script(self):
        for where, script in scripts().items():
            assert "${{" not in script, f"{where}: hand it over as a variable"

    def test_no_checkout_leaves_the_token_behind(self):
        checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
        assert checkouts
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)

    def test_a_pull_request_meets_neither_a_stacks_runner_nor_the_trigger_that_would_give_it_rights(self):
        for file in WORKFLOWS:
            assert "pull_request_target" not in read(file)["on"], file.name
        for name, job in jobs():
            if name.startswith(("pull-request/", "checks/")) and "uses" not in job:
                assert job["runs-on"] == "ubuntu-24.04", name


class TestDeploys:
    def test_of_one_stack_never_two_run_at_once_and_none_is_stopped_half_way(self):
        for stack in ("staging", "production"):
            job = workflow(stack)["jobs"]["deploy"]
            assert job["concurrency"] == {"group": f"deploy-{stack}", "cancel-in-progress": False}
            assert job["environment"] == stack
            assert job["runs-on"] == ["self-hosted", f"dockyard-{stack}"]

    def test_what_failing_functional_tests_do_is_what_the_seeds_ask_for(self):
        called = {name: job["with"] for name, job in jobs() if job.get("uses") == CHECKS}
        assert called["staging/checks"] == {"functional": "warning", "end_to_end": False}
        assert called["production/checks"] == {"functional": "blocking", "end_to_end": True}
        assert called["pull-request/checks"]["functional"] == "blocking"
        warned = {name for name, job in workflow("checks")["jobs"].items() if "continue-on-error" in job}
        assert warned == {"functional"}

    def test_each_branch_has_its_stack_and_pull_requests_to_both_are_checked(self):
        assert workflow("staging")["on"] == {"push": {"branches": ["staging"]}}
        assert workflow("production")["on"] == {"push": {"branches": ["main"]}}
        assert workflow("pull-request")["on"] == {"pull_request": {"branches": ["main", "staging"]}}

    def test_production_waits_for_tests_and_plan_and_goes_back_by_itself(self):
        production = workflow("production")["jobs"]
        assert (production["plan"]["needs"], production["deploy"]["needs"]) == ("checks", "plan")
        runs = [step.get("run", "") for step in production["deploy"]["steps"]]
        assert "./dockyard doctor production" in production["plan"]["steps"][2]["run"]
        verbs = ("backup", "up", "status", "verify")
        order = [f"./dockyard {verb} production" for verb in verbs]
        found = [next(place for place, run in enumerate(runs) if call in run) for call in order]
        back = next(place for place, run in enumerate(runs) if "./dockyard rollback production" in run)
        assert found == sorted(found)
        assert back > found[-1]
        condition = production["deploy"]["steps"][back]["if"]
        for step in ("up", "health", "verify"):
            assert f"steps.{step}.outcome == 'failure'" in condition
        assert condition.startswith("failure() &&")

    def test_a_step_that_hangs_leaves_time_for_the_rollback(self):
        deploy = workflow("production")["jobs"]["deploy"]
        assert sum(step.get("timeout-minutes", 0) for step in deploy["steps"]) < deploy["timeout-minutes"]

    def test_nothing_that_runs_on_a_stacks_runner_takes_stand_ins_for_plugins_or_loses_the_tools(self):
        found = [(name, job) for name, job in jobs() if "self-hosted" in job.get("runs-on", ())]
        assert len(found) == 6
        for name, job in found:
            assert job["env"]["DOCKYARD_PLUGINS"] == "official", name
            checkout, ready = job["steps"][:2]
            assert checkout["with"]["clean"] is False, name
            assert ready["uses"] == "./.github/actions/stack-runner", name

    def test_production_is_cleaned_up_and_looked_at_after_that(self):
        runs = [step["run"] for step in workflow("cleanup")["jobs"]["clean-up"]["steps"] if "run" in step]
        assert [run.split()[1] for run in runs] == ["cleanup", "verify"]

    def test_a_pull_request_is_held_against_the_policies(self):
        (preview,) = [step for name, step in steps() if name.startswith("pull-request/preview/pulumi/actions@")]
        assert (ROOT / preview["with"]["policyPacks"] / "PulumiPolicy.yaml").is_file()

    def test_drift_is_looked_for_before_the_alert_of_a_missed_look(self):
        (said,) = [one["cron"].split() for one in workflow("drift")["on"]["schedule"]]
        assert said[2:] == ["*", "*", "*"], "every day"
        rules = yaml.safe_load((ROOT / "rules/drift.yml").read_text())["groups"]
        (missed,) = [rule for group in rules for rule in group["rules"] if rule.get("alert") == "DriftCheckMissed"]
        assert missed["threshold"] >= 2 * 86400


class TestRenovate:
    @pytest.fixture
    def said(self):
        return json.loads(RENOVATE.read_text())

    @pytest.fixture
    def references(self):
        table = load_images(ROOT / "components/images.yaml").images.values()
        return {image.reference for image in table if image.image}

    def test_every_image_is_found_with_its_tag_and_digest(self, said, references):
        (expression,) = next(
            manager["matchStrings"]
            for manager in said["customManagers"]
            if any(_matches(pattern, "components/images.yaml") for pattern in manager["managerFilePatterns"])
        )
        text = (ROOT / "components/images.yaml").read_text()
        matches = re.finditer(expression.replace("(?<", "(?P<"), text)
        images = {f"{match['depName']}:{match['currentValue']}": match["currentDigest"] for match in matches}
        assert {f"{image}@{digest}" if digest else image for image, digest in images.items()} == references

    def test_no_major_of_postgres_comes_by_itself(self, said, references):
        off = [rule for rule in said["packageRules"] if rule.get("enabled") is False and "major" in str(rule)]
        assert [rule["matchUpdateTypes"] for rule in off] == [["major"]]
        (pattern,) = off[0]["matchPackageNames"]
        names = {reference.partition("@")[0].rpartition(":")[0] for reference in references}
        assert {name for name in names if _matches(pattern, name)} == {"docker.io/library/postgres"}

    def test_nothing_is_merged_without_a_person(self, said):
        assert "automerge" not in RENOVATE.read_text()
        assert "helpers:pinGitHubActionDigests" in said["extends"]


def _matches(pattern: str, text: str) -> bool:
    """Tell whether one of Renovate's /patterns/ matches."""
    return re.search(pattern.removeprefix("/").removesuffix("/"), text) is not None

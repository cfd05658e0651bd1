"""What doctor finds on the dev stack, and that the engine refuses by the policy pack what a stack may not do."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from settings.machine import read_machine
from tests.support.checkout import MINUTES, SOURCE, run
from tests.support.stack import FirstUp, Stack

RUNNER = """\
#!/bin/sh
exec python -u -m pulumi.policy "$1" "$2"
"""
"""How the engine starts a pack of a language that it has no host of. The host of Python that can be built from Go
modules is older than what the engine asks of one, so that the pack is given another language's name here."""


def examine(dev: Stack) -> tuple[int, dict[str, Any]]:
    finished = dev.checkout.dockyard("doctor", "dev", "--json")
    return finished.code, json.loads(finished.output)


def test_nothing_of_the_dev_stack_fails_and_waivers_are_few(first_up: FirstUp, dev: Stack) -> None:
    code, report = examine(dev)
    failed = [item for item in [*report["findings"], *report["cis"]["items"]] if item["status"] == "failed"]
    assert not failed
    # 2: a machine whose clock nobody keeps, and from which nobody can be asked for the time.
    assert code in (0, 2)
    assert [item["topic"] for item in report["findings"] if item["status"] == "untold"] in ([], ["clock"])
    assert report["cis"]["waived"] <= 6
    assert all(item["reason"] for item in report["cis"]["items"] if item["status"] == "waived")
    assert not [item for item in report["findings"] if item["topic"] == "CIS waivers"]
    assert report["cis"]["containers"] == len(dev.running_ids) > 8
    assert report["seconds"] < first_up.finished.seconds


@pytest.fixture
def stranger(dev: Stack) -> Iterator[Container]:
    """A container that says it is of the stack, and is hardened in no way."""
    container = dev.client.containers.run(
        read_machine(dev.checkout.folder / ".dockyard/machine.yaml").images["busybox"],
        ["sleep", "600"],
        labels={"dockyard.stack": "dev", "dockyard.service": "stranger"},
        user="root",
        detach=True,
        pid_mode="host",
        cap_add=["NET_ADMIN"],
        volumes={"/etc": {"bind": "/host", "mode": "ro"}},
    )
    yield container
    container.remove(force=True)
    dev.restore()


@pytest.mark.usefixtures("stranger")
def test_doctor_finds_each_fault_of_an_unhardened_container(dev: Stack) -> None:
    code, report = examine(dev)
    assert code == 1
    offenders = {item["id"]: item["offenders"] for item in report["cis"]["items"] if item["status"] == "failed"}
    wrong = {"2.2", "2.14", "4.1", "4.6", "5.4", "5.6", "5.11", "5.12", "5.13", "5.16", "5.26", "5.27", "5.30"}
    # Alone on the default bridge it has nobody to talk to, but could.
    assert offenders.keys() == wrong
    assert all(names.keys() <= {"stranger", "engine"} for names in offenders.values())
    (rotation,) = [item for item in report["findings"] if item["topic"] == "log rotation"]
    assert (rotation["status"], "stranger" in rotation["found"]) == ("failed", True)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The policy pack, and beside it what starts it."""
    (tmp_path / "components").mkdir()
    shutil.copy(SOURCE / "components/images.yaml", tmp_path / "components")
    for package in ("policy", "runtime"):
        shutil.copytree(SOURCE / package, tmp_path / package)
    file = tmp_path / "policy/PulumiPolicy.yaml"
    file.write_text(file.read_text().replace("runtime: python", "runtime: dockyard"))
    runner = tmp_path / "bin/pulumi-analyzer-policy-dockyard"
    runner.parent.mkdir()
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    return tmp_path


def test_the_engine_refuses_by_the_pack_an_open_secret_alone(dev: Stack, pack: Path) -> None:
    secret = "https://hooks.slack.com/services/T0/B0/abc"
    text = dev.stack_file.read_text()
    environment = {**dev.checkout.environment, "PATH": f"{dev.checkout.environment['PATH']}:{pack / 'bin'}"}
    command = ["pulumi", "preview", "-s", "dev", "--policy-pack", str(pack / "policy"), "--non-interactive"]
    opened = text.replace("command: [frontend]", f'command: [frontend], env: {{HOOK: "{secret}"}}')
    with dev.edited({dev.stack_file: opened}):
        preview = run(command, dev.checkout.folder, environment, 5 * MINUTES)
    assert preview.code != 0
    violations = [line.strip() for line in preview.output.splitlines() if "[mandatory]" in line]
    assert len(violations) == 1, preview.output
    assert "no-secret-in-the-open" in violations[0] and "frontend" in violations[0]
    assert "variable HOOK contains a webhook" in preview.output

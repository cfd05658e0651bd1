"""What doctor says of the dev stack, and that the engine refuses by the policy pack what a stack may not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from settings.machine import read_machine
from tests.live.conftest import MINUTES, SOURCE, run

RUNNER = """\
#!/bin/sh
exec python -u -m pulumi.policy "$1" "$2"
"""
"""How the engine starts a pack of a language that it has no host of. The host of Python that can be built from Go
modules is older than what the engine asks of one, so that the pack is given another language's name here."""


def examined(dev) -> tuple[int, dict]:
    said = dev.dockyard("doctor", "dev", "--json")
    return said.code, json.loads(said.output)


def test_nothing_of_the_dev_stack_fails_and_waivers_are_few(dev):
    code, said = examined(dev)
    failed = [one for one in said["findings"] if one["status"] == "failed"]
    failed += [one for one in said["cis"]["items"] if one["status"] == "failed"]
    assert not failed
    # 2: a machine whose clock nobody keeps, and from which nobody can be asked for the time.
    assert code in (0, 2)
    assert [one["topic"] for one in said["findings"] if one["status"] == "untold"] in ([], ["clock"])
    assert said["cis"]["waived"] <= 6
    assert all(one["reason"] for one in said["cis"]["items"] if one["status"] == "waived")
    assert not [one for one in said["findings"] if one["topic"] == "CIS waivers"]
    running = dev.docker().containers.list(filters={"label": "dockyard.stack=dev"})
    assert said["cis"]["containers"] == len(running) > 8
    assert said["seconds"] < 30


@pytest.fixture
def stranger(dev):
    """A container that says it is of the stack, and keeps to nothing."""
    image = read_machine(dev.folder / ".dockyard/machine.yaml").images["busybox"]
    container = dev.docker().containers.run(
        image,
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


def test_a_container_that_keeps_to_nothing_is_found_by_each_of_its_faults(dev, stranger):
    code, said = examined(dev)
    assert code == 1
    found = {one["id"]: one["offenders"] for one in said["cis"]["items"] if one["status"] == "failed"}
    wrong = {"2.2", "2.14", "4.1", "4.6", "5.4", "5.6", "5.11", "5.12", "5.13", "5.16", "5.26", "5.27", "5.30"}
    # Alone on the default bridge it has nobody to talk to, but could.
    assert found.keys() == wrong
    assert all(one.keys() <= {"stranger", "engine"} for one in found.values())
    (rotation,) = [one for one in said["findings"] if one["topic"] == "log rotation"]
    assert (rotation["status"], "stranger" in rotation["found"]) == ("failed", True)


@pytest.fixture
def pack(tmp_path) -> Path:
    """The policy pack, and beside it what starts it."""
    (tmp_path / "components").mkdir()
    shutil.copy(SOURCE / "components/images.yaml", tmp_path / "components")
    shutil.copytree(SOURCE / "policy", tmp_path / "policy")
    file = tmp_path / "policy/PulumiPolicy.yaml"
    file.write_text(file.read_text().replace("runtime: python", "runtime: dockyard"))
    runner = tmp_path / "bin/pulumi-analyzer-policy-dockyard"
    runner.parent.mkdir()
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    return tmp_path


def test_the_engine_refuses_by_the_pack_what_a_stack_may_not_do_and_nothing_else(dev, pack):
    file = dev.folder / "Pulumi.dev.yaml"
    before = file.read_text()
    secret = "https://hooks.slack.com/services/T0/B0/abc"
    file.write_text(before.replace("command: [frontend]", f'command: [frontend], env: {{HOOK: "{secret}"}}'))
    assert file.read_text() != before
    environment = dev.environment
    environment["PATH"] += f":{pack / 'bin'}"
    command = ["pulumi", "preview", "-s", "dev", "--policy-pack", str(pack / "policy"), "--non-interactive"]
    try:
        seen = run(command, dev.folder, environment, 5 * MINUTES)
    finally:
        file.write_text(before)
    assert seen.code != 0
    told = [line.strip() for line in seen.output.splitlines() if "[mandatory]" in line]
    assert len(told) == 1, seen.output
    assert "no-secret-in-the-open" in told[0] and "frontend" in told[0]
    assert "variable HOOK holds a webhook" in seen.output

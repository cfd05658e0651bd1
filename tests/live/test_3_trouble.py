"""What goes wrong, and that it is told and mended."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from tests.live.conftest import clean_environment


@pytest.fixture
def stack_file(dev):
    """The text of Pulumi.dev.yaml, put back after the test."""
    file = dev.folder / "Pulumi.dev.yaml"
    before = file.read_text()
    yield file
    file.write_text(before)


def identities(dev) -> dict[str, str]:
    return {one.labels["dockyard.service"]: one.id for one in dev.docker().containers.list(all=True)}


def test_bad_input_ends_in_one_message_with_every_problem_and_nothing_is_created(dev, stack_file):
    stack_file.write_text(
        stack_file.read_text()
        + "  dockyard:monitorin: {}\n"
        + "  dockyard:alerts: {receivers: {ops: {type: gull}}, limits: {memory: 64}}\n"
    )
    before = identities(dev)
    for finished in (dev.dockyard("up", "dev"), dev.pulumi("up", "-s", "dev", "--yes", "--non-interactive")):
        assert finished.code != 0
        assert "config.dockyard:monitorin: found an unknown key" in finished.output
        assert "config.dockyard:alerts.limits.memory: found 64, expected a size with its unit" in finished.output
        assert 'config.dockyard:alerts.receivers.ops.type: found "gull", expected one of discord' in finished.output
        assert "Traceback" not in finished.output
    assert identities(dev) == before


def test_a_failed_migration_leaves_the_old_version_serving_and_shows_its_last_lines(dev, stack_file):
    good = stack_file.read_text()
    before = identities(dev)
    stack_file.write_text(
        good.replace("backend, --migrate]", 'backend, --migrate], env: {DEMO_MIGRATION_FAIL: "1"}').replace(
            "health_interval: 2s", "health_interval: 2s, wait_timeout: 15s"
        )
    )
    failed = dev.dockyard("up", "dev")
    assert failed.code != 0
    assert "asked_to_fail failed" in failed.output
    assert before["backend"] in {one.id for one in dev.docker().containers.list()}
    assert dev.get("backend", "/health/ready").status_code == 200

    stack_file.write_text(good)
    mended = dev.dockyard("up", "dev")
    assert mended.code == 0, mended.output
    assert dev.get("backend", "/health/ready").status_code == 200


def test_a_rule_that_is_changed_reaches_prometheus_without_a_restart(dev):
    rule = dev.folder / "rules/extra.yml"
    before = identities(dev)
    rule.write_text("groups: [{name: extra, rules: [{record: extra:one, expr: vector(1)}]}]\n")
    changed = dev.dockyard("up", "dev")
    assert changed.code == 0, changed.output
    assert "2 changes: 1 created, 1 removed" in changed.output
    assert identities(dev)["prometheus"] == before["prometheus"]
    groups = dev.get("prometheus", "/api/v1/rules").json()["data"]["groups"]
    assert "extra" in {group["name"] for group in groups}

    rule.write_text("groups: [{name: extra, rules: [{record: extra:one, expr: nonsense(}]}]\n")
    try:
        refused = dev.dockyard("up", "dev")
    finally:
        rule.unlink()
    assert refused.code != 0
    assert "extra.yml" in refused.output
    groups = dev.get("prometheus", "/api/v1/rules").json()["data"]["groups"]
    assert "extra" in {group["name"] for group in groups}, "the rules of before are still in force"

    assert dev.dockyard("up", "dev").code == 0


def descendants(pid: int) -> list[int]:
    """Return every process below one."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    below: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        below.setdefault(parent, []).append(child)
    found, queue = [], [pid]
    while queue:
        children = below.get(queue.pop(), [])
        found += children
        queue += children
    return found


@pytest.mark.parametrize("seconds", [3, 6])
def test_an_up_that_is_killed_is_mended_by_the_next(seconds, dev, stack_file):
    stack_file.write_text(
        stack_file.read_text()
        .replace("command: [backend, --migrate]", f'command: [backend, --migrate], env: {{RELEASE: "k{seconds}"}}')
        .replace("command: [frontend]", f'command: [frontend], env: {{RELEASE: "k{seconds}"}}')
    )
    started = subprocess.Popen(
        [str(dev.folder / "dockyard"), "up", "dev"],
        cwd=dev.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    for pid in [started.pid, *descendants(started.pid)]:
        with contextlib.suppress(ProcessLookupError):  # it ended with its parent
            os.kill(pid, signal.SIGKILL)
    started.wait()
    mended = dev.dockyard("up", "dev")
    assert mended.code == 0, mended.output
    services = [one.labels["dockyard.service"] for one in dev.docker().containers.list(all=True)]
    assert sorted(services) == sorted(set(services)), "nothing is left over"
    assert "\n0 changes in" in dev.dockyard("up", "dev").output

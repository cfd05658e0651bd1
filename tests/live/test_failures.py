"""What goes wrong, and that it is told and mended."""

import pytest


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

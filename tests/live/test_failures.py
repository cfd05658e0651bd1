"""Wrong settings, a failed migration and wrong rules: the command says so, and what ran before goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Stack
from tests.support.waiting import wait_until


def rule_groups(stack: Stack) -> set[str]:
    groups = stack.get("prometheus", "/api/v1/rules").json()["data"]["groups"]
    return {group["name"] for group in groups}


def test_bad_settings_end_in_every_problem_and_change_nothing(shop: Stack) -> None:
    before = shop.ids
    wrong = "  dockyard:monitorin: {}\n  dockyard:alerts: {receivers: {ops: {type: gull}}, limits: {memory: 64}}\n"
    with shop.edited({shop.stack_file: shop.stack_file.read_text() + wrong}):
        plain = shop.checkout.pulumi("up", "-s", "shop", "--yes", "--non-interactive")
        for finished in (shop.checkout.dockyard("up", "shop"), plain):
            assert finished.code != 0
            assert "config.dockyard:monitorin: found an unknown key" in finished.output
            assert "config.dockyard:alerts.limits.memory: found 64, expected a size with its unit" in finished.output
            assert 'config.dockyard:alerts.receivers.ops.type: found "gull", expected one of discord' in finished.output
            assert "Traceback" not in finished.output
        assert shop.ids == before


def test_a_failed_migration_leaves_the_old_version_and_is_shown(shop: Stack) -> None:
    old = shop.container("backend").id
    failing = shop.product_file.read_text().replace('PORT: "3333"', 'PORT: "3333", DEMO_MIGRATION_FAIL: "1"')
    with shop.edited({shop.product_file: failing, shop.stack_file: shop.impatient}):
        failed = shop.up()
        assert failed.code != 0
        assert "asked_to_fail failed" in failed.output
        assert old in shop.running_ids
        assert shop.get("backend", "/health/ready").status_code == 200
    # The end of the edit has mended it.
    assert shop.get("backend", "/health/ready").status_code == 200


@pytest.fixture
def extra_rules(shop: Stack) -> Iterator[Path]:
    """A file of rules that is in no stack yet; at the end it is removed from the checkout and the stack."""
    file = shop.checkout.folder / "rules/extra.yml"
    yield file
    file.unlink(missing_ok=True)
    shop.up().good()
    wait_until(lambda: "extra" not in rule_groups(shop), "Prometheus has no extra rules")


def test_a_changed_rule_reaches_prometheus_without_a_restart(shop: Stack, extra_rules: Path) -> None:
    before = shop.ids
    extra_rules.write_text("groups: [{name: extra, rules: [{record: extra:one, expr: vector(1)}]}]\n")
    changed = shop.up().good()
    assert "2 changes: 1 created, 1 removed" in changed.output
    assert shop.ids["prometheus"] == before["prometheus"]
    assert "extra" in rule_groups(shop)

    extra_rules.write_text("groups: [{name: extra, rules: [{record: extra:one, expr: nonsense(}]}]\n")
    refused = shop.up()
    assert refused.code != 0
    assert "extra.yml" in refused.output
    assert "extra" in rule_groups(shop), "the rules of before are still in force"

"""A stack that protects its data, as staging and production do: `down` deletes them by the stack's name alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.conftest import Finished
from tests.live.running import Running
from tests.live.test_3_interruptions import PRODUCT, SETTINGS

STACK = "vault"


@pytest.fixture(scope="module")
def vault(fresh_checkout) -> Iterator[Running]:
    """The small stack, in staging."""
    product, settings = (fresh_checkout.folder / name for name in (f"products/{STACK}.yaml", f"Pulumi.{STACK}.yaml"))
    product.write_text(PRODUCT.replace("name: bell", f"name: {STACK}"))
    settings.write_text(
        SETTINGS.replace("products/bell.yaml", f"products/{STACK}.yaml").replace("development", "staging")
        + "  dockyard:backups: {enabled: false}\n"
    )
    up = fresh_checkout.dockyard("up", STACK, limit=30 * 60)
    assert up.code == 0, up.output
    yield Running(fresh_checkout, STACK, Finished(up.code, up.output, up.seconds))
    settings.unlink()
    product.unlink()


def data(vault: Running) -> set[str]:
    """Return the names of the stack's data volumes."""
    return {
        one.name
        for one in vault.client.volumes.list(filters={"label": ["dockyard.volume=data", f"dockyard.stack={STACK}"]})
    }


def test_down_leaves_data_and_yes_alone_does_not_delete_them(vault):
    before = data(vault)
    assert before
    gone = vault.checkout.dockyard("down", STACK)
    assert gone.code == 0, gone.output
    assert vault.everything == before

    refused = vault.checkout.dockyard("down", STACK, "--volumes", "--yes")
    assert refused.code != 0
    assert "--yes alone does not delete it" in refused.output
    for name in before:
        assert f"volume {name}: " in refused.output, "what would go is told"
    assert vault.everything == before


def test_a_volume_that_something_else_uses_is_told_and_all_data_stay(vault):
    before = data(vault)
    name = min(before)
    image = vault.client.images.list()[0].id
    user = vault.client.containers.create(image, ["true"], name="of-somebody-else", volumes=[f"{name}:/theirs"])
    try:
        refused = vault.checkout.dockyard("down", STACK, "--volumes", "--yes-delete-data", STACK)
    finally:
        user.remove()
    assert refused.code != 0
    assert f"of-somebody-else uses {name}" in refused.output
    assert data(vault) == before


def test_the_stacks_name_deletes_them_from_the_engine_and_from_the_state(vault):
    gone = vault.checkout.dockyard("down", STACK, "--volumes", "--yes-delete-data", STACK)
    assert gone.code == 0, gone.output
    assert vault.everything == set()
    assert '"type": "docker:' not in vault.checkout.pulumi("stack", "export", "-s", STACK).output

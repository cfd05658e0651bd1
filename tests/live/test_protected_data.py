"""A stack that protects its data, as staging and production do: only the stack's name lets `down` delete them."""

from collections.abc import Iterator

import pytest

from tests.support.checkout import Checkout
from tests.support.stack import Stack, small_stack

DELETE = ("--volumes", "--yes-delete-data", "vault")


@pytest.fixture(scope="module")
def vault_stack(checkout: Checkout) -> Iterator[Stack]:
    """A small stack in staging, which need not be up."""
    with small_stack(
        checkout, "vault", environment="staging", settings=["dockyard:backups: {enabled: false}"]
    ) as vault:
        yield vault


@pytest.fixture
def vault(vault_stack: Stack) -> Stack:
    vault_stack.restore()
    return vault_stack


def data(vault: Stack) -> set[str]:
    labels = {"label": ["dockyard.volume=data", f"dockyard.stack={vault.name}"]}
    return {volume.name for volume in vault.client.volumes.list(filters=labels)}


def test_down_leaves_data_and_yes_alone_does_not_delete_them(vault: Stack) -> None:
    before = data(vault)
    assert before
    vault.down().good()
    assert vault.everything == before

    refused = vault.down("--volumes", "--yes")
    assert refused.code != 0
    assert "--yes alone does not delete it" in refused.output
    for name in before:
        assert f"volume {name}: " in refused.output, "it says what would be deleted"
    assert vault.everything == before


def test_a_volume_in_foreign_use_stops_down_then_the_name_deletes(vault: Stack) -> None:
    before = data(vault)
    name = min(before)
    image = vault.container("web").attrs["Image"]
    user = vault.client.containers.create(image, ["true"], name="of-somebody-else", volumes=[f"{name}:/theirs"])
    try:
        refused = vault.down(*DELETE)
    finally:
        user.remove()
    assert refused.code != 0
    assert f"of-somebody-else uses {name}" in refused.output
    assert data(vault) == before

    vault.down(*DELETE).good()
    assert vault.everything == set()
    assert '"type": "docker:' not in vault.checkout.pulumi("stack", "export", "-s", "vault").output

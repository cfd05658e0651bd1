"""The log store of a stack: the one that its files name, or the one that its machine has."""

import pytest

from settings.problems import SettingsError
from toolchain.images import substitute_log_store

LOKI = {"monitoring": {"logs": {"store": "loki", "loki": {"retention": "7d"}}}}


def with_log_store(tmp_path, store):
    (tmp_path / ".dockyard").mkdir(exist_ok=True)
    (tmp_path / ".dockyard/machine.yaml").write_text(f"log_store: {store}\n")


def test_settings_of_loki_need_a_store_that_is_named(shop_settings):
    with pytest.raises(SettingsError, match="store: loki as well, or settings of victorialogs"):
        shop_settings(product={"monitoring": {"logs": {"loki": {"retention": "7d"}}}})


def test_a_stack_file_may_name_another_store_than_its_product(shop_settings):
    settings = shop_settings(product=LOKI, stack={"monitoring": {"logs": {"store": "victorialogs"}}})
    assert settings.product.monitoring.logs.store == "victorialogs"


def test_a_machine_without_loki_runs_the_store_that_it_has_and_says_so_in_one_line(shop_settings, tmp_path):
    with_log_store(tmp_path, "victorialogs")
    product = {**LOKI, "publish": {"loki": 3100}, "networks": {"theirs": ["loki"]}}
    settings = shop_settings(product=product)
    logs = settings.product.monitoring.logs
    assert (logs.store, logs.victorialogs.retention) == ("victorialogs", 7 * 86400)
    assert {"victorialogs", "vmalert"} <= {*settings.image_names}
    assert settings.product.publish == {"victorialogs": 3100}
    assert settings.product.networks == {"theirs": ["victorialogs"]}
    (warning,) = settings.warnings
    assert 'monitoring.logs.store: found "loki"' in str(warning)
    assert "victorialogs runs instead" in str(warning)
    assert "\n" not in str(warning).strip()


def test_the_machines_store_changes_nothing_where_it_is_the_one_asked_for(shop_settings, tmp_path):
    with_log_store(tmp_path, "victorialogs")
    assert shop_settings().warnings == ()


@pytest.mark.parametrize(
    ("asked", "images", "store"),
    [
        (["loki"], {"victorialogs": "a", "vmalert": "b"}, "victorialogs"),
        (["loki"], {}, None),
        (["victorialogs", "vmalert"], {"victorialogs": "a", "vmalert": "b"}, None),
    ],
)
def test_a_store_stands_in_only_for_one_that_was_asked_for(asked, images, store):
    assert substitute_log_store(asked, images) == store

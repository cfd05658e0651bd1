"""The product itself: what is made of it, in which order, with which secrets."""

import pytest
import yaml

from components.app_services import AppServices, AppServicesConfig
from settings.product import Product
from tests.support.recording import record

PRODUCT = """
name: shop
services:
  api:
    image: registry/api:1
    health: {command: ["true"]}
    needs: [postgres, redis]
    secrets: [app-key]
jobs:
  migrate: {image: "registry/api:1", command: [migrate], needs: [postgres]}
postgres: {database: shop, user: shop_user, limits: {memory: 2GB}}
redis: {}
"""


@pytest.fixture
def app(make_context):
    def build_app(text: str = PRODUCT, secrets=None, exit_codes=None, **context):
        def program():
            product = Product.model_validate(yaml.safe_load(text))
            config = AppServicesConfig(product, make_context(**context), lambda name: f"image-of-{name}", None)
            AppServices("shop-app", config)

        return record(program, secrets=secrets, exit_codes=exit_codes)

    return build_app


def test_a_product_without_stores_and_jobs_makes_neither(app):
    world = app("name: shop\nservices:\n  web: {image: 'r/web:1', health: {command: ['true']}}\n")
    assert [one.name for one in world.containers] == ["shop-app-web"]
    assert not world.of("Volume")


def test_a_failed_migration_starts_no_service(app):
    with pytest.raises(Exception, match="shop-app-migrate ended with exit code 1"):
        app(exit_codes={"shop-app-migrate": 1})


def test_a_secret_that_is_configured_is_not_generated(app):
    world = app(secrets={"postgres-password": "given", "app-key": "key"})
    assert "shop-app-postgres-password" not in world
    assert "shop-app-app-key" not in world
    assert world["shop-app-postgres-secrets-writer"].files["/dockyard/files/postgres-password"] == "given"


def test_no_generated_or_given_secret_is_seen_outside_secret_inputs(app):
    world = app(secrets={"app-key": "given-app-key"})
    for one in world.containers:
        plain = {key: value for key, value in one.inputs.items() if key not in {"uploads", "labels"}}
        assert "generated-" not in str(plain), one.name
        assert "given-app-key" not in str(plain), one.name
        for path in one.files:
            assert one.secrets, f"{path} of {one.name} is not marked secret"


@pytest.mark.parametrize("protects", [True, False])
def test_data_volumes_are_protected_outside_development(protects, app):
    world = app(protects_data=protects)
    for name in ("shop-app-postgres-data", "shop-app-redis-data"):
        assert (world[name].protect, world[name].retain_on_delete) == (protects, protects)

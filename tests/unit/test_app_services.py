"""The product itself: what is made of it, in which order, with which secrets."""

import pytest
import yaml

from components.app_services import AppServices, AppServicesConfig
from components.edge_proxy import EdgeProxy, EdgeProxyConfig, Front
from settings.edge import Edge
from settings.product import Product
from tests.support.recording import record

PRODUCT = """
name: shop
services:
  api:
    image: registry/api:1
    port: 8000
    metrics: /metrics
    health: {http: /ready, interval: 7s}
    limits: {cpus: 2, memory: 2GB, reserved: 1GB}
    needs: [postgres, redis]
    secrets: [app-key]
    env: {MODE: full}
    after: [migrate]
  web:
    image: registry/web:1
    command: [serve]
    port: 3000
    health: {tcp: true}
    user: "1234:1234"
    after: [api]
jobs:
  migrate: {image: "registry/api:1", command: [migrate], needs: [postgres]}
postgres: {database: shop, user: shop_user, max_connections: 50, shared_buffers: 256MB, limits: {memory: 1GB}}
redis: {maxmemory: 100MB, limits: {memory: 200MB}}
"""


def image_of(name: str) -> str:
    return f"image-of-{name}"


@pytest.fixture
def app(make_context):
    def build_app(text: str = PRODUCT, secrets=None, exit_codes=None, rolled_back=False, **context):
        def program():
            product = Product.model_validate(yaml.safe_load(text))
            made = make_context(**context)
            fronts = [Front(name, one.port) for name, one in product.services.items() if one.port]
            edge = EdgeProxy("edge", EdgeProxyConfig(Edge(), made, image_of, fronts, None, None)) if fronts else None
            AppServices("shop-app", AppServicesConfig(product, made, image_of, edge, rolled_back))

        world = record(program, secrets=secrets, exit_codes=exit_codes)
        world.switches = {one.name: one for one in world.resources if one.parent == "edge"}
        world.resources = [one for one in world.resources if one.parent != "edge" and one.name != "edge"]
        return world

    return build_app


def test_each_service_job_and_store_is_made_once_under_the_component(app):
    world = app()
    services = {one.label("dockyard.service") for one in world.containers if not one.name.endswith("-writer")}
    assert services == {"api", "web", "migrate", "dump-before-migrate", "postgres", "redis"}
    assert {one.parent for one in world.resources if one.type != "dockyard:app_services:AppServices"} == {"shop-app"}
    assert "shop-app-postgres-dump-before-migrate" in world


def test_a_product_without_stores_and_jobs_makes_neither(app):
    world = app("name: shop\nservices:\n  web: {image: 'r/web:1', port: 80, health: {tcp: true}}\n")
    assert [one.name for one in world.containers] == ["shop-app-web"]
    assert not world.of("Volume")


def test_the_order_is_stores_then_migration_then_backend_then_frontend(app):
    world = app()
    assert "shop-app-postgres" in world["shop-app-migrate"].depends_on
    assert {"shop-app-migrate", "shop-app-postgres", "shop-app-redis"} <= world["shop-app-api"].depends_on
    assert "edge-api-writer" in world["shop-app-web"].depends_on, "the edge leads to it, and only then to what needs it"
    assert "shop-app-api" in world.switches["edge-api-writer"].depends_on


def test_a_failed_migration_starts_no_service(app):
    with pytest.raises(Exception, match="shop-app-migrate ended with exit code 1"):
        app(exit_codes={"shop-app-migrate": 1})


def test_every_store_waits_for_its_secret_files(app):
    world = app()
    assert "shop-app-postgres-secrets-writer" in world["shop-app-postgres"].depends_on
    assert "shop-app-redis-config-writer" in world["shop-app-redis"].depends_on


def test_workloads_learn_of_their_stores_by_variables_that_hold_no_secret(app):
    env = app()["shop-app-api"].env
    assert env == {
        "DATABASE_HOST": "postgres",
        "DATABASE_PORT": "5432",
        "DATABASE_NAME": "shop",
        "DATABASE_USER": "shop_user",
        "DATABASE_PASSWORD_FILE": "/run/secrets/database-password",
        "DATABASE_URL_FILE": "/run/secrets/database-url",
        "REDIS_HOST": "redis",
        "REDIS_PORT": "6379",
        "REDIS_PASSWORD_FILE": "/run/secrets/redis-password",
        "REDIS_URL_FILE": "/run/secrets/redis-url",
        "APP_KEY_FILE": "/run/secrets/app-key",
        "MODE": "full",
    }


def test_a_service_that_needs_nothing_gets_no_secret_and_no_volume(app):
    world = app()
    assert world["shop-app-web"].env == {}
    assert "mounts" not in world["shop-app-web"].inputs
    assert "shop-app-web-secrets" not in world


def test_secret_files_hold_the_generated_values_and_belong_to_the_service(app):
    world = app()
    files = {path.rsplit("/", 1)[1]: content for path, content in world["shop-app-api-secrets-writer"].files.items()}
    password = "generated-shop-app-postgres-password"
    assert files == {
        "app-key": "generated-shop-app-app-key",
        "database-password": password,
        "database-url": f"postgresql://shop_user:{password}@postgres:5432/shop",
        "redis-password": "generated-shop-app-redis-password",
        "redis-url": "redis://:generated-shop-app-redis-password@redis:6379",
    }
    assert "chown -- 1001:1001" in world["shop-app-api-secrets-writer"].inputs["command"][0]


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


def test_generated_values_are_secret_outputs(app):
    generated = app().of("Resource")
    assert {one.name for one in generated} == {
        "shop-app-postgres-password",
        "shop-app-redis-password",
        "shop-app-app-key",
    }


def test_limits_reservations_user_and_health_are_those_of_the_product_file(app):
    made = app()["shop-app-api"].inputs
    assert (made["memory"], made["memoryReservation"], made["cpus"]) == (2048, 1024, "2.0")
    assert made["user"] == "1001:1001"
    assert made["healthcheck"]["interval"] == "7s"
    assert "http://127.0.0.1:8000/ready" in made["healthcheck"]["tests"][-1]


def test_postgres_and_redis_get_the_settings_of_the_product_file(app):
    world = app()
    command = " ".join(world["shop-app-postgres"].inputs["command"])
    assert "shared_buffers=256MB" in command
    assert "max_connections=50" in command
    assert world["shop-app-postgres"].inputs["shmSize"] == 256
    assert "shmSize" not in world["shop-app-redis"].inputs
    config = world["shop-app-redis-config-writer"].files["/dockyard/files/redis.conf"]
    assert "maxmemory 100mb" in config
    assert "maxmemory-policy allkeys-lru" in config


def test_data_volumes_survive_whatever_changes_in_the_program(app):
    made = app()["shop-app-postgres-data"]
    assert {"labels", "name", "driver", "driverOpts"} == set(made.ignore_changes)


@pytest.mark.parametrize("protects", [True, False])
def test_data_volumes_are_protected_outside_development(protects, app):
    world = app(protects_data=protects)
    for name in ("shop-app-postgres-data", "shop-app-redis-data"):
        assert (world[name].protect, world[name].retain_on_delete) == (protects, protects)


def test_a_data_store_is_never_run_twice_on_its_volume(app):
    world = app()
    assert world["shop-app-postgres"].delete_before_replace
    assert world["shop-app-redis"].delete_before_replace
    assert not world["shop-app-api"].delete_before_replace


def test_nothing_is_published(app):
    assert not any("ports" in one.inputs for one in app().containers)


def test_only_what_has_metrics_is_on_the_monitoring_network(app):
    world = app()
    networks = {
        one.label("dockyard.service"): {item["name"] for item in one.inputs["networksAdvanced"]}
        for one in world.containers
        if not one.name.endswith("-writer")
    }
    assert networks["api"] == {"app-net", "monitoring-net"}
    assert networks["web"] == {"app-net"}
    assert networks["migrate"] == {"app-net"}

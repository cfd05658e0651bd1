"""What becomes of the variables that say where Postgres and Redis are."""

import pytest

from tests.support.dotenv import PRODUCT, STACK


def test_another_postgres_becomes_external_with_its_address_as_a_secret(shop):
    url = "postgresql://app:s3cret@db.example:5433/shop?sslmode=require"
    answers = shop.take(f"DATABASE_URL={url}\nDATA_SOURCE_NAME={url}\nPOSTGRES_USER=app\nPOSTGRES_DB=other\n")
    assert answers["DATABASE_URL"] == "secret set: dockyard:postgres-dsn, named by postgres.external.dsn"
    assert answers["DATA_SOURCE_NAME"] == "unchanged: the same as DATABASE_URL"
    assert answers["POSTGRES_USER"] == "unchanged: part of DATABASE_URL"
    assert answers["POSTGRES_DB"].startswith("differs")
    assert shop.config["dockyard:postgres"] == {"external": {"dsn": "postgres-dsn"}}
    assert shop.secrets == {"postgres-dsn": url}


def test_an_external_postgres_keeps_the_name_of_its_secret(shop):
    shop.stack_file.write_text(STACK + "  dockyard:postgres: {external: {dsn: their-dsn}}\n")
    shop.take("DATABASE_URL=postgresql://app:s3cret@db.example/shop\n")
    assert shop.secrets == {"their-dsn": "postgresql://app:s3cret@db.example/shop"}


def test_parts_alone_name_an_external_postgres_too(shop):
    answers = shop.take("POSTGRES_HOST=db.example\nPOSTGRES_USER=app\nPOSTGRES_PASSWORD=p@ss/word\nPOSTGRES_DB=shop\n")
    assert shop.secrets == {"postgres-dsn": "postgresql://app:p%40ss%2Fword@db.example:5432/shop"}
    assert answers["POSTGRES_PASSWORD"] == "unchanged: part of POSTGRES_HOST"


def test_half_of_an_external_postgres_is_left_out_with_what_is_missing(shop):
    answers = shop.take("POSTGRES_HOST=db.example\nPOSTGRES_USER=app\n")
    expected = "skipped: an external Postgres needs POSTGRES_PASSWORD, POSTGRES_DB too"
    assert (answers["POSTGRES_HOST"], answers["POSTGRES_USER"]) == (expected, "skipped: see POSTGRES_HOST")


def test_the_products_own_postgres_is_compared_with_the_product_file(shop):
    given = "POSTGRES_HOST=postgres\nPOSTGRES_PORT=5433\nPOSTGRES_USER=root\nPOSTGRES_DB=shop\nPOSTGRES_PASSWORD=pw\n"
    answers = shop.take(given)
    assert shop.secrets == {"postgres-password": "pw"}
    assert answers["POSTGRES_HOST"].startswith("unchanged")
    assert answers["POSTGRES_PORT"] == "unchanged: publish.postgres: 5433, on this machine"
    assert answers["POSTGRES_USER"].startswith(
        "differs: postgres.user is shop, not root: change it in products/shop.yaml"
    )
    assert answers["POSTGRES_DB"] == "unchanged: postgres.database: shop, from products/shop.yaml"
    assert "dockyard:publish: {postgres: 6000}" in shop.take("POSTGRES_PORT=6000\n")["POSTGRES_PORT"]


def test_two_passwords_for_one_postgres_differ(shop):
    answers = shop.take("DATABASE_URL=postgresql://shop:one@postgres/shop\nPOSTGRES_PASSWORD=two\n")
    assert answers["POSTGRES_PASSWORD"] == "differs: not used: DATABASE_URL sets another dockyard:postgres-password"
    assert shop.secrets == {"postgres-password": "one"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("DATABASE_URL=mysql://app:s3cret@db.example/shop", "not an address of the form postgresql://"),
        ("DATABASE_URL=postgresql://app:s3cret@localhost/shop", "in a container this is the container itself"),
        ("REDIS_URL=rediss://cache.example:6379", "not an address of the form redis://"),
        ("REDIS_ADDR=localhost:6379", "in a container this is the container itself"),
    ],
)
def test_an_address_that_cannot_be_used_is_left_out_with_the_reason(shop, line, why):
    (text,) = shop.take(line + "\n").values()
    assert text.startswith(f"skipped: {why}")
    assert "s3cret" not in shop.printed


def test_somebody_elses_redis_becomes_external(shop):
    answers = shop.take("REDIS_URL=redis://:s3cret@cache.example:6380/0\n")
    assert answers["REDIS_URL"].startswith("set: redis.external.address: cache.example:6380 / secret set")
    wanted = {"external": {"address": "cache.example:6380", "password": "redis-password"}}
    assert (shop.config["dockyard:redis"], shop.secrets) == (wanted, {"redis-password": "s3cret"})


def test_an_external_redis_that_moves_is_written_in_full(shop):
    shop.product_file.write_text(
        PRODUCT.replace("redis: {}", "redis: {external: {address: 'old.example:6379', password: cache-password}}")
    )
    shop.take("REDIS_ADDR=new.example:6379\nREDIS_PASSWORD=s3cret\n")
    wanted = {"external": {"address": "new.example:6379", "password": "cache-password"}}
    assert (shop.config["dockyard:redis"], shop.secrets) == (wanted, {"cache-password": "s3cret"})


def test_the_products_own_redis_takes_a_password_and_no_address(shop):
    answers = shop.take("REDIS_URL=redis://redis:6379/1\nREDIS_PASSWORD=s3cret\n")
    assert "differs: the product's own Redis is at redis:6379, database 0" in answers["REDIS_URL"]
    assert shop.secrets == {"redis-password": "s3cret"}
    assert "dockyard:redis" not in shop.config


def test_values_of_own_stores_differ_where_the_stack_has_external_ones(shop):
    external = "  dockyard:postgres: {external: {dsn: their-dsn}}\n  dockyard:redis: {external: {address: 'c:1'}}\n"
    shop.stack_file.write_text(STACK + external)
    answers = shop.take("POSTGRES_PASSWORD=s3cret\nREDIS_URL=redis://:s3cret@redis:6379\n")
    assert answers["POSTGRES_PASSWORD"].startswith("differs: this stack uses an external Postgres")
    assert answers["REDIS_URL"].startswith("differs: this stack uses an external Redis")
    assert shop.secrets == {}


def test_a_product_without_stores_knows_no_such_variable(shop):
    shop.product_file.write_text("name: shop\nservices: {api: {image: demo, port: 1, health: {tcp: true}}}\n")
    answers = shop.take("DATABASE_URL=postgresql://a:s3cret@db.example/shop\nREDIS_PASSWORD=s3cret\n")
    assert list(answers.values()) == ["unknown: shop has no Postgres", "unknown: shop has no Redis"]

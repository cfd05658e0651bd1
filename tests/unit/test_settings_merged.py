"""What a product file and a stack file say of the same thing: what wins, and what is told where the two do not fit."""

import re

import pytest

from settings.loader import Configuration, load, read_stack_file
from tests.unit.checkouts import make, problems, read, say


@pytest.fixture
def checkout(tmp_path):
    return make(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dockyard:publish: {apii: 8000}", "expected one of alertmanager, api, blackbox-exporter, cadvisor, grafana"),
        ("dockyard:publish: {api: 8000, grafana: 8000}", "a unique port (api uses this one)"),
        ("dockyard:services: {aip: {image: demo}}", 'config.dockyard:services.aip: found "aip", expected one of api'),
        ("dockyard:services: {api: {image: nothing}}", "expected registry/name:tag, or one of"),
        ("dockyard:docker: {mirror: 'http://x'}", "docker.mirror"),
    ],
)
def test_what_the_stack_says_of_the_product_must_fit_it(line, message, checkout):
    say(checkout, f"  {line}\n")
    found = "\n".join(problems(checkout))
    assert message in found
    assert "Pulumi.dev.yaml:5" in found


@pytest.mark.parametrize("declared", ["redis: x", "jobs: {migrate: null}", "jobs: {1: {image: demo}}"])
def test_a_wrong_value_of_the_product_is_reported_there_although_the_stack_overrides_it(declared, checkout):
    stack = (
        "  dockyard:services: {migrate: {enabled: false}, zzz: {image: demo}}\n  dockyard:redis: {maxmemory: 64MB}\n"
    )
    say(checkout, stack, f"{declared}\n")
    assert any("products/" in problem and declared.partition(":")[0] in problem for problem in problems(checkout))


def test_an_environment_changes_only_what_it_names(checkout):
    say(checkout, "  dockyard:services: {api: {image: demo, env: {A: '1'}}}\n")
    service = read(checkout).product.services["api"]
    assert service.image == "demo"
    assert service.env == {"A": "1"}
    assert service.limits.memory == 512


def test_sections_that_stand_in_both_files_are_merged_and_the_stack_wins(checkout):
    say(
        checkout,
        "  dockyard:publish: {grafana: 3002}\n  dockyard:monitoring: {prometheus: {limits: {memory: 2GB}}}\n",
        "publish: {api: 8000, grafana: 3001}\n"
        "monitoring: {prometheus: {retention: 7d, limits: {memory: 1GB, cpus: 0.5}}}\n",
    )
    product = read(checkout).product
    assert product.publish == {"api": 8000, "grafana": 3002}
    assert product.monitoring.prometheus.retention == 7 * 86400
    assert (product.monitoring.prometheus.limits.memory, product.monitoring.prometheus.limits.cpus) == (2048, 0.5)


def test_what_is_not_enabled_is_left_out_and_nobody_waits_for_it(checkout):
    say(
        checkout,
        "  dockyard:services: {web: {enabled: false}, migrate: {enabled: false}}\n",
        "    after: [migrate]\n"
        "  web: {image: 'r.x/web:1', port: 80, health: {tcp: true}, after: [api]}\n"
        "jobs: {migrate: {image: 'r.x/api:1'}}\n"
        "publish: {web: 8080}\n",
    )
    product = read(checkout).product
    assert set(product.services) == {"api"}
    assert product.jobs == {}
    assert product.services["api"].after == []
    assert product.publish == {}


def test_an_environment_can_use_a_postgres_that_somebody_else_runs(checkout):
    external = "  dockyard:postgres: {external: {dsn: shop-database}}\n"
    say(checkout, external, "postgres: {database: shop, user: shop}\n")
    assert any("dockyard:shop-database: found nothing" in problem for problem in problems(checkout))
    given = read_stack_file(checkout, "dev")
    settings = load(Configuration(given.values, frozenset({"shop-database"})), "dev", checkout=checkout)
    assert settings.product.own_postgres is None
    assert "postgres" not in settings.image_names
    assert "postgres-exporter" in settings.image_names


def test_a_change_of_the_stack_that_does_not_fit_the_product_is_told_at_its_place(checkout):
    say(
        checkout,
        "  dockyard:postgres: {limits: {memory: 512MB}}\n"
        "  dockyard:services: {api: {secrets_as_env: true}}\n"
        "  dockyard:redis: {maxmemory: 100MB}\n",
        "postgres: {database: shop, user: shop}\n",
    )
    found = "\n".join(problems(checkout))
    assert re.search(r"Pulumi.dev.yaml:5: config.dockyard:postgres: .*expected shared_buffers below", found), found
    assert re.search(r"Pulumi.dev.yaml:6: config.dockyard:services.api: .*expected a command in", found), found
    assert re.search(r"Pulumi.dev.yaml:7: config.dockyard:redis: .*expected a product with redis", found), found


def test_what_does_not_fit_the_product_file_is_told_where_it_stands_in_the_stack_file(checkout):
    acme = "  dockyard:edge: {tls: {acme: {email: ops@shop.test}}}\n"
    say(checkout, acme, "edge: {tls: {certificate: cert, key: cert-key}}\n")
    told = [problem for problem in problems(checkout) if "either acme or certificate, not both" in problem]
    assert len(told) == 1
    assert told[0].startswith("Pulumi.dev.yaml:5: config.dockyard:edge.tls: found ")
    say(checkout, "  dockyard:services: {api: {env: {A: '1'}}}\n", "    secrets_as_env: true\n")
    assert any(problem.startswith("products/shop.yaml:4: services.api: found ") for problem in problems(checkout))


def test_a_receiver_of_another_type_takes_the_place_of_the_products_whole(checkout):
    say(
        checkout,
        "  dockyard:alerts: {receivers: {ops: {type: webhook, url: hook, environments: [development]}}}\n"
        "  dockyard:hook: {secure: abc}\n",
        "alerts: {receivers: {ops: {type: slack, webhook: hook, channel: '#ops', environments: [development]}}}\n",
    )
    ops = read(checkout).product.alerts.receivers["ops"]
    assert ops.model_dump(exclude_unset=True) == {"type": "webhook", "url": "hook", "environments": ["development"]}

"""Stack and product files: what they mean, and what is said of those that are wrong."""

import re
from types import SimpleNamespace

import pytest

from ops.deploy.host import check_host
from settings.loader import Configuration, from_pulumi_config, load, read_stack_file
from settings.machine import Machine, write_machine
from settings.problems import SettingsError
from tests.unit.checkouts import PRODUCT, STACK, make, problems, read, say


@pytest.fixture
def checkout(tmp_path):
    return make(tmp_path)


def test_all_problems_of_both_files_are_told_at_once_with_file_line_path_found_and_expected(checkout):
    (checkout / "Pulumi.dev.yaml").write_text(
        STACK
        + """\
  dockyard:publishing: {api: 8000}
  dockyard:monitoring: {prometheus: {retention: 30 days}}
  dockyard:alerts:
    receivers: {ops: {type: slack, webhook: ops, channell: "#ops"}, sea: {type: gull}}
"""
    )
    (checkout / "products/shop.yaml").write_text(PRODUCT.replace("512MB", "512").replace("http: /ready", "htp: /ready"))
    found = problems(checkout)
    for pattern in (
        r"^Pulumi.dev.yaml:5: config.dockyard:publishing: found an unknown key, .*Did you mean publish\?",
        r'^Pulumi.dev.yaml:6: .*prometheus.retention: found "30 days", expected a time with its unit',
        r"^Pulumi.dev.yaml:8: .*:alerts.receivers.ops.channell: found an unknown key.*mean channel\?",
        r'^Pulumi.dev.yaml:8: .*alerts.receivers.sea.type: found "gull", expected one of discord, sl',
        r"^products/shop.yaml:8: services.api.limits.memory: found 512, expected a size with its unit",
        r"^products/shop.yaml:7: services.api.health.htp: found an unknown key.*mean http",
    ):
        assert any(re.search(pattern, text) for text in found), (pattern, found)


RECEIVERS = """\
  dockyard:alerts:
    receivers:
      ops: {type: discord, webhook: ops, environments: [development]}
      mail:
        {type: email, to: [a@b.c], from: d@e.f, smarthost: h:25, username: u, password: pw, environments: [development]}
      pager: {type: pagerduty, routing_key: pager}
"""


def test_a_missing_secret_is_told_with_the_command_that_sets_it_and_every_other_problem(checkout):
    say(checkout, RECEIVERS + "  dockyard:oops: 1\n")
    _, ops, _ = found = sorted(problems(checkout))
    assert "Pulumi.dev.yaml:7: config.dockyard:ops: found nothing" in ops
    assert "pulumi config set --secret dockyard:ops -s dev" in ops
    assert all(any(f"dockyard:{key}:" in text for text in found) for key in ("oops", "pw"))


def test_a_stack_can_let_its_previews_go_on_without_secrets_but_never_its_ups(checkout):
    say(checkout, "  dockyard:preview_without_secrets: true\n" + RECEIVERS)
    assert len(read(checkout, preview=True).missing_secrets) == 2
    assert len(problems(checkout)) == 2


def test_a_given_secret_is_no_problem_and_its_value_is_never_read(checkout):
    say(checkout, RECEIVERS + "  dockyard:ops: {secure: abc}\n  dockyard:pw: {secure: def}\n")
    settings = read(checkout)
    assert "abc" not in repr(settings)


def test_a_secret_that_nothing_asks_for_is_told_since_its_name_is_likely_mistyped(checkout):
    given = Configuration(
        {"product": "products/shop.yaml", "environment": "development"}, frozenset({"grafana-pasword"})
    )
    with pytest.raises(SettingsError, match=r"dockyard:grafana-pasword: found a secret that no setting uses"):
        load(given, "dev", checkout=checkout)
    given = Configuration(given.values, frozenset({"grafana-admin-password"}))
    assert load(given, "dev", checkout=checkout).missing_secrets == ()


def host(cores: int, *networks: str):
    """A Docker engine's answers, as far as they are asked for."""
    found = [SimpleNamespace(name=name) for name in networks]
    return SimpleNamespace(info=lambda: {"NCPU": cores}, networks=SimpleNamespace(list=lambda: found))


def test_what_the_host_does_not_have_is_told_with_its_place(checkout):
    (checkout / "Pulumi.dev.yaml").write_text(
        STACK
        + "  dockyard:monitoring: {prometheus: {limits: {memory: 512MB, cpus: 5}}}\n"
        + "  dockyard:networks: {dokploy-network: [prometheus]}\n"
    )
    (checkout / "products/shop.yaml").write_text(PRODUCT.replace("{memory: 512MB}", "{memory: 512MB, cpus: 4}"))
    settings = read(checkout)
    check_host(settings, host(8, "dokploy-network"))
    with pytest.raises(SettingsError) as caught:
        check_host(settings, host(2))
    assert {str(problem) for problem in caught.value.problems} == {
        "products/shop.yaml:8: services.api.limits.cpus: found 4, expected at most 2, the cores of this Docker host",
        "Pulumi.dev.yaml:5: config.dockyard:monitoring.prometheus.limits.cpus: found 5,"
        " expected at most 2, the cores of this Docker host",
        "Pulumi.dev.yaml:6: config.dockyard:networks.dokploy-network: found no network dokploy-network on this"
        " Docker host, expected an external network. Create it: docker network create dokploy-network",
    }


def test_settings_that_are_secret_are_refused(checkout):
    configuration = Configuration(
        {"product": "products/shop.yaml", "environment": "development"}, frozenset({"publish"})
    )
    with pytest.raises(SettingsError, match=r"dockyard:publish: found a secret, expected a plain value"):
        load(configuration, "dev", checkout=checkout)


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (PRODUCT.replace("{memory: 512MB}", "{memory: 512MB, reserved: 1GB}"), "the limit of 512MB, not 1GB"),
        (PRODUCT.replace("512MB", "2MB"), "at least 6MB"),
        (PRODUCT.replace("{memory: 512MB}", "{memory: 1GB, cpus: 0}"), "services.api.limits.cpus: found 0"),
        (PRODUCT + "postgres: {database: shop, user: shop, limits: {memory: 512MB}}\n", "shared_buffers below"),
        (PRODUCT + "redis: {maxmemory: 1GB}\n", "maxmemory below the memory limit of 512MB, not 1GB"),
        (
            PRODUCT + "postgres: {database: shop, user: shop, limits: {memory: 1}}\n",
            "yaml:9: postgres.limits.memory: found 1",
        ),
        (
            PRODUCT + "postgres: {external: {dns: x}}\n",
            "postgres.external.dns: found an unknown key, expected one of dsn",
        ),
        (PRODUCT + "    needs: [postgres]\n", 'services.api.needs[0]: found "postgres", expected a configured data'),
        (PRODUCT + "    after: [migrat]\njobs: {migrate: {image: 'r.x/api:1'}}\n", "expected one of migrate"),
        (PRODUCT + "    after: [api]\n", "an order without a cycle"),
        (PRODUCT.replace("api:\n", "redis:\n"), "another name"),
        (PRODUCT.replace("registry.example/api:1", "api"), "expected registry/name:tag"),
        (PRODUCT.replace("port: 8000", "port: 80000"), "less than or equal to 65535"),
        (PRODUCT.replace("http: /ready", "http: /ready, tcp: true"), "exactly one of http, tcp and command"),
        ("name: shop\n", "services: found nothing, expected a value"),
        ("name: [", "expected YAML"),
        ("- a\n", "expected a mapping"),
    ],
)
def test_what_cannot_be_is_told_with_what_is_expected(product, message, checkout):
    (checkout / "products/shop.yaml").write_text(product)
    found = "\n".join(problems(checkout))
    assert message in found
    assert "products/shop.yaml" in found


def test_an_unknown_stack_and_an_unknown_product_are_told_with_the_known_ones(checkout):
    with pytest.raises(SettingsError, match="Known stacks: dev"):
        read_stack_file(checkout, "prod")
    (checkout / "Pulumi.dev.yaml").write_text(STACK.replace("shop.yaml", "shap.yaml"))
    assert "Products here: products/shop.yaml" in problems(checkout)[0]


def test_the_engine_and_the_file_give_the_same_settings(checkout):
    say(checkout, "  dockyard:publish: {api: 8000}\n  dockyard:preview_without_secrets: true\n  other:key: 1\n")
    by_engine = from_pulumi_config(
        {
            "dockyard:product": "products/shop.yaml",
            "dockyard:environment": "development",
            "dockyard:publish": '{"api":8000}',
            "dockyard:preview_without_secrets": "true",
            "dockyard:postgres-password": "hush",
            "other:key": "1",
        },
        frozenset({"dockyard:postgres-password"}),
    )
    assert by_engine.secrets == {"postgres-password"}
    assert load(by_engine, "dev", checkout=checkout).stack == read(checkout).stack


class TestImages:
    def test_an_image_is_the_machines_or_the_mirrors_or_the_official_one(self, checkout):
        assert read(checkout).image("prometheus").startswith("docker.io/prom/prometheus:v")
        say(checkout, "  dockyard:docker: {mirror: 'mirror.example:5000'}\n")
        assert read(checkout).image("prometheus").startswith("mirror.example:5000/prom/prometheus:v")
        write_machine(checkout / ".dockyard/machine.yaml", Machine(images={"prometheus": "127.0.0.1:5/p:1"}))
        assert read(checkout).image("prometheus") == "127.0.0.1:5/p:1"

    def test_everything_the_stack_runs_is_named_for_fetching(self, checkout):
        names = read(checkout).image_names
        assert {"prometheus", "grafana", "registry.example/api:1"} <= set(names)
        assert not {"postgres", "redis", "cloudflared"} & set(names)


def test_the_port_offset_of_the_machine_is_added_to_every_published_port(checkout):
    say(checkout, "  dockyard:publish: {api: 8000}\n")
    write_machine(checkout / ".dockyard/machine.yaml", Machine(port_offsets={"dev": 100}))
    settings = read(checkout)
    assert settings.port("api") == 8100
    assert settings.port("grafana") is None


def test_the_content_of_further_files_becomes_part_of_the_release(checkout):
    (checkout / "products/api.conf").write_text("mode: full\n")
    say(checkout, product="    files: {/etc/api/api.conf: {source: products/api.conf}}\n")
    settings = read(checkout)
    assert settings.product.services["api"].files["/etc/api/api.conf"].content == "mode: full\n"
    assert settings.release.product["services"]["api"]["files"]["/etc/api/api.conf"] == {"content": "mode: full\n"}
    (checkout / "products/api.conf").unlink()
    assert any("files./etc/api/api.conf.source: found a file that does not exist" in one for one in problems(checkout))


def test_a_release_that_is_given_runs_in_place_of_what_the_files_say(checkout, monkeypatch, tmp_path):
    earlier = read(checkout).release
    file = tmp_path / "release.json"
    images = {"registry.example/api:1": "registry.example/api:1@old"}
    file.write_text(earlier.model_copy(update={"images": images}).model_dump_json())
    (checkout / "products/shop.yaml").write_text(PRODUCT.replace("8000", "9000"))
    monkeypatch.setenv("DOCKYARD_RELEASE", str(file))
    settings = read(checkout)
    assert settings.release_is_pinned
    assert settings.product.services["api"].port == 8000
    assert settings.image("registry.example/api:1") == "registry.example/api:1@old"
    assert settings.release.product == earlier.product
    monkeypatch.delenv("DOCKYARD_RELEASE")
    assert not read(checkout).release_is_pinned

"""Products side by side on one engine: each healthy, as its document says, in nobody's way.

Two of them with quick intervals; in the soak run all four as they are shipped. What only the other two have is tested
elsewhere: secrets in variables in test_tunnel.py, a migration that fails in tests/live/test_failures.py.
"""

import re

import httpx
import pytest

from tests.seeds.inspection import unshown_figures
from tests.support.panels import grafana_of
from tests.support.stack import Stack
from tests.support.users import visit_by_name
from tests.support.waiting import wait_until

QUICK_CHECKS = re.compile(r"Healthcheck\.Interval|scrape_interval")
"""Checks of figures that the quick settings of these stacks override; the soak run has them."""


def test_every_container_is_healthy(product: Stack) -> None:
    assert product.unhealthy == []


def test_every_figure_of_its_seed_shows_in_its_containers(product: Stack) -> None:
    quick = "rule_interval" in product.stack_file.read_text()
    ignored = QUICK_CHECKS if quick else None
    assert unshown_figures(product.name, product.containers, product.offset, ignoring=ignored) == []


def test_a_preview_with_refresh_is_clean(product: Stack) -> None:
    product.preview("--refresh").good()


def test_no_stack_takes_a_port_a_network_or_a_volume_of_another(tumulte: Stack, love_parser: Stack) -> None:
    ports: list[str] = []
    for stack in (tumulte, love_parser):
        networks = {network.id for network in stack.networks}
        for service, container in stack.containers.items():
            joined = {network["NetworkID"] for network in container.attrs["NetworkSettings"]["Networks"].values()}
            assert joined <= networks, f"{stack.name}: {service}"
            published = [port["HostPort"] for ports in (container.ports or {}).values() for port in ports or ()]
            assert not published or service == "traefik", f"{stack.name}: {service}"
            ports += published
    assert sorted(ports) == sorted(set(ports))
    assert tumulte.everything & love_parser.everything == set()


def test_tumulte_answers_from_its_stores(tumulte: Stack) -> None:
    assert tumulte.post("backend", "/polls", {"question": "Tea?", "options": ["yes", "no"]}).status_code == 201
    assert "Tea?" in tumulte.get("frontend", "/").text


def test_love_parser_is_ready_and_works_off_its_queues(love_parser: Stack) -> None:
    ready = love_parser.get("backend", "/health/ready").json()
    assert ready["checks"] == {"db": {"status": "ok"}, "redis": {"status": "ok"}}
    assert love_parser.post("backend", "/queues/broadcast/jobs", {"count": 3}).status_code == 202
    assert "love_parser_broadcasts_sent_total" in love_parser.get("backend", "/metrics").text


def test_log_lines_are_found_in_grafana_by_product_environment_service_and_container(love_parser: Stack) -> None:
    grafana, all_lines = grafana_of(love_parser), '{container=~".+"}'
    writing = {
        service
        for service, container in love_parser.containers.items()
        if container.attrs["State"]["Running"] and container.logs(tail=1)
    }
    assert {"backend", "postgres", "redis", "prometheus"} <= writing
    wait_until(lambda: grafana.log_labels("service", all_lines) >= writing, "every service has lines in Grafana", 180)
    labels = ("product", "environment", "service", "container")
    assert {label: grafana.log_labels(label, '{service="backend"}') for label in labels} == {
        "product": {"love-parser"},
        "environment": {"development"},
        "service": {"backend"},
        "container": {"love-parser-app-backend"},
    }
    assert grafana.log_labels("product", all_lines) == {"love-parser"}, "lines of the stacks beside it are theirs"


def assert_leads_to_https(stack: Stack, host: str) -> None:
    """Assert that HTTP leads to HTTPS under the same name, and that another name leads nowhere."""
    plain = httpx.get(f"http://127.0.0.1:{80 + stack.offset}/", headers={"Host": host}, timeout=10)
    assert plain.status_code in (301, 308)
    port = f":{443 + stack.offset}" if stack.offset else ""
    assert plain.headers["location"] == f"https://{host}{port}/"
    assert visit_by_name(stack, "/", "somebody-else.localhost").status_code == 404


def test_http_leads_to_https_and_only_a_declared_host_name_to_a_service(tumulte: Stack) -> None:
    assert_leads_to_https(tumulte, "prometheus.localhost")
    assert visit_by_name(tumulte, "/", "prometheus.localhost").status_code == 401


@pytest.mark.soak
def test_the_dating_app_leads_http_to_https_and_its_host_name_to_its_web_app(shipped: dict[str, Stack]) -> None:
    dating_app = shipped["dating-app"]
    assert_leads_to_https(dating_app, "dating-app.localhost")
    assert "Web app" in visit_by_name(dating_app, "/", "dating-app.localhost").text
    assert dating_app.get("webapp", "/").status_code == 200, "dev mode"


@pytest.mark.soak
@pytest.mark.parametrize("product", ["dating-app", "tumulte", "pivotal-flow", "love-parser"])
def test_down_leaves_nothing_of_a_product_and_all_of_the_others(product: str, shipped: dict[str, Stack]) -> None:
    stack = shipped[product]
    others = {name: other.everything for name, other in shipped.items() if name != product}
    stack.down("--volumes", "--yes").good()
    assert stack.everything == set()
    assert {name: shipped[name].everything for name in others} == others
    stack.restore()

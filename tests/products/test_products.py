"""Two products side by side on one engine: each healthy, as its document says, in nobody's way."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.seeds.inspection import unshown_figures
from tests.support.stack import Stack

QUICK_CHECKS = re.compile(r"Healthcheck\.Interval|scrape_interval")
"""Checks of figures that the quick settings of these stacks override; test_all_products.py has them."""


@pytest.fixture(params=["tumulte", "love_parser"])
def product(request: pytest.FixtureRequest) -> Stack:
    """Each of the two."""
    stack: Stack = request.getfixturevalue(request.param)
    return stack


def test_every_container_is_healthy(product: Stack) -> None:
    assert product.unhealthy == []


def test_every_figure_of_its_seed_shows_in_its_containers(product: Stack) -> None:
    assert unshown_figures(product.name, product.containers, product.offset, ignoring=QUICK_CHECKS) == []


def test_a_preview_with_refresh_is_clean(product: Stack) -> None:
    preview = product.preview("--refresh")
    assert preview.code == 0, preview.output


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


def test_http_leads_to_https_and_only_a_declared_host_name_to_a_service(tumulte: Stack) -> None:
    """Prometheus has the host name, and a log-in before it."""
    host = {"Host": "prometheus.localhost"}
    plain = httpx.get(f"http://127.0.0.1:{80 + tumulte.offset}/", headers=host, timeout=10)
    assert plain.status_code in (301, 308)
    port = f":{443 + tumulte.offset}" if tumulte.offset else ""
    assert plain.headers["location"] == f"https://prometheus.localhost{port}/"
    # The certificate is self-signed: there is no authority for it here.
    with httpx.Client(verify=False, timeout=10) as client:  # noqa: S501 - see above
        secure = f"https://127.0.0.1:{443 + tumulte.offset}/"
        assert client.get(secure, headers=host).status_code == 401
        assert client.get(secure, headers={"Host": "somebody-else.localhost"}).status_code == 404

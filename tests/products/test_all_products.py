"""All four products as they are shipped, side by side on an engine of their own; a part of the soak run.

The daily run has two of them with quick intervals: test_products.py, test_panels.py and, for what only the other two
have, test_tunnel.py (secrets in variables) and test_failures.py in tests/live (a migration that fails).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from settings.alert_rules import rule_files
from tests.seeds.inspection import unshown_figures
from tests.support.checkout import MINUTES, Finished, disposable_checkout
from tests.support.metric_names import Prometheus, missing, named_in_rules
from tests.support.panels import Answer, Query, ask_until_data, empty_queries, grafana_of
from tests.support.quick import configure
from tests.support.stack import Stack
from tests.support.users import users_of

pytestmark = pytest.mark.soak

PRODUCTS = {"dating-app": "dating-app", "dev": "tumulte", "pivotal-flow": "pivotal-flow", "love-parser": "love-parser"}
"""Stack → product."""

DRIVEN = ("dev", "love-parser", "pivotal-flow")
"""Stacks with a backend that users can use; the dating app's web app is only visited."""

CLOSED_NETWORK = {"dockyard:monitoring": {"logs": {"store": "victorialogs"}}}
"""The store of logs that the image kit builds."""

RECEIVER = {
    "receivers": {
        "nowhere": {"type": "webhook", "url": "nowhere-url", "environments": ["development"], "alerts": ["HostDown"]}
    }
}
"""Where nobody gets messages Alertmanager counts no notifications, and their panels are empty."""

PANEL_SECONDS = 600
"""Limit of the wait until every panel has data: the slowest group of rules is evaluated every two minutes."""

IDLE_SECONDS = 300
MONITORING = "prometheus|alertmanager|victorialogs|vmalert|collector|.*-exporter|cadvisor"


@dataclass(frozen=True)
class Shipped:
    """One stack, and the result of its first `up`."""

    stack: Stack
    finished: Finished


@pytest.fixture(scope="module")
def shipped() -> Iterator[dict[str, Shipped]]:
    """All four stacks, brought up at once."""
    with disposable_checkout() as checkout:
        stacks = [Stack(checkout, name) for name in PRODUCTS]
        for stack in stacks:
            if stack.name == "dev":
                # Tumulte with the health intervals of its document.
                text = stack.stack_file.read_text()
                stack.stack_file.write_text(text.replace("  dockyard:docker: {health_interval: 2s}\n", ""))
                configure(stack, {"dockyard:alerts": RECEIVER})
            else:
                configure(stack, CLOSED_NETWORK)
            # The images are there before two stacks want them at once.
            ready = checkout.dockyard("setup", stack.name, limit=30 * MINUTES)
            assert ready.code == 0, ready.output
        set_secret = ("config", "set", "--secret", "dockyard:nowhere-url", "http://127.0.0.1:9", "-s", "dev")
        configured = checkout.pulumi(*set_secret)
        assert configured.code == 0, configured.output
        with ThreadPoolExecutor(len(stacks)) as pool:
            ups = list(pool.map(Stack.up, stacks))
        yield {stack.name: Shipped(stack, up) for stack, up in zip(stacks, ups, strict=True)}


@pytest.fixture(params=PRODUCTS)
def product(request: pytest.FixtureRequest, shipped: dict[str, Shipped]) -> Shipped:
    """Each of the four."""
    return shipped[request.param]


@pytest.fixture(scope="module")
def answers(shipped: dict[str, Shipped]) -> dict[str, dict[Query, Answer]]:
    """Stack → the answers to every query of every panel and variable, asked while users use the stacks."""
    grafanas = {name: grafana_of(one.stack) for name, one in shipped.items()}
    dating_app = shipped["dating-app"].stack
    with ExitStack() as users, ThreadPoolExecutor() as pool:
        for name in DRIVEN:
            users.enter_context(users_of(shipped[name].stack))
        asked = {name: pool.submit(ask_until_data, grafana, PANEL_SECONDS) for name, grafana in grafanas.items()}
        while not all(future.done() for future in asked.values()):
            for path in ("/", "/nothing-here"):
                visit_dating_app(dating_app, path)
            time.sleep(1)
        return {name: future.result() for name, future in asked.items()}


def visit_dating_app(stack: Stack, path: str, host: str = "dating-app.localhost") -> httpx.Response:
    """Visit the dating app's web app by its host name. The certificate is self-signed."""
    address = f"https://127.0.0.1:{443 + stack.offset}{path}"
    return httpx.get(address, headers={"Host": host}, verify=False, timeout=10)  # noqa: S501 - see above


def test_every_container_is_healthy(product: Shipped) -> None:
    assert product.finished.code == 0, product.finished.output
    assert product.stack.unhealthy == []


def test_every_figure_of_its_seed_shows_in_its_containers(product: Shipped) -> None:
    stack = product.stack
    assert unshown_figures(stack.name, stack.containers, stack.offset) == []


def test_a_preview_with_refresh_is_clean(product: Shipped) -> None:
    preview = product.stack.preview("--refresh")
    assert preview.code == 0, preview.output


def test_no_stack_takes_a_port_a_network_or_a_volume_of_another(shipped: dict[str, Shipped]) -> None:
    ports, owned = [], []
    for one in shipped.values():
        owned += one.stack.everything
        for container in one.stack.all_containers:
            ports += [port["HostPort"] for ports in (container.ports or {}).values() for port in ports or ()]
    assert sorted(ports) == sorted(set(ports))
    assert sorted(owned) == sorted(set(owned))


def test_pivotal_flow_has_secrets_in_variables_that_inspect_does_not_show(shipped: dict[str, Shipped]) -> None:
    pivotal_flow = shipped["pivotal-flow"].stack
    assert pivotal_flow.get("backend", "/version").json()["secrets"] == ["JWT_SECRET"]
    names = {entry.split("=")[0] for entry in pivotal_flow.container("backend").attrs["Config"]["Env"]}
    assert not names & {"JWT_SECRET", "DATABASE_URL", "REDIS_URL", "DATABASE_PASSWORD", "REDIS_PASSWORD"}
    poll = {"question": "Soup?", "options": ["yes", "no"]}
    assert pivotal_flow.post("backend", "/polls", poll).status_code == 201
    assert pivotal_flow.get("frontend", "/").status_code == 200


def test_the_dating_app_leads_http_to_https_and_its_host_name_to_its_web_app(shipped: dict[str, Shipped]) -> None:
    dating_app = shipped["dating-app"].stack
    host = {"Host": "dating-app.localhost"}
    plain = httpx.get(f"http://127.0.0.1:{80 + dating_app.offset}/", headers=host, timeout=10)
    assert plain.status_code in (301, 308)
    port = f":{443 + dating_app.offset}" if dating_app.offset else ""
    assert plain.headers["location"] == f"https://dating-app.localhost{port}/"
    assert "Web app" in visit_dating_app(dating_app, "/").text
    assert visit_dating_app(dating_app, "/", "somebody-else.localhost").status_code == 404
    assert dating_app.get("webapp", "/").status_code == 200, "dev mode"


def test_a_migration_job_that_fails_leaves_the_old_release_and_prints_its_last_lines(
    shipped: dict[str, Shipped],
) -> None:
    pivotal_flow = shipped["pivotal-flow"].stack
    backend = pivotal_flow.container("backend").id
    broken = {
        "dockyard:services": {
            "migrate": {"env": {"DEMO_MIGRATION_FAIL": "1"}},
            "backend": {"env": {"RELEASE": "2"}},
        }
    }
    before = pivotal_flow.stack_file.read_text()
    configure(pivotal_flow, broken)
    failed = pivotal_flow.up()
    pivotal_flow.stack_file.write_text(before)
    assert failed.code != 0
    assert "the job pivotal-flow-app-migrate ended with exit code 1" in failed.output
    assert "9999_asked_to_fail" in failed.output, "its own last words"
    assert pivotal_flow.container("backend").id == backend
    pivotal_flow.restore()


def test_down_leaves_nothing_of_a_product_and_all_of_the_others(product: Shipped, shipped: dict[str, Shipped]) -> None:
    stack = product.stack
    others = {name: one.stack.everything for name, one in shipped.items() if name != stack.name}
    removed = stack.down("--volumes", "--yes")
    assert removed.code == 0, removed.output
    assert stack.everything == set()
    assert {name: shipped[name].stack.everything for name in others} == others
    stack.restore()


def test_every_panel_shows_data_but_for_the_listed_ones(
    product: Shipped, answers: dict[str, dict[Query, Answer]]
) -> None:
    asked = answers[product.stack.name]
    assert [f"{query}: {answer.error}" for query, answer in asked.items() if answer.error] == []
    assert [str(query) for query in empty_queries(asked)] == []


def test_every_metric_label_and_value_that_a_rule_or_panel_names_exists(
    shipped: dict[str, Shipped], answers: dict[str, dict[Query, Answer]]
) -> None:
    prometheuses = [Prometheus(grafana_of(one.stack)) for one in shipped.values()]
    rules = {where: e for product in PRODUCTS.values() for where, e in named_in_rules(rule_files(product)).items()}
    panels = {str(query): query.expr for asked in answers.values() for query in asked if query.is_promql}
    assert missing(prometheuses, {**rules, **panels}) == {}


def test_monitoring_of_an_idle_product_needs_at_most_12_percent_of_a_core(
    shipped: dict[str, Shipped], answers: dict[str, dict[Query, Answer]]
) -> None:
    """Over 5 minutes without users, at the intervals that are shipped."""
    prometheus = Prometheus(grafana_of(shipped["love-parser"].stack))
    time.sleep(IDLE_SECONDS)  # the rate is one over 5 minutes
    own = f'{{service=~"{MONITORING}"}}'
    (cores,) = prometheus.query(f"sum(container:cpu_usage_cores:rate5m{own})")
    (memory,) = prometheus.query(f"sum(container:memory_working_set_bytes:sum{own})")
    assert cores <= 0.12
    assert memory <= 700 * 2**20

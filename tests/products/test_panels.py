"""Every panel shows data, every name in a rule exists, and every rule is evaluated without an error."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from settings.alert_rules import rule_files, thresholds
from settings.logs import LogStore
from tests.support.metric_names import Prometheus, missing, named_in_rules
from tests.support.panels import EMPTY, Answer, Grafana, Query, ask_until_data, empty_queries, grafana_of
from tests.support.stack import Stack
from tests.support.users import users_of

PANEL_SECONDS = 600
"""Limit of the wait until every panel has data: as shipped, the slowest rules are evaluated every two minutes."""

IDLE_SECONDS = 300
MONITORING = "prometheus|alertmanager|loki|victorialogs|vmalert|collector|.*-exporter|cadvisor"
"""All of monitoring but Grafana, whose double costs what it costs."""

OWN = f'{{service=~"{MONITORING}"}}'

Answers = dict[str, dict[Query, Answer]]


@pytest.fixture(scope="module", params=["two", pytest.param("all", marks=pytest.mark.soak)])
def stacks(request: pytest.FixtureRequest) -> dict[str, Stack]:
    """Product → stack: two with quick intervals, which have everything between them; in the soak all four."""
    if request.param == "all":
        return request.getfixturevalue("shipped")
    return {"tumulte": request.getfixturevalue("tumulte"), "love-parser": request.getfixturevalue("love_parser")}


@pytest.fixture(scope="module")
def grafanas(stacks: dict[str, Stack]) -> dict[str, Grafana]:
    return {product: grafana_of(stack) for product, stack in stacks.items()}


@pytest.fixture(scope="module")
def prometheuses(grafanas: dict[str, Grafana]) -> dict[str, Prometheus]:
    """Each stack's Prometheus: through Grafana, as not every stack publishes it."""
    return {product: Prometheus(grafana) for product, grafana in grafanas.items()}


@pytest.fixture(scope="module")
def answers(stacks: dict[str, Stack], grafanas: dict[str, Grafana]) -> Answers:
    """The answers to every query of every panel and variable, asked while users use the stacks."""
    with ExitStack() as users, ThreadPoolExecutor() as pool:
        for stack in stacks.values():
            users.enter_context(users_of(stack))
        asked = {product: pool.submit(ask_until_data, grafana, PANEL_SECONDS) for product, grafana in grafanas.items()}
        return {product: future.result() for product, future in asked.items()}


def log_store_of(stack: Stack) -> LogStore:
    """Return the store of the stack's logs: VictoriaLogs where Loki cannot be had, and where logs are off."""
    return "loki" if "loki" in stack.containers else "victorialogs"


def test_no_query_of_any_panel_or_variable_fails(answers: Answers) -> None:
    errors = [
        f"{query}: {answer.error}" for asked in answers.values() for query, answer in asked.items() if answer.error
    ]
    assert errors == []


def test_every_panel_shows_data_but_for_the_listed_ones(answers: Answers) -> None:
    empty = {product: [str(query) for query in empty_queries(asked)] for product, asked in answers.items()}
    assert empty == {product: [] for product in answers}


def test_the_listed_panels_exist_and_are_at_most_5_percent(answers: Answers) -> None:
    panels = {(query.board, query.panel) for asked in answers.values() for query in asked}
    listed = {(board, panel) for board, titles in EMPTY.items() for panel in titles}
    assert listed <= panels, "a panel that is listed does not exist"
    assert len(listed) <= 0.05 * len(panels)


def test_every_metric_label_and_value_that_a_rule_or_panel_names_exists(
    stacks: dict[str, Stack], prometheuses: dict[str, Prometheus], answers: Answers
) -> None:
    rules: dict[str, str] = {}
    for product, stack in stacks.items():
        rules |= named_in_rules(rule_files(product, log_store_of(stack)))
    panels = {str(query): query.expr for asked in answers.values() for query in asked if query.is_promql}
    assert missing(list(prometheuses.values()), {**rules, **panels}) == {}


def test_every_rule_is_loaded_and_evaluated_without_an_error(
    stacks: dict[str, Stack], prometheuses: dict[str, Prometheus], answers: Answers
) -> None:
    for product, prometheus in prometheuses.items():
        rules = [rule for group in prometheus.groups() for rule in group]
        assert [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"] == []
        files = rule_files(product, log_store_of(stacks[product]))
        loaded = {rule["name"] for rule in rules if rule["type"] == "alerting"}
        assert loaded == {name for text in files.values() for name in thresholds(text)}


def test_an_alert_that_fires_leads_to_its_runbook_and_panel_in_grafana(
    stacks: dict[str, Stack], grafanas: dict[str, Grafana], answers: Answers
) -> None:
    tumulte = stacks["tumulte"]
    alerts = httpx.get(f"{tumulte.urls['alertmanager']}/api/v2/alerts", timeout=10).json()
    (watchdog,) = [alert for alert in alerts if alert["labels"]["alertname"] == "Watchdog"]
    assert watchdog["labels"]["product"] == "tumulte"
    assert watchdog["labels"]["environment"] == "development"
    boards = {board["uid"]: board for board in grafanas["tumulte"].boards()}
    for link in ("runbook_url", "dashboard_url"):
        url = httpx.URL(watchdog["annotations"][link])
        assert watchdog["annotations"][link].startswith(tumulte.urls["grafana"])
        board = boards[url.path.split("/")[2]]
        panel = int(url.params["viewPanel"].removeprefix("panel-"))
        assert panel in {one["id"] for one in board["panels"]}


def test_monitoring_needs_little_memory(prometheuses: dict[str, Prometheus], answers: Answers) -> None:
    (memory,) = prometheuses["love-parser"].query(f"sum(container:memory_working_set_bytes:sum{OWN})")
    assert memory <= 700 * 2**20
    shares = prometheuses["love-parser"].query(f"container:memory_limit:ratio{OWN}")
    assert len(shares) >= 8
    assert max(shares) < 0.7


@pytest.mark.soak
def test_monitoring_of_an_idle_product_needs_at_most_12_percent_of_a_core(shipped: dict[str, Stack]) -> None:
    prometheus = Prometheus(grafana_of(shipped["love-parser"]))
    time.sleep(IDLE_SECONDS)  # the rate is one over 5 minutes
    (cores,) = prometheus.query(f"sum(container:cpu_usage_cores:rate5m{OWN})")
    assert cores <= 0.12

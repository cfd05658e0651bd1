"""What watches the products: every panel shows data, every name in a rule exists, a fault becomes an alert in time."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from settings.alert_rules import alert_names, rule_files
from tests.live.conftest import run
from tests.live.names import Prometheus, missing, named_in_rules
from tests.live.panels import EMPTY, Asked, Grafana, ask_all
from tests.live.running import Running
from tests.live.test_1_up import wait_until

ROOT = Path(__file__).resolve().parents[2]
DRIVEN = {"dev": "tumulte", "love-parser": "love-parser"}
"""Stack → product. Between them they have everything that there is a rule or a board for."""

ASKED = (*DRIVEN, "dating-app")
"""The dating app is visited only, but has routes, and so certificates."""

DRIVE_SECONDS = 150
SETTLE_SECONDS = 45
"""From the last request until rules over rates have seen it: two scrapes and an evaluation."""

SLOWEST_GROUP_SECONDS = 330
"""From Prometheus' start until its slowest group of rules, that of the objectives (two minutes), has seen the users."""

MONITORING = "prometheus|alertmanager|loki|collector|.*-exporter|cadvisor"
"""All of monitoring but Grafana, whose double costs what it costs."""


@pytest.fixture(scope="module")
def driven(products: dict[str, Running]) -> dict[str, Running]:
    """The stacks after users have used them for a while, mistakes, failures and slow jobs included."""

    def drive(stack: str) -> None:
        # Before and after: a counter must have grown to have a rate.
        grafana_of(products[stack]).look()
        urls = products[stack].urls
        pages = ["--frontend", urls["frontend"]] if "frontend" in urls else []
        command = [sys.executable, "-m", "demo", "drive", "--backend", urls["backend"], *pages]
        done = run([*command, "--seconds", str(DRIVE_SECONDS)], ROOT, {"PATH": "/usr/bin:/bin"}, DRIVE_SECONDS + 60)
        assert done.code == 0, done.output
        grafana_of(products[stack]).look()

    def visit_dating_app() -> None:
        dating = products["dating-app"]
        grafana_of(dating).look()
        until = time.monotonic() + DRIVE_SECONDS
        # Self-signed: there is no authority for it here.
        with httpx.Client(verify=False, timeout=10) as client:  # noqa: S501 - self-signed
            while time.monotonic() < until:
                for path in ("/", "/nothing-here"):
                    address = f"https://127.0.0.1:{443 + dating.offset}{path}"
                    client.get(address, headers={"Host": "dating-app.localhost"})
                time.sleep(1)
        grafana_of(dating).look()

    with ThreadPoolExecutor() as pool:
        for done in [*(pool.submit(drive, stack) for stack in DRIVEN), pool.submit(visit_dating_app)]:
            done.result()
    time.sleep(SETTLE_SECONDS)
    young = "min(time() - process_start_time_seconds{job='prometheus'})"
    for stack in ASKED:
        (age,) = prometheus_of(products[stack]).query(young)
        time.sleep(max(0, SLOWEST_GROUP_SECONDS - age))
    return {stack: products[stack] for stack in DRIVEN}


@pytest.fixture(scope="module")
def asked(products, driven: dict[str, Running]) -> dict[str, list[Asked]]:
    """What every panel and variable of these stacks shows."""
    return {stack: ask_all(grafana_of(products[stack])) for stack in ASKED}


def grafana_of(running: Running) -> Grafana:
    """Return a stack's Grafana, opened with its password."""
    given = running.checkout.pulumi("stack", "output", "secrets", "-s", running.stack, "--json", "--show-secrets")
    return Grafana(running.urls["grafana"], json.loads(given.output)["grafana-admin-password"])


def prometheus_of(running: Running) -> Prometheus:
    """Return a stack's Prometheus: through Grafana, as not every stack publishes it."""
    return Prometheus(grafana_of(running))


def test_no_query_of_any_panel_or_variable_fails(asked):
    assert [f"{one.board}, {one.panel}: {one.error}" for found in asked.values() for one in found if one.error] == []


def test_every_panel_shows_data_but_for_the_few_that_say_why_not(asked):
    for found in asked.values():
        shown = {(one.board, one.panel) for one in found if one.series}
        assert [
            f"{one.board}, {one.panel}: {one.expr}"
            for one in found
            if (one.board, one.panel) not in shown and not one.excused
        ] == []


def test_panels_that_may_be_empty_are_few_and_there(asked):
    panels = {(one.board, one.panel) for found in asked.values() for one in found}
    excused = {(board, panel) for board, some in EMPTY.items() for panel in some}
    assert excused <= panels, "an excuse for what is not there"
    assert len(excused) <= 0.05 * len(panels)


def test_every_metric_label_and_value_that_a_rule_or_panel_names_exists(products, driven, asked):
    prometheuses = [prometheus_of(products[stack]) for stack in ASKED]
    rules = {where: expr for product in DRIVEN.values() for where, expr in named_in_rules(rule_files(product)).items()}
    panels = {f"{one.board}, {one.panel}": one.expr for found in asked.values() for one in found if one.promql}
    assert missing(prometheuses, {**rules, **panels}) == {}


@pytest.mark.parametrize("stack", DRIVEN)
def test_all_rules_are_loaded_and_healthy(stack, driven):
    groups = prometheus_of(driven[stack]).groups()
    assert [
        f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group if rule["health"] == "err"
    ] == []
    loaded = {rule["name"] for group in groups for rule in group if rule["type"] == "alerting"}
    assert loaded == {name for text in rule_files(DRIVEN[stack]).values() for name in alert_names(text)}


def test_an_alert_that_fires_leads_to_its_runbook_and_panel_in_grafana(driven):
    tumulte = driven["dev"]
    alerts = httpx.get(f"{tumulte.urls['alertmanager']}/api/v2/alerts", timeout=10).json()
    (watchdog,) = [one for one in alerts if one["labels"]["alertname"] == "Watchdog"]
    assert watchdog["labels"]["product"] == "tumulte"
    assert watchdog["labels"]["environment"] == "development"
    boards = {board["uid"]: board for board in grafana_of(tumulte).boards()}
    for link in ("runbook_url", "dashboard_url"):
        url = httpx.URL(watchdog["annotations"][link])
        assert watchdog["annotations"][link].startswith(tumulte.urls["grafana"])
        board = boards[url.path.split("/")[2]]
        panel = int(url.params["viewPanel"].removeprefix("panel-"))
        assert panel in {one["id"] for one in board["panels"]}


def test_all_of_monitoring_costs_little_when_nothing_happens(driven):
    """Bar: 12 % of one core and 700 MB, over 5 minutes; here over the 2 minutes that the tests can spare."""
    love_parser = prometheus_of(driven["love-parser"])
    time.sleep(120)
    own = f'{{service=~"{MONITORING}"}}'
    (cpu,) = love_parser.query(f"sum(container:cpu_usage_cores:rate5m{own})")
    (memory,) = love_parser.query(f"sum(container:memory_working_set_bytes:sum{own})")
    assert cpu <= 0.12
    assert memory <= 700 * 2**20
    shares = love_parser.query(f"container:memory_limit:ratio{own}")
    assert len(shares) >= 8
    assert max(shares) < 0.7


def test_a_backend_that_is_stopped_is_told_within_100_seconds(driven):
    tumulte = driven["dev"]
    backend = tumulte.containers["backend"]
    alertmanager = f"{tumulte.urls['alertmanager']}/api/v2/alerts"

    def told() -> bool:
        alerts = httpx.get(alertmanager, params={"active": "true"}, timeout=10).json()
        return "TumulteBackendDown" in {one["labels"]["alertname"] for one in alerts}

    assert not told()
    began = time.monotonic()
    backend.stop()
    try:
        wait_until(told, 100)
        seconds = time.monotonic() - began
    finally:
        backend.start()

    def well() -> bool:
        backend.reload()
        return backend.attrs["State"]["Health"]["Status"] == "healthy"

    wait_until(well, 120)
    print(f"TumulteBackendDown after {seconds:.0f} s")  # noqa: T201 - a figure worth seeing

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.panels import Limits
from dashboards.registry import render
from tests.promtools import promtool

ROOT = Path(__file__).resolve().parents[2]
RECORDED_NAME = re.compile(r"[a-z_]+:[a-z_0-9:]+")


def boards(**changes: Any) -> dict[str, dict[str, Any]]:
    arguments: dict[str, Any] = {"product": "tumulte", "environment": "production", "datasource_uid": "prom"}
    files = render(**(arguments | changes))
    return {name: json.loads(text) for name, text in files.items()}


BOARDS = boards()
PANELS = [panel for board in BOARDS.values() for panel in board["panels"]]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_rendering_twice_in_two_processes_gives_the_same_bytes() -> None:
    code = "from dashboards.registry import render; print(render('tumulte', 'production', 'prom'))"
    command = [sys.executable, "-c", code]
    texts = {subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout for _ in range(2)}
    assert len(texts) == 1
    assert b"dockyard-overview" in texts.pop()


def test_rendering_with_its_imports_takes_less_than_half_a_second_of_a_preview() -> None:
    # Each preview pays for this. Time of the processor, so that a busy machine does not fail the test.
    code = (
        "import time; start = time.process_time()\n"
        "from dashboards.registry import render; render('tumulte', 'production', 'prom')\n"
        "print(time.process_time() - start)"
    )
    run = [sys.executable, "-c", code]
    seconds = [
        float(subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in range(2)
    ]
    assert min(seconds) < 0.5


def test_the_overview_keeps_its_uid_and_its_file_name_is_the_uid() -> None:
    assert BOARDS["dockyard-overview.json"]["title"] == "Overview"
    for name, board in BOARDS.items():
        assert name == f"{board['uid']}.json"
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])


def test_uids_do_not_depend_on_product_or_environment() -> None:
    assert boards(product="love-parser", environment="staging").keys() == BOARDS.keys()


def test_a_dashboard_says_which_product_and_environment_it_shows() -> None:
    for board in BOARDS.values():
        assert {"dockyard", "tumulte", "production"} <= set(board["tags"])
        assert "tumulte · production" in board["description"]


@pytest.mark.parametrize("name", BOARDS)
def test_panel_ids_are_unique(name: str) -> None:
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))
    assert min(ids) == 1


@pytest.mark.parametrize("services", [("web",), ("backend", "frontend"), ("a", "b", "c", "d", "e")])
@pytest.mark.parametrize("data_stores", [(), ("postgres",), ("postgres", "redis")])
def test_panels_fill_the_grid_without_overlapping(services: tuple[str, ...], data_stores: tuple[str, ...]) -> None:
    for board in boards(services=services, data_stores=data_stores).values():
        places = [panel["gridPos"] for panel in board["panels"]]
        for place in places:
            assert place["w"] > 0
            assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        assert not [pair for pair in combinations(places, 2) if overlap(*pair)]
        for y in {place["y"] for place in places}:
            assert sum(place["w"] for place in places if place["y"] == y) == 24


def test_every_panel_has_a_title_a_description_a_unit_and_the_provisioned_data_source() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "prom"}
    titles = [panel["title"] for panel in PANELS]
    assert len(titles) == len(set(titles))


def test_one_screen_answers_what_the_issue_asks() -> None:
    assert {panel["title"] for panel in PANELS} == {
        *("Targets down", "Firing alerts", "Backend", "Frontend", "Postgres", "Redis"),
        *("Request rate", "Latency (p95)", "Error rate", "CPU", "Memory", "Disk", "Cache hit rate"),
        *("Container CPU", "Container memory", "Postgres connections", "Redis memory"),
    }
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in PANELS)
    assert bottom <= 26, "rows of 30 pixels and their gaps: 26 of them fit on a screen of 1080"


def test_every_query_is_valid_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(QUERIES)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    result = promtool(["check", "rules", path], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(QUERIES)} rules found" in result.stdout


def test_every_recorded_series_that_a_panel_reads_is_recorded_in_the_rules() -> None:
    recorded = {
        rule["record"]
        for path in (ROOT / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    used = {name for expr in QUERIES for name in RECORDED_NAME.findall(expr)}
    assert used
    assert used <= recorded


def test_a_stack_without_redis_has_no_panel_that_asks_for_it() -> None:
    text = json.dumps(boards(data_stores=("postgres",)))
    assert "pg_up" in text
    assert "redis" not in text


@pytest.mark.parametrize("product", ["tumulte", "love-parser"])
def test_the_figures_of_a_product_file_are_shown_with_their_units(product: str, tmp_path: Path) -> None:
    said = yaml.safe_load((ROOT / "products" / f"{product}.yaml").read_text())["kpis"]
    kpis = [(kpi["title"], kpi["query"], kpi.get("unit", "short")) for kpi in said]
    (board,) = boards(kpis=kpis).values()
    shown = {panel["title"]: panel for panel in board["panels"] if panel["type"] == "stat"}
    for title, query, unit in kpis:
        assert shown[title]["targets"][0]["expr"] == query
        assert shown[title]["fieldConfig"]["defaults"]["unit"] == unit
    assert not any(overlap(one["gridPos"], other["gridPos"]) for one, other in combinations(board["panels"], 2))
    rules = {"groups": [{"name": "kpis", "rules": [{"record": f"kpi:{n}", "expr": k[1]} for n, k in enumerate(kpis)]}]}
    (tmp_path / "kpis.yml").write_text(yaml.safe_dump(rules))
    checked = promtool(["check", "rules", tmp_path / "kpis.yml"], cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_an_unknown_data_store_is_refused() -> None:
    with pytest.raises(KeyError, match="mongo"):
        boards(data_stores=("mongo",))


def test_rising_limits_go_from_green_to_red() -> None:
    steps = [(step.value, step.color) for step in Limits(warning=1, critical=2).steps()]
    assert steps == [(None, "green"), (1, "orange"), (2, "red")]


def test_falling_limits_go_from_red_to_green() -> None:
    steps = [(step.value, step.color) for step in Limits(warning=2, critical=1, falling=True).steps()]
    assert steps == [(None, "red"), (1, "orange"), (2, "green")]

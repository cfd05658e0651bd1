"""Every dashboard keeps to the one look, reads only what exists, and says what it shows."""

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.stacks import FULL, boards, panels
from tests.promtools import promtool

ROOT = Path(__file__).resolve().parents[2]
RECORDED_NAME = re.compile(r"\b[a-z_]+:[a-z_0-9:]+")
IN_A_FRESH_PROCESS = "from dashboards.registry import render; from tests.dashboards.stacks import FULL; "

BOARDS = boards()
LOKI_BOARDS = {name: board for name, board in boards(log_store="loki").items() if board != BOARDS[name]}
"""Those that are others where Loki keeps the logs."""

ALL_BOARDS = [*BOARDS.items(), *LOKI_BOARDS.items()]
PANELS = [(name, panel) for name, board in ALL_BOARDS for panel in panels(board)]
QUERIES = [
    (name, panel["title"], target["expr"])
    for name, panel in PANELS
    for target in panel.get("targets", [])
    if panel["datasource"]["type"] == "prometheus"
]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = any(a["x"] + a["w"] <= b["x"] for a, b in ((one, other), (other, one)))
    above = any(a["y"] + a["h"] <= b["y"] for a, b in ((one, other), (other, one)))
    return not (beside or above)


def test_rendering_twice_in_two_processes_gives_the_same_bytes() -> None:
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS + "print(render(FULL))"]
    texts = {subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout for _ in range(2)}
    assert len(texts) == 1
    assert b"dockyard-overview" in texts.pop()


def test_rendering_with_its_imports_takes_less_than_a_second_of_a_preview() -> None:
    # Each preview pays for this. Time of the processor, so that a busy machine does not fail the test.
    code = f"import time; start = time.process_time(); {IN_A_FRESH_PROCESS} render(FULL)\n"
    run = [sys.executable, "-c", code + "print(time.process_time() - start)"]
    seconds = [
        float(subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in range(2)
    ]
    assert min(seconds) < 1


def test_product_and_environment_are_variables_of_every_board_and_every_query_selects_by_them() -> None:
    for board in BOARDS.values():
        assert {"datasource", "product", "environment"} <= {one["name"] for one in board["templating"]["list"]}
    kpis = {kpi.query for kpi in FULL.kpis}
    for name, title, expr in QUERIES:
        if expr in kpis:  # as the product file has them
            continue
        assert "$product" in expr, f"{name}, {title}: {expr}"
        assert "$environment" in expr, f"{name}, {title}: {expr}"


def test_a_variable_that_a_query_names_is_one_of_its_board() -> None:
    for name, board in ALL_BOARDS:
        known = {one["name"] for one in board["templating"]["list"]}
        for panel in panels(board):
            for target in panel.get("targets", []):
                used = set(re.findall(r"\$\{?(?!__)([a-z_]+)", target["expr"]))
                assert used <= known, f"{name}, {panel['title']}: {used - known}"


def test_no_panel_names_a_data_source_of_its_own() -> None:
    for name, panel in PANELS:
        if panel["type"] == "text":
            continue
        assert panel["datasource"] in (
            {"type": "prometheus", "uid": "${datasource}"},
            {"type": "loki", "uid": "${logs}"},
            {"type": "victoriametrics-logs-datasource", "uid": "${logs}"},
        ), f"{name}, {panel['title']}"
        assert not any("datasource" in target for target in panel["targets"])


def test_the_data_sources_are_those_of_the_settings() -> None:
    for board in boards(datasource_uid="love-prom", logs_uid="love-loki").values():
        chosen = {one["name"]: one["current"]["value"] for one in board["templating"]["list"]}
        assert chosen["datasource"] == "love-prom"
        assert chosen.get("logs", "love-loki") == "love-loki"


@pytest.mark.parametrize("services", [("web",), ("backend", "frontend"), ("a", "b", "c", "d", "e")])
@pytest.mark.parametrize("data_stores", [(), ("postgres",), ("postgres", "redis")])
def test_panels_have_ids_of_their_own_and_fill_the_grid_without_overlapping(
    services: tuple[str, ...], data_stores: tuple[str, ...]
) -> None:
    for name, board in boards(services=services, data_stores=data_stores).items():
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        places = [panel["gridPos"] for panel in board["panels"]]
        for place in places:
            assert place["w"] > 0
            assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        assert not [pair for pair in combinations(places, 2) if overlap(*pair)], name
        if name != "dockyard-runbooks.json":
            for y in {place["y"] for place in places}:
                assert sum(place["w"] for place in places if place["y"] == y) == 24, name


every_panel = pytest.mark.parametrize(
    ("name", "panel"), PANELS, ids=[f"{name[9:-5]}: {panel['title']}" for name, panel in PANELS]
)


@every_panel
def test_every_panel_has_title_description_and_unit(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) >= 15
    if panel["type"] == "text":
        return
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"])


COUNTED = re.compile(r"\b(rate|irate|increase|changes|resets|delta|count|topk|time|timestamp|label_values)\b")
CALLED_LIKE_COUNTERS = re.compile(r"websocket_connections_total|polls_active_total|active_(handles|requests)_total")
"""Gauges with names of counters: Tumulte's document's, and the Node client's."""


def unit_problem(unit: str, expr: str) -> str | None:
    """Return what is wrong between a query and the unit that its values are shown in."""
    if re.search(r"_total\b", expr) and not COUNTED.search(expr) and not CALLED_LIKE_COUNTERS.search(expr):
        return "a counter without rate or increase"
    outermost = re.match(r"^(?:sum|max|min|avg|topk)?\s*(?:by \([^)]*\) )?\(?(?:\d+, )?([a-z_:0-9]+)\{", expr)
    metric = outermost[1] if outermost else ""
    if metric.endswith("_bytes") and unit not in ("bytes", "decbytes"):
        return f"{metric} is shown as {unit}"
    if metric.endswith("_seconds") and unit not in ("s", "dateTimeFromNow", "dtdurations"):
        return f"{metric} is shown as {unit}"
    return None


@every_panel
def test_units_fit_the_metrics(name: str, panel: dict[str, Any]) -> None:
    if panel["type"] in ("text", "logs", "table") or panel["datasource"]["type"] != "prometheus":
        return
    for target in panel["targets"]:
        assert unit_problem(panel["fieldConfig"]["defaults"]["unit"], target["expr"]) is None, target["expr"]


def test_every_query_is_valid_promql(tmp_path: Path) -> None:
    exprs = [re.sub(r"\$__(rate_)?interval|\$__range", "5m", expr) for _, _, expr in QUERIES]
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    result = promtool(["check", "rules", path], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(QUERIES)} rules found" in result.stdout


def test_every_recorded_series_that_a_panel_reads_is_recorded_in_the_rules() -> None:
    recorded = {"slo:objective:ratio"} | {
        rule["record"]
        for path in (ROOT / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    used = {found for _, _, expr in QUERIES for found in RECORDED_NAME.findall(re.sub(r'"[^"]*"', "", expr))}
    assert used
    assert used <= recorded


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"logs_uid": None}, {"logs"}),
        ({"boards": ()}, {"nodejs", "queues"}),
        ({"data_stores": ()}, {"postgres", "redis"}),
        ({"kpis": ()}, {"kpis"}),
        ({"objectives": ()}, {"slo"}),
        ({"edge": False}, {"edge"}),
        ({"probes": False}, {"probes"}),
        ({"runbooks": {}}, {"runbooks"}),
    ],
)
def test_what_a_stack_does_not_have_has_no_board(changes: dict[str, Any], gone: set[str]) -> None:
    assert set(BOARDS) - set(boards(**changes)) == {f"dockyard-{subject}.json" for subject in gone}


def test_an_unknown_data_store_is_refused() -> None:
    with pytest.raises(KeyError, match="mongo"):
        boards(data_stores=("mongo",))

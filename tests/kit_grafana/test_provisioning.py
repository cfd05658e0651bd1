import logging

import pytest

from offline.kit.grafana.grafana_double.yamlfiles import ProvisioningError
from tests.support.grafana import PROMETHEUS, Provisioning


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([PROMETHEUS, PROMETHEUS | {"name": "B", "uid": "b"}], "Only one datasource per organization"),
        ([PROMETHEUS, PROMETHEUS | {"name": "B", "isDefault": False}], "same uid already exists: prometheus"),
        ([PROMETHEUS | {"uid": "u" * 41}], "uid of data source 'Prometheus' is invalid"),
        ([{"type": "prometheus", "url": "http://p"}], "needs a name and a type"),
    ],
)
def test_data_sources_that_grafana_does_not_start_with_are_refused(
    provisioning: Provisioning, entries: list[dict[str, object]], message: str
) -> None:
    provisioning.data_sources(*entries)
    with pytest.raises(ProvisioningError, match=message):
        provisioning.library()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "failed to load dashboard from"),
        ("[]", "Dashboard title cannot be empty"),
        ({"uid": "x", "title": " "}, "Dashboard title cannot be empty"),
        ({"uid": "u" * 41, "title": "Long"}, "uid too long, max 40 characters"),
        ({"uid": "a b", "title": "Spaces"}, "uid contains illegal characters"),
        ({"uid": "good", "title": "Another"}, "the same UID is used more than once"),
        ({"uid": "other", "title": "Good"}, "dashboard title is not unique in folder"),
    ],
)
def test_a_dashboard_that_grafana_refuses_is_left_out_and_the_others_load(
    provisioning: Provisioning, content: dict[str, object] | str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    provisioning.board("a-good.json", {"uid": "good", "title": "Good"})
    provisioning.board("b-bad.json", content)
    with caplog.at_level(logging.ERROR):
        library = provisioning.library()
    assert {uid: board.title for uid, board in library.dashboards.items()} == {"good": "Good"}
    assert len(library.problems) == 1
    assert message in library.problems[0]
    assert "b-bad.json" in library.problems[0]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("panel", "missing"),
    [
        ({"datasource": {"uid": "${source}"}, "targets": [{"expr": "up"}]}, []),
        ({"datasource": "Prometheus", "targets": [{"expr": "up"}]}, []),
        ({"datasource": {"uid": "love-prom"}, "targets": [{"expr": "up"}]}, ["'love-prom'"]),
        ({"targets": [{"expr": "up", "datasource": {"uid": "gone"}}]}, ["'gone'"]),
        ({"type": "row", "panels": [{"datasource": "gone", "targets": [{}]}]}, ["'gone'"]),
        ({"datasource": {"uid": "${nothing}"}, "targets": [{}]}, ["'${nothing}'"]),
    ],
)
def test_a_panel_whose_data_source_is_not_provisioned_is_complained_about(
    provisioning: Provisioning, panel: dict[str, object], missing: list[str]
) -> None:
    variable = {"name": "source", "type": "datasource", "query": "prometheus", "current": {}}
    provisioning.board("a.json", {"uid": "a", "title": "A", "panels": [panel], "templating": {"list": [variable]}})
    library = provisioning.library()
    assert "a" in library.dashboards
    named = [problem.partition("data source ")[2].partition(" (")[0] for problem in library.problems]
    assert named == [f"{uid}, which is not provisioned" for uid in missing]


def test_the_stack_s_own_dashboards_load_without_a_complaint(provisioning: Provisioning, overview: str) -> None:
    library = provisioning.library()
    assert overview in library.dashboards
    assert library.problems == []

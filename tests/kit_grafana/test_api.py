from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from tests.kit_grafana.conftest import PROMETHEUS, FakePrometheus, Provisioning, success, vector

Start = Callable[..., TestClient]


def test_health_and_metrics_need_no_password(start: Start, overview: str) -> None:
    client = start(auth=None)
    assert client.get("/api/health").json()["database"] == "ok"
    text = client.get("/metrics").text
    assert 'grafana_build_info{edition="double"' in text
    assert "grafana_stat_totals_dashboard 1.0" in text
    assert "grafana_double_problems 0.0" in text


@pytest.mark.parametrize("path", ["/api/search", "/api/datasources", "/api/dashboards/uid/dockyard-overview"])
def test_the_api_answers_401_without_a_password_and_with_a_wrong_one(start: Start, overview: str, path: str) -> None:
    client = start(auth=None)
    assert client.get(path).status_code == 401
    wrong = client.get(path, auth=("admin", "wrong"))
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid username or password")
    assert client.get(path, auth=("root", "correct horse")).status_code == 401
    assert client.get(path, headers={"authorization": "Basic ???"}).status_code == 401
    assert client.get(path, auth=("admin", "correct horse")).status_code == 200


def test_pages_send_people_to_the_log_in(start: Start) -> None:
    answer = start(auth=None).get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")


def test_anonymous_viewers_see_dashboards_but_not_data_sources(start: Start, overview: str) -> None:
    client = start(auth=None, anonymous=True)
    assert client.get("/api/search").status_code == 200
    assert client.get(f"/d/{overview}").status_code == 200
    assert client.get("/api/datasources").status_code == 403
    assert client.post("/api/admin/provisioning/dashboards/reload").status_code == 403


def test_a_log_in_by_form_opens_the_pages_and_a_log_out_closes_them(start: Start) -> None:
    client = start(auth=None)
    refused = client.post("/login", data={"user": "admin", "password": "wrong"})
    assert (refused.status_code, "grafana_session" in refused.cookies) == (401, False)
    opened = client.post("/login", data={"user": "admin", "password": "correct horse"})
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "Secure" not in opened.headers["set-cookie"]
    assert client.get("/").status_code == 200
    client.get("/logout")
    assert client.get("/").status_code == 302


def test_the_cookie_is_for_https_alone_where_that_is_asked_for(start: Start) -> None:
    client = start(auth=None, cookie_secure=True)
    opened = client.post("/login", data={"user": "admin", "password": "correct horse"})
    assert "Secure" in opened.headers["set-cookie"]


def test_a_log_in_by_json_answers_as_grafana_s(start: Start) -> None:
    client = start(auth=None)
    assert client.post("/login", json={"user": "admin", "password": "no"}).status_code == 401
    assert client.post("/login", json=["x"]).status_code == 400
    opened = client.post("/login", json={"user": "admin", "password": "correct horse"})
    assert opened.json()["message"] == "Logged in"
    assert client.get("/api/datasources").status_code == 200


def test_search_finds_by_words_tags_type_and_uid(start: Start, provisioning: Provisioning) -> None:
    provisioning.board("a.json", {"uid": "a", "title": "Postgres", "tags": ["db"]})
    provisioning.board("b.json", {"uid": "b", "title": "Overview", "tags": ["dockyard"]})
    client = start()

    def found(**wanted: str) -> list[str]:
        return [hit["uid"] for hit in client.get("/api/search", params=wanted).json()]

    assert found() == ["b", "a"]
    assert found(query="over") == ["b"]
    assert found(tag="db") == ["a"]
    assert found(dashboardUIDs="a") == ["a"]
    assert found(type="dash-folder") == []
    assert found(limit="1") == ["b"]
    hit = client.get("/api/search", params={"query": "postgres"}).json()[0]
    assert (hit["url"], hit["type"], hit["tags"]) == ("/d/a/postgres", "dash-db", ["db"])


def test_folders_are_listed(start: Start, provisioning: Provisioning) -> None:
    options = {"path": str(provisioning.boards)}
    provisioning.providers({"name": "x", "folder": "Dockyard", "folderUid": "dy", "options": options})
    provisioning.board("a.json", {"uid": "a", "title": "A"})
    client = start()
    assert client.get("/api/folders").json() == [{"id": 1, "uid": "dy", "title": "Dockyard"}]
    assert [hit["uid"] for hit in client.get("/api/search").json()] == ["dy", "a"]


def test_a_dashboard_is_answered_with_its_model_and_says_that_it_is_provisioned(start: Start, overview: str) -> None:
    client = start()
    answer = client.get(f"/api/dashboards/uid/{overview}").json()
    assert answer["dashboard"]["title"] == "Overview"
    assert answer["meta"]["provisioned"] is True
    missing = client.get("/api/dashboards/uid/none")
    assert (missing.status_code, missing.json()["message"]) == (404, "Dashboard not found")


def test_data_sources_are_answered_without_their_secrets(start: Start, provisioning: Provisioning) -> None:
    provisioning.data_sources(PROMETHEUS | {"secureJsonData": {"basicAuthPassword": "hidden"}})
    client = start()
    assert [source["uid"] for source in client.get("/api/datasources").json()] == ["prometheus"]
    answer = client.get("/api/datasources/uid/prometheus")
    assert answer.json()["secureJsonFields"] == {"basicAuthPassword": True}
    assert answer.json()["readOnly"] is True
    assert "hidden" not in answer.text
    missing = client.get("/api/datasources/uid/none")
    assert (missing.status_code, missing.json()) == (404, {"message": "Data source not found"})


def test_a_data_source_that_answers_is_well(start: Start, prometheus: FakePrometheus) -> None:
    answer = start().get("/api/datasources/uid/prometheus/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "OK")
    assert [asked["query"] for asked in prometheus.asked()] == ["1+1"]


@pytest.mark.parametrize(
    "failure", [httpx.Response(503, text="starting"), httpx.Response(200, text="<html>"), httpx.ConnectError("refused")]
)
def test_a_data_source_that_does_not_answer_is_ill(
    start: Start, prometheus: FakePrometheus, failure: httpx.Response | Exception
) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        if isinstance(failure, Exception):
            raise failure
        return failure

    prometheus.answer = fail
    answer = start().get("/api/datasources/uid/prometheus/health")
    assert (answer.status_code, answer.json()["status"]) == (400, "ERROR")
    assert answer.json()["message"]


def test_the_data_source_gets_its_credentials_and_never_the_caller_s(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus
) -> None:
    provisioning.data_sources(
        PROMETHEUS
        | {
            "basicAuth": True,
            "basicAuthUser": "reader",
            "jsonData": {"httpHeaderName1": "X-Scope-OrgID"},
            "secureJsonData": {"basicAuthPassword": "pw", "httpHeaderValue1": "tenant"},
        }
    )
    answer = start().get("/api/datasources/proxy/uid/prometheus/api/v1/query", params={"query": "up"})
    assert answer.json()["status"] == "success"
    request = prometheus.requests[0]
    assert str(request.url) == "http://prometheus:9090/api/v1/query?query=up"
    assert request.headers["authorization"] == httpx.BasicAuth("reader", "pw")._auth_header
    assert request.headers["x-scope-orgid"] == "tenant"
    assert "cookie" not in request.headers


def test_the_proxy_answers_502_when_the_data_source_is_gone(start: Start, prometheus: FakePrometheus) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    prometheus.answer = fail
    client = start()
    assert client.get("/api/datasources/proxy/uid/prometheus/api/v1/query").status_code == 502
    assert client.get("/api/datasources/proxy/uid/none/api/v1/query").status_code == 404


def test_the_proxy_does_not_leave_the_data_source_s_own_path(start: Start, prometheus: FakePrometheus) -> None:
    assert start().get("/api/datasources/proxy/uid/prometheus/%2e%2e/admin").status_code in {400, 404}
    assert prometheus.requests == []


def test_a_range_query_comes_back_as_one_frame_a_series(start: Start, prometheus: FakePrometheus) -> None:
    prometheus.answer = lambda _request: success(
        "matrix", [{"metric": {"__name__": "up", "job": "node"}, "values": [[100, "1"], [115, "NaN"], [130, "+Inf"]]}]
    )
    query = {"refId": "A", "expr": "up", "legendFormat": "{{job}}", "datasource": {"uid": "prometheus"}}
    answer = start().post("/api/ds/query", json={"queries": [query], "from": "100000", "to": "130000"})
    assert answer.status_code == 200
    frame = answer.json()["results"]["A"]["frames"][0]
    value = frame["schema"]["fields"][1]
    assert value["labels"] == {"job": "node"}
    assert value["config"] == {"displayNameFromDS": "node"}
    assert frame["data"]["values"] == [[100000, 115000, 130000], [1, None, None]]
    assert frame["data"]["entities"] == [None, {"NaN": [1], "Inf": [2]}]
    asked = prometheus.asked()[0]
    assert (asked["start"], asked["end"], asked["step"]) == ("100.000", "130.000", "15")


def test_instant_queries_are_asked_at_the_end_of_the_range(start: Start, prometheus: FakePrometheus) -> None:
    body = {"queries": [{"refId": "B", "expr": "1", "instant": True}], "from": "now-1h", "to": "now"}
    answer = start().post("/api/ds/query", json=body)
    frame = answer.json()["results"]["B"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], [1]]
    assert prometheus.requests[0].url.path == "/api/v1/query"
    assert abs(float(prometheus.asked()[0]["time"]) - time.time()) < 5


def test_grafana_s_own_variables_are_replaced_in_queries(start: Start, prometheus: FakePrometheus) -> None:
    expr = "rate(x[$__rate_interval]) + y[${__interval}] + z[$__range] + $__interval_ms"
    body = {"queries": [{"expr": expr, "maxDataPoints": 60}], "from": "0", "to": "3600000"}
    start().post("/api/ds/query", json=body)
    assert prometheus.asked()[0]["query"] == "rate(x[75s]) + y[60s] + z[3600s] + 60000"


def test_a_wrong_expression_is_an_error_of_its_query_alone(start: Start, prometheus: FakePrometheus) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"query=bad" in request.content:
            return httpx.Response(400, json={"status": "error", "errorType": "bad_data", "error": "parse error"})
        return vector(({}, "1"))

    prometheus.answer = answer
    queries = [{"refId": "A", "expr": "bad", "instant": True}, {"refId": "B", "expr": "good", "instant": True}]
    sent = start().post("/api/ds/query", json={"queries": queries})
    assert sent.status_code == 400
    results = sent.json()["results"]
    assert (results["A"]["error"], results["A"]["status"]) == ("parse error", 400)
    assert len(results["B"]["frames"]) == 1


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"queries": []}', b'{"queries": [1]}', b'{"queries": [{}], "from": "yesterday"}', b"{}"],
)
def test_a_bad_query_request_is_answered_400(start: Start, body: bytes) -> None:
    answer = start().post("/api/ds/query", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_a_query_to_an_unknown_data_source_is_an_error(start: Start) -> None:
    body = {"queries": [{"refId": "A", "expr": "up", "datasource": {"uid": "none"}}]}
    answer = start().post("/api/ds/query", json=body)
    assert (answer.status_code, answer.json()["results"]["A"]["error"]) == (400, "data source not found")


def test_log_queries_run_through_to_loki(start: Start, provisioning: Provisioning, prometheus: FakePrometheus) -> None:
    provisioning.data_sources(PROMETHEUS, {"name": "Loki", "type": "loki", "uid": "loki", "url": "http://loki:3100"})
    prometheus.answer = lambda _request: success(
        "streams", [{"stream": {"service": "backend"}, "values": [["1700000000000000000", "hello"]]}]
    )
    body = {"queries": [{"refId": "L", "expr": '{service="backend"}', "datasource": {"uid": "loki"}}]}
    frame = start().post("/api/ds/query", json=body).json()["results"]["L"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], ["hello"]]
    assert frame["schema"]["fields"][1]["name"] == "Line"
    request = prometheus.requests[0]
    assert (request.method, request.url.host, request.url.path) == ("GET", "loki", "/loki/api/v1/query_range")
    assert len(prometheus.asked()[0]["start"]) == 19


VICTORIALOGS = {
    "name": "VictoriaLogs",
    "type": "victoriametrics-logs-datasource",
    "uid": "lines",
    "url": "http://victorialogs:9428",
}


def ask_victorialogs(start: Start, provisioning: Provisioning, kind: str) -> httpx.Response:
    provisioning.data_sources(PROMETHEUS, VICTORIALOGS)
    query = {"refId": "V", "expr": '{service="web"}', "queryType": kind, "datasource": {"uid": "lines"}}
    return start().post("/api/ds/query", json={"queries": [query]})


@pytest.mark.parametrize("kind", ["", "instant"])
def test_lines_are_asked_of_victorialogs(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus, kind: str
) -> None:
    text = '{"_time":"2023-11-14T22:13:20.123456789Z","_msg":"hello","_stream":"{}","service":"web"}\n'
    prometheus.answer = lambda _request: httpx.Response(200, text=text)
    frame = ask_victorialogs(start, provisioning, kind).json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000123], ["hello"]]
    assert frame["schema"]["fields"][1]["labels"]["service"] == "web"
    request = prometheus.requests[0]
    assert (request.url.host, request.url.path) == ("victorialogs", "/select/logsql/query")
    assert prometheus.asked()[0]["limit"] == "1000"


@pytest.mark.parametrize(("kind", "path"), [("stats", "stats_query"), ("statsRange", "stats_query_range")])
def test_figures_are_asked_of_victorialogs(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus, kind: str, path: str
) -> None:
    prometheus.answer = lambda _request: success(
        "matrix", [{"metric": {"service": "web"}, "values": [[1700000000, "7"]]}]
    )
    frame = ask_victorialogs(start, provisioning, kind).json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], [7.0]]
    assert prometheus.requests[0].url.path == f"/select/logsql/{path}"


def test_hits_are_asked_of_victorialogs(start: Start, provisioning: Provisioning, prometheus: FakePrometheus) -> None:
    hits = {"fields": {"service": "web"}, "timestamps": ["2023-11-14T22:13:20Z"], "values": [3]}
    prometheus.answer = lambda _request: httpx.Response(200, json={"hits": [hits]})
    frame = ask_victorialogs(start, provisioning, "hits").json()["results"]["V"]["frames"][0]
    assert frame["data"]["values"] == [[1700000000000], [3.0]]
    assert prometheus.asked()[0]["step"].endswith("s")


def test_a_wrong_query_of_victorialogs_is_an_error(
    start: Start, provisioning: Provisioning, prometheus: FakePrometheus
) -> None:
    prometheus.answer = lambda _request: httpx.Response(400, text="cannot parse query")
    assert ask_victorialogs(start, provisioning, "instant").json()["results"]["V"]["error"] == "cannot parse query"
    answer = ask_victorialogs(start, provisioning, "range")
    assert "no queries of type 'range'" in answer.json()["results"]["V"]["error"]


@pytest.mark.parametrize(
    ("environment", "complaints"),
    [
        ({}, 1),
        ({"GF_PLUGINS_PREINSTALL_SYNC": "victoriametrics-logs-datasource@0.21.0"}, 0),
        (
            {
                "GF_PLUGINS_PREINSTALL_SYNC": "victoriametrics-logs-datasource@0.21.0",
                "GF_PLUGINS_PREINSTALL_DISABLED": "true",
            },
            1,
        ),
    ],
    ids=["not installed", "installed", "switched off"],
)
def test_the_data_source_of_victorialogs_needs_its_plugin(
    start: Start,
    provisioning: Provisioning,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    complaints: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    provisioning.data_sources(PROMETHEUS, VICTORIALOGS)
    problems = start().get("/api/double/problems").json()
    assert len([problem for problem in problems if "victoriametrics-logs-datasource" in problem]) == complaints


def test_a_reload_takes_what_is_new_and_keeps_the_old_when_it_is_broken(
    start: Start, provisioning: Provisioning
) -> None:
    client = start()
    provisioning.board("a.json", {"uid": "a", "title": "A"})
    answer = client.post("/api/admin/provisioning/dashboards/reload")
    assert answer.json() == {"message": "Dashboards config reloaded"}
    assert client.get("/api/dashboards/uid/a").status_code == 200
    (provisioning.root / "datasources" / "all.yaml").write_text("{")
    assert client.post("/api/admin/provisioning/datasources/reload").status_code == 500
    assert client.get("/api/datasources/uid/prometheus").status_code == 200
    assert client.post("/api/admin/provisioning/plugins/reload").status_code == 404


def test_complaints_can_be_read_by_tests(start: Start, provisioning: Provisioning) -> None:
    provisioning.board("a.json", "{")
    assert "failed to load dashboard from" in start().get("/api/double/problems").json()[0]


def test_requests_are_counted_by_route_and_status_as_grafana_does(start: Start, overview: str) -> None:
    client = start()
    client.get("/api/health")
    client.get("/api/dashboards/uid/nobody")
    client.get("/api/nowhere")
    client.get("/metrics")
    text = client.get("/metrics").text
    count = "grafana_http_request_duration_seconds_count"
    labels = 'method="GET",slo_group="none",status_code='
    assert f'{count}{{handler="/api/health",{labels}"200",status_source=""}} 1.0' in text
    assert f'{count}{{handler="/api/dashboards/uid/:uid",{labels}"404",status_source=""}} 1.0' in text
    assert f'{count}{{handler="unknown",{labels}"404",status_source=""}} 1.0' in text
    assert 'handler="/metrics"' not in text


def test_calls_of_data_sources_are_counted_once_a_request_and_fail_with_one_query(
    start: Start, prometheus: FakePrometheus
) -> None:
    client = start()
    ask = {"queries": [{"refId": ref, "expr": "up", "datasource": {"uid": "prometheus"}} for ref in "AB"]}
    client.post("/api/ds/query", json=ask)
    prometheus.answer = lambda _request: httpx.Response(400, json={"status": "error", "error": "parse error"})
    client.post("/api/ds/query", json=ask)
    client.get("/api/datasources/uid/prometheus/health")
    text = client.get("/metrics").text

    def counted(endpoint: str, status: str, source: str) -> str:
        return (
            f'grafana_plugin_request_total{{endpoint="{endpoint}",plugin_id="prometheus",status="{status}",'
            f'status_source="{source}",target="unknown"}} 1.0'
        )

    assert counted("queryData", "ok", "plugin") in text
    assert counted("queryData", "error", "downstream") in text
    assert counted("checkHealth", "error", "downstream") in text


def test_a_log_in_that_fails_is_counted(start: Start) -> None:
    client = start(auth=None)
    counted = 'grafana_authn_authn_failed_login_total{client="auth.client.form"}'
    assert counted not in client.get("/metrics").text
    client.post("/login", data={"user": "admin", "password": "wrong"})
    client.post("/login", data={"user": "admin", "password": "correct horse"})
    assert f"{counted} 1.0" in client.get("/metrics").text

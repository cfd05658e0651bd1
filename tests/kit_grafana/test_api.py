from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from tests.support.grafana import PROMETHEUS, FakePrometheus, Provisioning, success, vector

Start = Callable[..., TestClient]


@pytest.mark.parametrize("path", ["/api/search", "/api/datasources", "/api/dashboards/uid/dockyard-overview"])
def test_the_api_answers_401_without_a_password_and_with_a_wrong_one(start: Start, overview: str, path: str) -> None:
    client = start(auth=None)
    assert client.get(path).status_code == 401
    wrong = client.get(path, auth=("admin", "wrong"))
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid username or password")
    assert client.get(path, auth=("root", "correct horse")).status_code == 401
    assert client.get(path, headers={"authorization": "Basic ???"}).status_code == 401
    assert client.get(path, auth=("admin", "correct horse")).status_code == 200


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

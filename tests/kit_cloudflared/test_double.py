"""What the double of cloudflared does as the official program; tests/products/test_tunnel.py asks the rest of it."""

import pytest

from tests.support.waiting import wait_until

NOT_FOUND = {"service": "http_status:404"}
HOST = "monitoring.example.org"


def routed(double, version=1):
    wait_until(lambda: double.inside("/config").json()["version"] == version, "it follows its configuration")


def test_the_first_rule_that_fits_host_and_path_leads(connected, made):
    made.route(
        {"hostname": HOST, "path": "^/api/(v1|v2)/", "service": "http_status:418"},
        {"hostname": HOST, "service": "http_status:200"},
        {"hostname": "*.apps.example.org", "service": "http_status:207"},
        NOT_FOUND,
    )
    routed(connected)
    expected = {
        (HOST, "/login"): 200,
        (f"{HOST}:443", "/login"): 200,
        (HOST, "/api/v2/x"): 418,
        (HOST, "/x/api/v2/x"): 200,
        ("a.b.apps.example.org", "/"): 207,
        ("apps.example.org", "/"): 404,
        ("prometheus", "/"): 404,
        (f"x.{HOST}", "/"): 404,
    }
    assert {place: connected.visit(*place).status_code for place in expected} == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": "a.*.example.org"},
        {"hostname": "a.example.org:80"},
        {"hostname": ""},
        {"service": "http://grafana:3000/path"},
        {"service": "grafana"},
        {"service": "tcp://postgres:5432"},
        {"service": "http_status:7"},
        {"path": "("},
        {"originRequest": {"noTLSVerify": True}},
    ],
    ids=str,
)
def test_a_configuration_that_is_wrong_leaves_the_one_before(connected, made, wrong):
    made.route(NOT_FOUND)
    routed(connected)
    made.route({"hostname": HOST, "service": "http_status:200", **wrong}, {"service": "http_status:200"})
    wait_until(lambda: "Failed to update ingress" in connected.log.read_text(), "it refuses the rules")
    assert connected.visit(HOST).status_code == 404
    assert connected.metric("cloudflared_orchestration_config_version") == 1

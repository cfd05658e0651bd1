"""What comes in at the edge is led by the tunnel's rules, and refused by them."""

import time

import pytest

from tests.access_tokens import AccessTeam
from tests.support.waiting import wait_until

NOT_FOUND = {"service": "http_status:404"}
HOST = "monitoring.example.org"


def routed(double, version=1):
    wait_until(lambda: double.inside("/config").json()["version"] == version, "it follows its configuration")


def test_the_first_rule_that_fits_host_and_path_leads(connected, made, service):
    made.route(
        {"hostname": HOST, "path": "^/api/(v1|v2)/", "service": "http_status:418"},
        {"hostname": HOST, "service": service},
        {"hostname": "*.apps.example.org", "service": "http_status:207"},
        NOT_FOUND,
    )
    routed(connected)
    answers = {
        (host, path): connected.visit(host, path).status_code
        for host, path in (
            (HOST, "/login"),
            (f"{HOST}:443", "/login"),
            (HOST, "/api/v2/x"),
            (HOST, "/x/api/v2/x"),
            ("a.apps.example.org", "/"),
            ("a.b.apps.example.org", "/"),
            ("apps.example.org", "/"),
            ("prometheus", "/"),
            (f"x.{HOST}", "/"),
        )
    }
    assert list(answers.values()) == [200, 200, 418, 200, 207, 207, 404, 404, 404]


def test_the_service_sees_the_public_name_and_who_came(connected, made, service):
    made.route({"service": service})
    routed(connected)
    seen = connected.visit(HOST, "/a%20b?c=d", X_Forwarded_For="9.9.9.9", X_Forwarded_Proto="http").json()
    told = {name.lower(): value for name, value in seen["headers"].items()}
    assert seen["path"] == "/a%20b?c=d"
    assert (told["host"], told["x-forwarded-proto"]) == (HOST, "https")
    assert told["x-forwarded-for"] == told["cf-connecting-ip"] == "127.0.0.1"
    assert told["cf-ray"].endswith("-DOUBLE")


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": "a.*.example.org", "service": "http_status:200"},
        {"hostname": "a.example.org:80", "service": "http_status:200"},
        {"hostname": "", "service": "http_status:200"},
        {"hostname": HOST, "service": "http://grafana:3000/path"},
        {"hostname": HOST, "service": "grafana"},
        {"hostname": HOST, "service": "tcp://postgres:5432"},
        {"hostname": HOST, "service": "http_status:7"},
        {"hostname": HOST, "path": "(", "service": "http_status:200"},
        {"hostname": HOST, "service": "http_status:200", "originRequest": {"noTLSVerify": True}},
    ],
    ids=str,
)
def test_a_configuration_that_is_wrong_leaves_the_one_before(connected, made, wrong):
    made.route(NOT_FOUND)
    routed(connected)
    made.route(wrong, {"service": "http_status:200"})
    wait_until(lambda: "Failed to update ingress" in connected.log.read_text(), "it refuses the rules")
    assert connected.visit(HOST).status_code == 404
    assert connected.metric("cloudflared_orchestration_config_version") == 1


@pytest.fixture
def guarded(connected, made, service, cloudflare, team):
    """A name that only a team may see, and one for everybody."""
    cloudflare.access_keys = [team.public_key]
    access = {"required": True, "teamName": team.name, "audTag": ["grafana", "another"]}
    made.route({"hostname": HOST, "service": service, "originRequest": {"access": access}}, {"service": service})
    routed(connected)
    return lambda token: connected.visit(HOST, Cf_Access_Jwt_Assertion=token).status_code


def test_who_came_through_access_comes_in(guarded, team):
    assert guarded(team.token("grafana")) == 200
    assert guarded(team.token("another")) == 200


def test_who_did_not_come_through_access_is_refused(guarded, connected):
    assert connected.visit(HOST).status_code == 403
    assert "no access token in request" in connected.log.read_text()
    assert connected.visit("open.example.org").status_code == 200


def test_a_token_for_another_application_is_refused(guarded, team):
    assert guarded(team.token("prometheus")) == 403


def test_a_token_that_is_not_valid_is_an_error_as_in_the_official_program(guarded, team, tmp_path):
    assert guarded(team.token("grafana", exp=int(time.time()) - 60)) == 502
    assert guarded(team.token("grafana", iss="https://others.cloudflareaccess.com")) == 502
    assert guarded(AccessTeam(tmp_path, team.name).token("grafana")) == 502, "a key of somebody else"
    assert guarded("a.b.c") == 502

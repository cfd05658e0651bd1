"""What comes in at the edge is led by the tunnel's rules, and refused by them."""

import time

import pytest

from tests.access_tokens import AccessTeam
from tests.kit_cloudflared.conftest import free_port, wait_until

NOT_FOUND = {"service": "http_status:404"}
HOST = "monitoring.example.org"


def routed(double, version=1):
    wait_until(lambda: double.inside("/config").json()["version"] == version)


def test_without_a_configuration_everything_is_503(connected):
    assert connected.inside("/config").json()["version"] == -1
    assert connected.visit(HOST).status_code == 503


def test_the_first_rule_that_fits_host_and_path_leads(connected, made, service):
    made.route(
        {"hostname": HOST, "path": "^/api/(v1|v2)/", "service": "http_status:418"},
        {"hostname": HOST, "service": service.url},
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
    made.route({"service": service.url})
    routed(connected)
    seen = connected.visit(HOST, "/a%20b?c=d", X_Forwarded_For="9.9.9.9", X_Forwarded_Proto="http").json()
    told = {name.lower(): value for name, value in seen["headers"].items()}
    assert seen["path"] == "/a%20b?c=d"
    assert (told["host"], told["x-forwarded-proto"]) == (HOST, "https")
    assert told["x-forwarded-for"] == told["cf-connecting-ip"] == "127.0.0.1"
    assert told["cf-ray"].endswith("-DOUBLE")


def test_a_change_of_the_configuration_is_followed_and_told(connected, made):
    made.route(NOT_FOUND)
    routed(connected)
    assert connected.visit(HOST).status_code == 404
    began = time.monotonic()
    made.route({"service": "http_status:410"})
    routed(connected, 2)
    assert time.monotonic() - began < 5
    assert connected.visit(HOST).status_code == 410
    assert connected.metric("cloudflared_orchestration_config_version") == 2
    assert "Updated to new configuration" in connected.log.read_text()


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
    wait_until(lambda: "Failed to update ingress" in connected.log.read_text())
    assert connected.visit(HOST).status_code == 404
    assert connected.metric("cloudflared_orchestration_config_version") == 1


def test_a_service_that_is_not_there_is_502_and_counted(connected, made):
    made.route({"service": f"http://127.0.0.1:{free_port()}"})
    routed(connected)
    assert connected.visit(HOST).status_code == 502
    assert connected.metric("cloudflared_tunnel_request_errors") == 1
    assert "Unable to reach the origin service" in connected.log.read_text()


def test_requests_are_counted_by_what_was_answered(connected, made, service):
    made.route({"hostname": HOST, "service": service.url}, NOT_FOUND)
    routed(connected)
    for host in (HOST, HOST, "other.example.org"):
        connected.visit(host)
    assert connected.metric("cloudflared_tunnel_total_requests") == 3
    assert connected.metric('cloudflared_tunnel_response_by_code{status_code="200"}') == 2
    assert connected.metric('cloudflared_tunnel_response_by_code{status_code="404"}') == 1
    assert connected.metric("cloudflared_tunnel_concurrent_requests_per_tunnel") == 0


@pytest.fixture
def guarded(connected, made, service, cloudflare, team):
    """A name that only a team may see, and one for everybody."""
    cloudflare.access_keys = [team.public_key]
    access = {"required": True, "teamName": team.name, "audTag": ["grafana", "another"]}
    made.route(
        {"hostname": HOST, "service": service.url, "originRequest": {"access": access}}, {"service": service.url}
    )
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

"""A stack behind a tunnel: a fake of Cloudflare's API, and the image kit's double of cloudflared, which follows it."""

import json
import re

import httpx
import pytest

from tests.access_tokens import AccessTeam
from tests.cloudflare_api import SECRET, TOKEN, running_cloudflare
from tests.live.running import Running
from tests.live.test_1_up import wait_until

STACK = "tunnel"
HOST = "monitoring-staging.example.org"
OPEN = "web-staging.example.org"
"""The service's own name, without Access before it."""

EDGE = 7844
"""Where the double plays Cloudflare's edge."""

# Without logs and stores: the less there is, the sooner it is up.
PRODUCT_FILE = """\
name: behind
services:
  web:
    image: demo
    command: [frontend]
    port: 3000
    env: {PORT: "3000", BACKEND_URL: "http://nowhere:3333"}
    health: {http: /health, interval: 2s}
    limits: {memory: 256MB, cpus: 0.5}
monitoring: {logs: {enabled: false}}
docker: {health_interval: 2s}
"""
STACK_FILE = """\
config:
  dockyard:product: products/behind.yaml
  dockyard:environment: staging
  dockyard:tunnel:
    name: behind-monitoring-staging
    hostname: monitoring-staging.example.org
    account_id: 0123456789abcdef0123456789abcdef
    zone_id: fedcba9876543210fedcba9876543210
    access: {team: example, emails: [somebody@example.org]}
    services: [{hostname: web-staging.example.org, service: web, access: false}]
"""


@pytest.fixture(scope="module")
def cloudflare(fresh_checkout):
    """The fake, where both this machine's plugin and the engine's containers reach it: at the engine's bridge."""
    files = {"products/behind.yaml": PRODUCT_FILE, f"Pulumi.{STACK}.yaml": STACK_FILE}
    for name, text in files.items():
        (fresh_checkout.folder / name).write_text(text)
    ready = fresh_checkout.dockyard("setup", STACK, limit=30 * 60)
    assert ready.code == 0, ready.output
    bridge = fresh_checkout.docker().networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    with running_cloudflare(bridge) as state, pytest.MonkeyPatch.context() as patched:
        state.edge = True
        patched.setenv("CLOUDFLARE_BASE_URL", state.url)
        yield state
    for name in files:
        (fresh_checkout.folder / name).unlink()


@pytest.fixture(scope="module")
def behind(fresh_checkout, cloudflare) -> Running:
    given = fresh_checkout.pulumi("config", "set", "--secret", "cloudflare:apiToken", TOKEN, "-s", STACK)
    assert given.code == 0, given.output
    return Running(fresh_checkout, STACK, fresh_checkout.dockyard("up", STACK))


@pytest.fixture(scope="module")
def team(cloudflare, tmp_path_factory) -> AccessTeam:
    """The team of the settings; it signs what its visitors bring."""
    made = AccessTeam(tmp_path_factory.mktemp("team"), "example")
    cloudflare.access_keys = [made.public_key]
    return made


@pytest.fixture
def pass_(cloudflare, team) -> dict[str, str]:
    """What Access gives to who logged in for Grafana, for a minute."""
    return passed(cloudflare, team)


def passed(cloudflare, team) -> dict[str, str]:
    (application,) = cloudflare.access.apps.values()
    assert application["domain"] == HOST
    return {"Cf-Access-Jwt-Assertion": team.token(application["aud"])}


@pytest.fixture
def visit(behind):
    """Ask for a public name, as a request comes in at Cloudflare's edge."""
    address = address_of(behind, "cloudflared")

    def asked(host: str, path: str = "/", **headers: str) -> httpx.Response:
        return httpx.get(f"http://{address}:{EDGE}{path}", headers={"Host": host, **headers}, timeout=10)

    return asked


def address_of(behind: Running, role: str) -> str:
    """Return an address at which this machine reaches a container."""
    return next(iter(behind.containers[role].attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]


def the_tunnel(cloudflare) -> dict:
    (found,) = cloudflare.tunnels.values()
    return found


def test_it_comes_up_with_its_tunnel_connected(behind, cloudflare):
    assert behind.up.code == 0, behind.up.output
    running = [one for one in behind.containers.values() if one.attrs["State"]["Running"]]
    assert {one.attrs["State"]["Health"]["Status"] for one in running} == {"healthy"}
    assert [the_tunnel(cloudflare)[key] for key in ("name", "status")] == ["behind-monitoring-staging", "healthy"]
    leads = f"{the_tunnel(cloudflare)['id']}.cfargotunnel.com"
    assert {record["name"]: record["content"] for record in cloudflare.records.values()} == {HOST: leads, OPEN: leads}


def test_who_came_through_access_finds_grafanas_log_in(visit, pass_):
    login = visit(HOST, "/login", **pass_)
    assert login.status_code == 200
    assert "Grafana" in login.text
    assert visit(HOST, "/api/datasources", **pass_).status_code == 401


def test_who_did_not_come_through_access_does_not_even_find_that(visit, team, tmp_path):
    assert visit(HOST, "/login").status_code == 403
    assert visit(HOST, "/login", **{"Cf-Access-Jwt-Assertion": team.token("of another application")}).status_code == 403
    forged = AccessTeam(tmp_path, "example").token("of another application")
    assert visit(HOST, "/login", **{"Cf-Access-Jwt-Assertion": forged}).status_code == 502


def test_a_service_of_the_product_is_there_for_everybody_under_its_own_name(visit):
    page = visit(OPEN)
    assert page.status_code == 200
    assert "Polls" in page.text


@pytest.mark.parametrize(
    "host", ["prometheus", "alertmanager", "loki", "web", "grafana", "other.example.org", f"x.{HOST}"]
)
def test_no_other_name_leads_anywhere(visit, host):
    assert visit(host).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/query?query=up", "/api/v2/alerts", "/loki/api/v1/labels", "/-/ready"])
def test_no_path_of_the_public_name_leads_to_another_tool(behind, visit, pass_, path):
    """What is answered is Grafana's own answer."""
    itself = httpx.get(f"http://{address_of(behind, 'grafana')}:3000{path}", timeout=10)
    answer = visit(HOST, path, **pass_)
    assert (answer.status_code, answer.text) == (itself.status_code, itself.text)


def test_the_tokens_are_nowhere_in_the_open(behind, cloudflare):
    """Neither the tunnel's nor the API's: inspect, logs, processes, the state, and what `up` says."""
    account, tunnel = (the_tunnel(cloudflare)[key] for key in ("account_tag", "id"))
    token = cloudflare.answer("GET", f"/accounts/{account}/cfd_tunnel/{tunnel}/token", None)
    connector = behind.containers["cloudflared"]
    assert connector.exec_run(["cloudflared", "--version"]).exit_code == 0
    open_words = [behind.up.output, json.dumps(connector.top())]
    for one in behind.containers.values():
        open_words += [json.dumps(one.attrs), one.logs().decode()]
    folder = behind.checkout.folder
    open_words += [file.read_text() for file in (folder / ".dockyard/state").rglob("*.json*")]
    open_words += [file.read_text() for file in (folder / ".dockyard/logs").rglob("*.log")]
    open_words.append((folder / f"Pulumi.{STACK}.yaml").read_text())
    assert any(tunnel in words for words in open_words), "they are looked for in the right places"
    for secret in (token, SECRET, TOKEN):
        assert not any(secret in words for words in open_words)


def test_a_second_up_changes_nothing_while_the_tunnel_is_connected(behind):
    again = behind.checkout.dockyard("up", STACK)
    assert again.code == 0
    assert "\n0 changes in" in again.output


def test_a_preview_with_refresh_is_clean_while_the_tunnel_is_connected(behind):
    seen = behind.preview()
    assert seen.code == 0, seen.output


def look(behind: Running, *options: str) -> tuple[int, set[tuple[str, str, str]]]:
    """Run `drift`; return its exit code, and the resource, field and found value of each finding."""
    seen = behind.checkout.dockyard("drift", STACK, "--json", *options)
    # What --fix does is told before, among it values with braces of their own.
    told = json.loads(re.search(r"^\{$.*^\}$", seen.output, re.MULTILINE | re.DOTALL)[0])
    return seen.code, {(one["resource"], one["field"], one["found"]) for one in told["findings"]}


def test_what_was_changed_at_cloudflare_is_named_and_put_right(behind, cloudflare, visit, team):
    """A tunnel that leads to another tool, a name that leads elsewhere, and Access that lets everybody in."""
    tunnel = the_tunnel(cloudflare)
    path = f"/accounts/{tunnel['account_tag']}/cfd_tunnel/{tunnel['id']}/configurations"
    by_hand = [{"hostname": HOST, "service": "http://prometheus:9090"}, {"service": "http_status:404"}]
    cloudflare.answer("PUT", path, {"config": {"ingress": by_hand}})
    (record,) = (one for one in cloudflare.records.values() if one["name"] == OPEN)
    record["content"] = "elsewhere.example.net"
    (policy,) = cloudflare.access.policies.values()
    emails, policy["include"] = policy["include"], [{"everyone": {}}]
    wait_until(lambda: "Prometheus" in visit(HOST, "/-/ready").text, 30)
    code, found = look(behind)
    assert code == 1
    assert found >= {
        (
            "zerotrusttunnelcloudflaredconfig behind-tunnel-ingress",
            "config.ingresses[0].service",
            "http://prometheus:9090",
        ),
        (f"dnsrecord behind-tunnel-dns-{OPEN}", "content", "elsewhere.example.net"),
        ("zerotrustaccesspolicy behind-tunnel-access-people", "includes[0].email", "not set"),
    }
    assert len({resource for resource, _, _ in found}) == 3
    assert look(behind, "--fix") == (0, set())
    assert [one["include"] for one in cloudflare.access.policies.values()] == [emails]
    assert {one["content"] for one in cloudflare.records.values()} == {f"{tunnel['id']}.cfargotunnel.com"}
    wait_until(lambda: visit(HOST, "/-/ready").status_code == 403, 30)
    # Two looks take longer than a pass is good for.
    assert visit(HOST, "/login", **passed(cloudflare, team)).status_code == 200


def test_down_leaves_nothing_at_cloudflare(behind, cloudflare):
    gone = behind.checkout.dockyard("down", STACK)
    assert gone.code == 0, gone.output
    assert the_tunnel(cloudflare)["deleted_at"]
    assert cloudflare.records == {}
    assert cloudflare.access.apps == {}
    assert behind.containers == {}

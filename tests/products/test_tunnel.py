"""A stack behind a tunnel: a fake of Cloudflare's API, and the image kit's double of cloudflared, which follows it."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.access_tokens import AccessTeam
from tests.cloudflare_api import SECRET, TOKEN, Cloudflare, running_cloudflare
from tests.support.checkout import MINUTES, Checkout, Finished
from tests.support.hands import Hands, Values
from tests.support.stack import Stack
from tests.support.waiting import wait_until

STACK = "tunnel"
HOST = "monitoring-staging.example.org"
OPEN = "web-staging.example.org"  # the service's own name, without Access before it

EDGE = 7844  # where the double plays Cloudflare's edge

Visit = Callable[..., httpx.Response]

# Without logs and stores: the less there is, the sooner it is up.
PRODUCT_FILE = """\
name: behind
services:
  web:
    image: demo
    command: [demo, frontend]
    port: 3000
    env: {PORT: "3000", BACKEND_URL: "http://nowhere:3333"}
    health: {http: /health, interval: 2s}
    limits: {memory: 256MB, cpus: 0.5}
    secrets: [session-key]
    secrets_as_env: true
monitoring: {logs: {enabled: false}}
docker: {health_interval: 10s, health_start_interval: 1s}
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
def cloudflare(bridge: str) -> Iterator[Cloudflare]:
    """The fake, where both this machine's plugin and the engine's containers reach it: at the engine's bridge."""
    with running_cloudflare(bridge) as state, pytest.MonkeyPatch.context() as patched:
        state.edge = True
        patched.setenv("CLOUDFLARE_BASE_URL", state.url)
        yield state


@pytest.fixture(scope="module")
def tunnel_stack(checkout: Checkout, cloudflare: Cloudflare) -> Stack:
    """The stack, which need not be up."""
    stack, product_file = Stack(checkout, STACK), checkout.folder / "products/behind.yaml"
    product_file.write_text(PRODUCT_FILE)
    stack.stack_file.write_text(STACK_FILE)
    checkout.dockyard("setup", STACK, limit=30 * MINUTES).good()
    checkout.pulumi("config", "set", "--secret", "cloudflare:apiToken", TOKEN, "-s", STACK).good()
    return stack


@pytest.fixture(scope="module")
def first_tunnel_up(tunnel_stack: Stack) -> Finished:
    """The first `up`, which makes the tunnel and gets its token."""
    return tunnel_stack.up().good()


@pytest.fixture
def behind(tunnel_stack: Stack, first_tunnel_up: Finished) -> Stack:
    """The stack, up: a test that takes it down leaves it so."""
    tunnel_stack.restore()
    return tunnel_stack


@pytest.fixture(scope="module")
def team(cloudflare: Cloudflare, tmp_path_factory: pytest.TempPathFactory) -> AccessTeam:
    """The team of the settings; it signs what its visitors bring."""
    made = AccessTeam(tmp_path_factory.mktemp("team"), "example")
    cloudflare.access_keys = [made.public_key]
    return made


@pytest.fixture
def pass_(cloudflare: Cloudflare, team: AccessTeam, behind: Stack) -> dict[str, str]:
    """What Access gives to who logged in for Grafana, for a minute."""
    return passed(cloudflare, team)


def passed(cloudflare: Cloudflare, team: AccessTeam) -> dict[str, str]:
    (application,) = cloudflare.access.apps.values()
    assert application["domain"] == HOST
    return {"Cf-Access-Jwt-Assertion": team.token(application["aud"])}


@pytest.fixture
def visit(behind: Stack) -> Visit:
    """Ask for a public name, as a request comes in at Cloudflare's edge."""
    address = address_of(behind, "cloudflared")

    def asked(host: str, path: str = "/", **headers: str) -> httpx.Response:
        return httpx.get(f"http://{address}:{EDGE}{path}", headers={"Host": host, **headers}, timeout=10)

    return asked


def address_of(behind: Stack, role: str) -> str:
    return next(iter(behind.containers[role].attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]


def the_tunnel(cloudflare: Cloudflare) -> dict:
    (tunnel,) = (tunnel for tunnel in cloudflare.tunnels.values() if not tunnel.get("deleted_at"))
    return tunnel


def test_the_tunnel_is_connected_and_its_names_lead_to_it(behind: Stack, cloudflare: Cloudflare) -> None:
    assert behind.unhealthy == []
    assert [the_tunnel(cloudflare)[key] for key in ("name", "status")] == ["behind-monitoring-staging", "healthy"]
    target = f"{the_tunnel(cloudflare)['id']}.cfargotunnel.com"
    assert {record["name"]: record["content"] for record in cloudflare.records.values()} == {HOST: target, OPEN: target}


def test_a_secret_in_a_variable_is_not_in_what_inspect_shows(behind: Stack) -> None:
    web = behind.container("web")
    # Process 1 is Docker's init: the service is its child.
    variables = web.exec_run(["sh", "-c", "cat /proc/[0-9]*/environ"]).output
    (secret,) = {*re.findall(rb"(?:^|\0)SESSION_KEY=([^\0]+)", variables)}
    assert len(secret) >= 16
    assert secret.decode() not in json.dumps(web.attrs)
    assert "SESSION_KEY" not in {entry.split("=")[0] for entry in web.attrs["Config"]["Env"]}


def test_access_leads_to_the_log_in_of_grafana(visit: Visit, pass_: dict[str, str]) -> None:
    login = visit(HOST, "/login", **pass_)
    assert login.status_code == 200
    assert "Grafana" in login.text
    assert visit(HOST, "/api/datasources", **pass_).status_code == 401


def test_nobody_reaches_grafana_without_access(visit: Visit, team: AccessTeam, tmp_path: Path) -> None:
    assert visit(HOST, "/login").status_code == 403
    assert visit(HOST, "/login", **{"Cf-Access-Jwt-Assertion": team.token("of another application")}).status_code == 403
    forged = AccessTeam(tmp_path, "example").token("of another application")
    assert visit(HOST, "/login", **{"Cf-Access-Jwt-Assertion": forged}).status_code == 502


def test_a_service_without_access_is_open_under_its_own_name(visit: Visit) -> None:
    page = visit(OPEN)
    assert page.status_code == 200
    assert "Polls" in page.text


@pytest.mark.parametrize(
    "host", ["prometheus", "alertmanager", "victorialogs", "web", "grafana", "other.example.org", f"x.{HOST}"]
)
def test_no_other_name_leads_anywhere(visit: Visit, host: str) -> None:
    assert visit(host).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/query?query=up", "/api/v2/alerts", "/select/logsql/query", "/-/ready"])
def test_no_path_of_the_public_name_leads_to_another_tool(
    behind: Stack, visit: Visit, pass_: dict[str, str], path: str
) -> None:
    itself = httpx.get(f"http://{address_of(behind, 'grafana')}:3000{path}", timeout=10)
    answer = visit(HOST, path, **pass_)
    assert (answer.status_code, answer.text) == (itself.status_code, itself.text)


def test_a_second_up_changes_nothing_and_the_tokens_are_nowhere_in_the_open(
    behind: Stack, first_tunnel_up: Finished, cloudflare: Cloudflare
) -> None:
    account, tunnel = (the_tunnel(cloudflare)[key] for key in ("account_tag", "id"))
    token = cloudflare.answer("GET", f"/accounts/{account}/cfd_tunnel/{tunnel}/token", None)
    connector = behind.container("cloudflared")
    assert connector.exec_run(["cloudflared", "--version"]).exit_code == 0
    again = behind.checkout.dockyard("up", STACK).good()
    assert "\n0 changes in" in again.output
    open_words = [first_tunnel_up.output, again.output, json.dumps(connector.top())]
    for container in behind.all_containers:
        open_words += [json.dumps(container.attrs), container.logs().decode()]
    folder = behind.checkout.folder
    open_words += [file.read_text() for file in (folder / ".dockyard/state").rglob("*.json*")]
    open_words += [file.read_text() for file in (folder / ".dockyard/logs").rglob("*.log")]
    open_words.append(behind.stack_file.read_text())
    assert any(tunnel in words for words in open_words), "they are looked for in the right places"
    for secret in (token, SECRET, TOKEN):
        assert not any(secret in words for words in open_words)


def test_a_preview_with_refresh_is_clean_while_the_tunnel_is_connected(behind: Stack) -> None:
    behind.preview("--refresh").good()


def drift(behind: Stack, *options: str) -> tuple[int, set[tuple[str, str, str]]]:
    """Run `drift`; return its exit code, and the resource, field and actual value of each finding."""
    finished = behind.drift("--json", *options)
    # The actions of --fix are printed before, among them values with braces of their own.
    report = json.loads(re.search(r"^\{$.*^\}$", finished.output, re.MULTILINE | re.DOTALL)[0])
    return finished.code, {(one["resource"], one["field"], one["found"]) for one in report["findings"]}


def test_drift_reports_and_repairs_what_was_changed_at_cloudflare(
    behind: Stack, cloudflare: Cloudflare, visit: Visit, team: AccessTeam
) -> None:
    tunnel = the_tunnel(cloudflare)
    path = f"/accounts/{tunnel['account_tag']}/cfd_tunnel/{tunnel['id']}/configurations"
    by_hand = [{"hostname": HOST, "service": "http://prometheus:9090"}, {"service": "http_status:404"}]
    cloudflare.answer("PUT", path, {"config": {"ingress": by_hand}})
    (record,) = (record for record in cloudflare.records.values() if record["name"] == OPEN)
    record["content"] = "elsewhere.example.net"
    (policy,) = cloudflare.access.policies.values()
    emails, policy["include"] = policy["include"], [{"everyone": {}}]
    wait_until(lambda: "Prometheus" in visit(HOST, "/-/ready").text, "the tunnel leads to Prometheus", 30)
    code, findings = drift(behind)
    assert code == 1
    ingress = "zerotrusttunnelcloudflaredconfig behind-tunnel-ingress"
    assert findings >= {
        (ingress, "config.ingresses[0].service", "http://prometheus:9090"),
        (f"dnsrecord behind-tunnel-dns-{OPEN}", "content", "elsewhere.example.net"),
        ("zerotrustaccesspolicy behind-tunnel-access-people", "includes[0].email", "not set"),
    }
    assert len({resource for resource, _, _ in findings}) == 3
    assert drift(behind, "--fix") == (0, set())
    assert [policy["include"] for policy in cloudflare.access.policies.values()] == [emails]
    assert {record["content"] for record in cloudflare.records.values()} == {f"{tunnel['id']}.cfargotunnel.com"}
    wait_until(lambda: visit(HOST, "/-/ready").status_code == 403, "the tunnel leads to Grafana again", 30)
    # Two runs of drift take longer than a pass is good for.
    assert visit(HOST, "/login", **passed(cloudflare, team)).status_code == 200


def test_down_leaves_nothing_of_a_repaired_stack_and_all_of_the_others(behind: Stack, cloudflare: Cloudflare) -> None:
    def owner_is_root(config: Values, host: Values) -> None:
        config["User"] = "0:0"
        config["Labels"] = {**config["Labels"], "owner": "me"}

    Hands.on(behind).make_again("app-web", owner_is_root)
    assert drift(behind, "--fix") == (0, set())
    others = others_than(behind)
    # a staging stack: `--yes` alone does not delete its data.
    behind.down("--volumes", "--yes-delete-data", STACK).good()
    assert behind.everything == set()
    assert others_than(behind) == others
    assert [tunnel for tunnel in cloudflare.tunnels.values() if not tunnel.get("deleted_at")] == []
    assert cloudflare.records == {}
    assert cloudflare.access.apps == {}


def others_than(stack: Stack) -> set[str]:
    """Return the ids of all that other stacks have on the engine. A volume that an image declares has no label."""
    client = stack.client
    items = [*client.containers.list(all=True), *client.networks.list(), *client.volumes.list()]
    mounts = [mount for container in stack.all_containers for mount in container.attrs["Mounts"]]
    return {item.id for item in items} - stack.everything - {mount.get("Name") for mount in mounts}

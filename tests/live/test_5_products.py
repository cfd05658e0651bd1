"""The four products of the seeds side by side on one engine: each healthy, as its document says, in nobody's way."""

import json

import httpx
import pytest
from docker.errors import NotFound

from tests.live.products import STACKS
from tests.live.running import Running
from tests.live.test_1_up import wait_until
from tests.seeds.inspection import file_in, shows
from tests.seeds.table import Row, rows


@pytest.fixture(params=STACKS)
def product(request, products) -> Running:
    """Each of the four."""
    return products[request.param]


def test_it_comes_up_to_all_healthy(product):
    assert product.up.code == 0, product.up.output
    for role, container in product.containers.items():
        state = container.attrs["State"]
        if state["Running"]:
            assert state["Health"]["Status"] == "healthy", role
        else:
            assert state["ExitCode"] == 0, role


def test_every_figure_of_its_seed_shows_in_its_containers(product):
    containers = product.containers

    def shown(row: Row) -> bool:
        container = containers.get(row.container)
        try:
            return container is not None and all(
                shows(check, container.attrs, file_in(container), product.offset) for check in row.checks
            )
        except (KeyError, NotFound):
            return False

    assert [
        f"{row}: {row.container}: {row.checks}" for row in rows() if row.stack == product.stack and not shown(row)
    ] == []


def test_a_preview_with_refresh_is_clean(product):
    seen = product.preview()
    assert seen.code == 0, seen.output


def test_none_takes_a_port_a_network_or_a_volume_of_another(products):
    ports: list[str] = []
    for product in products.values():
        networks = {
            one.id for one in product.client.networks.list(filters={"label": f"dockyard.stack={product.stack}"})
        }
        for role, container in product.containers.items():
            joined = {one["NetworkID"] for one in container.attrs["NetworkSettings"]["Networks"].values()}
            assert joined <= networks, f"{product.stack}: {role}"
            published = [one["HostPort"] for some in (container.ports or {}).values() for one in some or ()]
            assert not published or role == "traefik", f"{product.stack}: {role}"
            ports += published
    assert sorted(ports) == sorted(set(ports))
    owned = [thing for product in products.values() for thing in product.everything]
    assert len(owned) == len(set(owned))


def test_tumulte_answers_from_its_stores(products):
    tumulte = products["dev"]
    assert tumulte.post("backend", "/polls", {"question": "Tea?", "options": ["yes", "no"]}).status_code == 201
    assert "Tea?" in tumulte.get("frontend", "/").text


def test_love_parser_is_ready_and_works_off_its_queues(products):
    love_parser = products["love-parser"]
    ready = love_parser.get("backend", "/health/ready").json()
    assert ready["checks"] == {"db": {"status": "ok"}, "redis": {"status": "ok"}}
    assert love_parser.post("backend", "/queues/broadcast/jobs", {"count": 3}).status_code == 202
    assert "love_parser_broadcasts_sent_total" in love_parser.get("backend", "/metrics").text


def test_what_love_parsers_containers_write_is_found_in_grafana_by_product_environment_service_and_container(products):
    love_parser = products["love-parser"]
    given = love_parser.checkout.pulumi("stack", "output", "secrets", "-s", "love-parser", "--json", "--show-secrets")
    account = ("admin", json.loads(given.output)["grafana-admin-password"])
    running = {
        role for role, one in love_parser.containers.items() if one.attrs["State"]["Running"] and one.logs(tail=1)
    }

    def loki(path: str, **parameters: str) -> list:
        url = f"{love_parser.urls['grafana']}/api/datasources/proxy/uid/love-loki/loki/api/v1{path}"
        answer = httpx.get(url, params={"since": "24h", **parameters}, auth=account, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def every_service_has_lines() -> bool:
        return set(loki("/label/service/values")) >= running

    assert {"backend", "postgres", "redis", "prometheus"} <= running
    wait_until(every_service_has_lines, 60)
    labels = loki("/series", **{"match[]": '{service="backend"}'})
    mine = {"product": "love-parser", "environment": "development", "service": "backend"}
    assert labels == [{**mine, "container": "love-parser-app-backend"}]
    assert loki("/label/product/values") == ["love-parser"], "lines of the stacks beside it are theirs"


def test_pivotal_flow_reads_its_secrets_from_variables_that_inspect_does_not_show(products):
    pivotal = products["pivotal-flow"]
    assert pivotal.get("backend", "/version").json()["secrets"] == ["JWT_SECRET"]
    names = {one.split("=")[0] for one in pivotal.containers["backend"].attrs["Config"]["Env"]}
    assert not names & {"JWT_SECRET", "DATABASE_URL", "REDIS_URL", "DATABASE_PASSWORD", "REDIS_PASSWORD"}
    assert pivotal.post("backend", "/polls", {"question": "Soup?", "options": ["yes", "no"]}).status_code == 201
    assert pivotal.get("frontend", "/").status_code == 200


def test_the_dating_app_leads_http_to_https_and_the_host_name_to_its_web_app(products):
    dating = products["dating-app"]
    host = {"Host": "dating-app.localhost"}
    plain = httpx.get(f"http://127.0.0.1:{80 + dating.offset}/", headers=host, timeout=10)
    assert plain.status_code in (301, 308)
    port = f":{443 + dating.offset}" if dating.offset else ""
    assert plain.headers["location"] == f"https://dating-app.localhost{port}/"
    # Self-signed: there is no authority for it here.
    with httpx.Client(verify=False, timeout=10) as client:  # noqa: S501 - self-signed
        secure = f"https://127.0.0.1:{443 + dating.offset}/"
        assert "Web app" in client.get(secure, headers=host).text
        assert client.get(secure, headers={"Host": "somebody-else.localhost"}).status_code == 404
    assert dating.get("webapp", "/").status_code == 200, "dev mode"


def test_a_migration_job_that_fails_leaves_the_old_version_serving_and_shows_its_last_lines(products):
    pivotal = products["pivotal-flow"]
    file = pivotal.checkout.folder / "Pulumi.pivotal-flow.yaml"
    good = file.read_text()
    backend = pivotal.containers["backend"].id
    wanted = 'migrate: {env: {DEMO_MIGRATION_FAIL: "1"}, '
    file.write_text(good.replace("migrate: {", wanted).replace("METRICS_PREFIX", 'RELEASE: "2", METRICS_PREFIX'))
    try:
        failed = pivotal.checkout.dockyard("up", "pivotal-flow")
    finally:
        file.write_text(good)
    assert failed.code != 0
    assert "the job pivotal-flow-app-migrate ended with exit code 1" in failed.output
    assert "9999_asked_to_fail" in failed.output, "its own last words"
    assert pivotal.containers["backend"].id == backend
    assert pivotal.get("backend", "/health/ready").status_code == 200
    mended = pivotal.checkout.dockyard("up", "pivotal-flow")
    assert mended.code == 0, mended.output
    assert pivotal.containers["migrate"].attrs["State"]["ExitCode"] == 0
    assert pivotal.containers["backend"].id == backend


def test_down_leaves_nothing_of_it_and_all_of_the_others(product, products):
    others = {stack: other.everything for stack, other in products.items() if stack != product.stack}
    gone = product.down()
    assert gone.code == 0, gone.output
    assert product.everything == set()
    assert {stack: products[stack].everything for stack in others} == others

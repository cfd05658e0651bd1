"""`verify`: what makes a stack well, and what is reported where it is not."""

import json
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from machine.workdir import WorkDir
from ops.inspect import verify
from ops.inspect.verify import (
    Alert,
    CheckResult,
    Sample,
    SilentError,
    alerts_in,
    check_alerts,
    check_targets,
    samples_in,
)
from settings.loader import load, read_stack_file
from settings.release import VARIABLE
from tests.support.checkout import SOURCE
from tests.support.clock import FakeClock
from tests.support.states import container
from tests.unit.checkouts import PRODUCT, make, read

BEGAN = 1000.0
BACKEND = {"job": "backend", "service": "backend", "instance": "backend:3333"}
ROUTE = {"job": "probe", "probe": "route", "service": "backend", "instance": "https://shop.example/"}


def answers(**changes):
    """What a Prometheus says that has asked its one target and its one probe since, and found both well."""
    said = {
        verify.NOW: [Sample({}, BEGAN)],
        verify.TARGETS: [Sample(BACKEND, BEGAN + 5), Sample(ROUTE, BEGAN + 5)],
        verify.PROBES: [Sample(ROUTE, BEGAN + 5)],
        verify.DOWN: [],
        verify.FAILED: [],
        verify.DEPLOY_BEGAN: [Sample({}, BEGAN - 60)],
        **{getattr(verify, name): samples for name, samples in changes.items()},
    }
    return said.__getitem__


STALE = [Sample(BACKEND, BEGAN - 1)]


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        (
            {"DOWN": [Sample(BACKEND, 0)], "FAILED": [Sample(ROUTE, 0)]},
            ["target backend backend:3333 does not answer", "probe route backend https://shop.example/ fails"],
        ),
        ({"TARGETS": STALE, "PROBES": []}, ["backend backend:3333 has no new result yet"]),
        # What is down is not reported a second time as not asked.
        (
            {"TARGETS": STALE, "PROBES": [], "DOWN": [Sample(BACKEND, 0)]},
            ["target backend backend:3333 does not answer"],
        ),
        ({"TARGETS": [], "PROBES": []}, ["Prometheus has no targets yet"]),
    ],
)
def test_targets_and_probes_that_are_not_well_are_named(changes, problems):
    seen = CheckResult()
    check_targets(answers(**changes), BEGAN, set(), seen)
    assert seen.problems == problems


def test_every_health_check_and_route_of_the_shipped_products_is_declared():
    dating = load(read_stack_file(SOURCE, "dating-app"), "dating-app", checkout=SOURCE, preview=True).product
    assert ("route", "webapp") in verify.declared_addresses(dating)


def alert(since: float) -> Alert:
    return Alert({"alertname": "BackendDown", "severity": "critical", "product": "shop", "instance": "a:1"}, since)


@pytest.mark.parametrize(
    ("changes", "older"), [({}, 1), ({"DEPLOY_BEGAN": []}, 0)], ids=["a deploy is known", "none is"]
)
def test_a_critical_alert_is_a_problem_unless_it_is_from_before_the_deploy(changes, older):
    seen = CheckResult()
    check_alerts([alert(BEGAN - 61), alert(BEGAN - 59)], answers(**changes), seen)
    assert seen.older == ["critical alert BackendDown (instance=a:1)"] * older
    assert seen.problems == ["critical alert BackendDown (instance=a:1)"] * (2 - older)


def of_prometheus(*samples: Sample) -> str:
    found = [{"metric": dict(one.labels), "value": [BEGAN, str(one.value)]} for one in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}})


# As amtool 0.33 prints it.
OF_AMTOOL = (
    '[{"annotations":{},"endsAt":"2026-11-21T21:23:59.829Z","fingerprint":"caa3ef8adc0cb148",'
    '"receivers":[{"name":"none"}],"startsAt":"2026-11-21T21:18:59.829Z",'
    '"status":{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"},"updatedAt":"2026-11-21T21:18:59.829Z",'
    '"labels":{"alertname":"X","instance":"a:1","product":"shop","severity":"critical"}}]\n'
)


def test_answers_of_prometheus_and_amtool_are_read():
    assert samples_in(of_prometheus(Sample(BACKEND, 1.5))) == [Sample(BACKEND, 1.5)]
    (found,) = alerts_in(OF_AMTOOL)
    assert (found.labels["alertname"], found.since) == ("X", 1795295939.829)
    assert alerts_in("[]\n") == []


@pytest.mark.parametrize("read_answer", [samples_in, alerts_in])
@pytest.mark.parametrize("text", ["", "503 Service Unavailable", '{"status": "error"}', "[1]"])
def test_another_text_is_no_answer(read_answer, text):
    with pytest.raises(SilentError, match="unexpected answer"):
        read_answer(text)


QUERIES = {
    quote(query): query
    for query in (verify.NOW, verify.TARGETS, verify.PROBES, verify.DOWN, verify.FAILED, verify.DEPLOY_BEGAN)
}


@pytest.fixture
def monitored(docker):
    """Return a function that puts a Prometheus and an Alertmanager with these answers on the engine."""

    def put(prometheus=None, alerts: str = "[]", **health: str) -> None:
        answer = prometheus or answers()

        def ask(command: list[str]) -> tuple[int, bytes, bytes]:
            samples = answer(QUERIES[command[-1].partition("query=")[2]])
            return (1, b"", b"wget: refused") if samples is None else (0, of_prometheus(*samples).encode(), b"")

        def tell(_: list[str]) -> tuple[int, bytes, bytes]:
            return 0, alerts.encode(), b"a warning\n"

        for tool, run in (("prometheus", ask), ("alertmanager", tell)):
            docker.add_container(tool, health=health.get(f"{tool}_health", "healthy"), run=run)

    return put


@pytest.fixture
def verified(docker, monkeypatch, progress, printed):
    """Return a function that verifies what stands on the engine; it returns the exit code and the text."""

    def run(within: int = 0, product=None) -> tuple[int, str]:
        resources = [container(name) for name in docker.container_names]
        pulumi = SimpleNamespace(stack="prod", read=lambda *_: {"deployment": {"resources": resources}})
        settings = SimpleNamespace(product=SimpleNamespace(workloads={}))
        ready = SimpleNamespace(pulumi_cli=pulumi, settings=settings, docker_client=lambda: docker)
        monkeypatch.setattr(verify, "connect", lambda *_: ready)
        monkeypatch.setattr(verify, "_product_that_runs", lambda *_: product)
        monkeypatch.setattr(verify, "time", FakeClock())
        code = verify.verify(None, "prod", progress, within=within)
        return code, printed.getvalue()

    return run


def test_a_stack_that_is_well_passes_with_a_count(docker, monitored, verified):
    monitored()
    docker.add_container("backend", health="healthy")
    code, text = verified()
    assert code == 0
    assert "✓ prod: 3 containers, 2 targets, 1 probes healthy, no new critical alert" in text


def test_every_problem_is_reported_and_fails_the_verb(docker, monitored, verified):
    monitored(answers(DOWN=[Sample(BACKEND, 0)]), OF_AMTOOL)
    docker.add_container("backend", health="unhealthy")
    code, text = verified()
    assert code == 1
    problems = ("✗ backend is unhealthy", "✗ target backend backend:3333 does not answer")
    for problem in (*problems, "✗ critical alert X (instance=a:1)", "prod is not healthy: 3 problems"):
        assert problem in text


def test_a_stack_that_gets_well_in_time_passes(monitored, verified):
    looks = iter([None, [Sample({}, BEGAN)]])
    well = answers()
    monitored(lambda query: next(looks) if query == verify.NOW else well(query))
    assert verified(within=60)[0] == 0


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
@pytest.mark.parametrize("tool", ["prometheus", "alertmanager"])
def test_a_tool_that_is_not_healthy_cannot_be_asked(monitored, verified, tool, health):
    monitored(**{f"{tool}_health": health})
    code, text = verified()
    assert code == 1
    assert f"✗ {tool} cannot be queried: it is {health}" in text


def test_a_prometheus_that_refuses_is_quoted(monitored, verified):
    monitored(lambda _: None)
    code, text = verified()
    assert code == 1
    assert "wget in prometheus exited with 1: wget: refused" in text


def test_a_stack_of_which_nothing_runs_is_not_well(verified):
    code, text = verified()
    assert (code, "the stack prod is not running" in text) == (1, True)


def test_a_declared_address_without_a_probe_fails_the_verb(monitored, verified, tmp_path):
    monitored()
    code, text = verified(product=read(make(tmp_path)).product)
    assert code == 1
    assert "✗ no probe checks the health of api" in text


def test_probes_that_are_off_are_mentioned(monitored, verified, tmp_path):
    monitored(answers(PROBES=[]))
    code, text = verified(product=read(make(tmp_path, PRODUCT + "monitoring: {probes: {enabled: false}}\n")).product)
    assert code == 0
    assert "monitoring.probes is off: no address is probed" in text


def test_the_addresses_of_the_old_release_are_declared_after_a_rollback(tmp_path, monkeypatch):
    checkout = make(tmp_path)
    monkeypatch.setenv(VARIABLE, "")  # so that what is set below goes when the test ends
    release = read(checkout).release
    monkeypatch.setattr(verify.releases, "running_release", lambda *_: release)
    (checkout / "products/shop.yaml").write_text(PRODUCT.replace("api:", "newer:"))
    assert [*verify._product_that_runs(WorkDir(checkout), "dev", None).services] == ["api"]

"""`verify`: what makes a stack well, and what is told where it is not."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from ops import verify
from ops.verify import Alert, Sample, Seen, SilentError, alerts_in, look_at_alerts, look_at_targets, samples_in
from settings.loader import load, read_stack_file
from settings.product import Product
from settings.release import VARIABLE
from tests.unit.checkouts import PRODUCT, make, read
from tests.unit.test_ops_status import Engine, attrs, container
from tests.unit.workflows import ROOT
from toolchain.progress import Progress
from toolchain.workdir import WorkDir

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


def seen_of(*declared: tuple[str, str], **changes):
    seen = Seen()
    look_at_targets(answers(**changes), BEGAN, {*declared}, seen)
    return seen


def test_targets_and_probes_that_answered_since_are_well():
    seen = seen_of()
    assert (seen.problems, seen.targets, seen.probes) == ([], 2, 1)


def test_a_target_that_is_down_and_a_probe_that_fails_are_named_as_a_person_calls_them():
    seen = seen_of(DOWN=[Sample(BACKEND, 0)], FAILED=[Sample(ROUTE, 0)])
    assert seen.problems == [
        "target backend backend:3333 does not answer",
        "probe route backend https://shop.example/ fails",
    ]


def test_an_answer_of_before_the_look_began_is_none_yet():
    seen = seen_of(TARGETS=[Sample(BACKEND, BEGAN - 1)], PROBES=[])
    assert seen.problems == ["backend backend:3333 has not been asked since"]


def test_what_is_down_is_not_told_a_second_time_as_not_asked():
    seen = seen_of(TARGETS=[Sample(BACKEND, BEGAN - 1)], PROBES=[], DOWN=[Sample(BACKEND, 0)])
    assert seen.problems == ["target backend backend:3333 does not answer"]


def test_a_prometheus_without_targets_is_not_taken_for_one_whose_targets_are_all_well():
    assert seen_of(TARGETS=[], PROBES=[]).problems == ["Prometheus has no targets yet"]


def test_an_address_that_is_declared_and_that_nobody_asks_is_a_problem():
    seen = seen_of(("route", "backend"), ("health", "backend"), ("health", "frontend"))
    assert seen.problems == ["no probe asks for the health of backend", "no probe asks for the health of frontend"]


def test_every_health_check_and_every_route_of_the_shipped_products_has_to_be_asked():
    product = load(read_stack_file(ROOT, "dev"), "dev", checkout=ROOT).product
    assert verify.declared_addresses(product) >= {("health", "backend"), ("health", "frontend")}
    dating = load(read_stack_file(ROOT, "dating-app"), "dating-app", checkout=ROOT, preview=True).product
    assert ("route", "webapp") in verify.declared_addresses(dating)


def alert(since: float) -> Alert:
    return Alert({"alertname": "BackendDown", "severity": "critical", "product": "shop", "instance": "a:1"}, since)


def test_a_critical_alert_of_before_the_deploy_is_told_and_no_problem():
    seen = Seen()
    look_at_alerts([alert(BEGAN - 61), alert(BEGAN - 59)], answers(), seen)
    assert seen.older == ["critical alert BackendDown (instance=a:1)"]
    assert seen.problems == ["critical alert BackendDown (instance=a:1)"]


def test_where_no_deploy_is_known_every_critical_alert_is_a_problem():
    seen = Seen()
    look_at_alerts([alert(1)], answers(DEPLOY_BEGAN=[]), seen)
    assert (seen.older, seen.problems) == ([], ["critical alert BackendDown (instance=a:1)"])


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


@pytest.mark.parametrize("said", ["", "503 Service Unavailable", '{"status": "error"}', "[1]"])
def test_what_is_no_answer_is_told_as_none(said):
    with pytest.raises(SilentError, match="no answer"):
        samples_in(said)
    with pytest.raises(SilentError, match="no answer"):
        alerts_in(said)


class Tools(Engine):
    """A Docker engine whose Prometheus and Alertmanager answer what they are asked."""

    def __init__(self, prometheus, alerts: str = "[]", **containers: dict) -> None:
        super().__init__(**{"prometheus_id": attrs(), "alertmanager_id": attrs(), **containers})
        self.prometheus, self.alerts = prometheus, alerts

    def get(self, identity: str) -> SimpleNamespace:
        return SimpleNamespace(name=identity, exec_run=self.run)

    def run(self, command: list[str], *, demux: bool) -> SimpleNamespace:
        assert demux, "errors must not be mixed into the answer"
        if command[0] == "amtool":
            return SimpleNamespace(exit_code=0, output=(self.alerts.encode(), b"a warning\n"))
        query = next(name for name in self.known_queries if verify.quote(name) == command[-1].partition("query=")[2])
        said = self.prometheus(query)
        if said is None:
            return SimpleNamespace(exit_code=1, output=(None, b"wget: connection refused"))
        return SimpleNamespace(exit_code=0, output=(of_prometheus(*said).encode(), None))

    known_queries = [verify.NOW, verify.TARGETS, verify.PROBES, verify.DOWN, verify.FAILED, verify.DEPLOY_BEGAN]


@pytest.fixture
def verified(monkeypatch):
    """Return a function that runs the verb against an engine and returns its exit code and what it said."""

    def run(client: Engine, within: int = 0, product: Product | None = None) -> tuple[int, str]:
        made = [container(identity.removesuffix("-id")) for identity in client.known]
        engine = SimpleNamespace(stack="prod", read=lambda *_: {"deployment": {"resources": made}})
        settings = SimpleNamespace(product=SimpleNamespace(workloads={}))
        ready = SimpleNamespace(engine=engine, settings=settings, docker_client=lambda: client)
        monkeypatch.setattr(verify, "reach", lambda *_: ready)
        monkeypatch.setattr(verify, "_product_that_runs", lambda *_: product)
        monkeypatch.setattr(verify, "POLL_SECONDS", 0)
        printed = io.StringIO()
        code = verify.verify(None, "prod", Progress(Console(file=printed, width=200)), within=within)
        return code, printed.getvalue()

    return run


def test_a_stack_where_all_is_well_is_counted_and_passes(verified):
    code, said = verified(Tools(answers(), backend_id=attrs()))
    assert code == 0
    assert "✓ prod: 3 containers, 2 targets, 1 probes well, no new critical alert" in said


def test_every_problem_is_told_and_fails(verified):
    client = Tools(answers(DOWN=[Sample(BACKEND, 0)]), OF_AMTOOL, backend_id=attrs("unhealthy"))
    code, said = verified(client)
    assert code == 1
    for problem in (
        "✗ backend is unhealthy",
        "✗ target backend backend:3333 does not answer",
        "✗ critical alert X (instance=a:1)",
        "prod is not well: 3 problems",
    ):
        assert problem in said


def test_what_gets_well_in_time_passes(verified):
    looks = iter([None, [Sample({}, BEGAN)]])
    well = answers()
    client = Tools(lambda query: next(looks) if query == verify.NOW else well(query))
    assert verified(client, within=60)[0] == 0


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
def test_a_prometheus_or_alertmanager_that_cannot_be_asked_is_a_problem(verified, health):
    for tool in ("prometheus", "alertmanager"):
        code, said = verified(Tools(answers(), **{f"{tool}_id": attrs(health)}))
        assert code == 1
        assert f"✗ {tool} cannot be asked: it is {health}" in said


def test_a_prometheus_that_refuses_is_told_in_its_words(verified):
    code, said = verified(Tools(lambda _: None))
    assert code == 1
    assert "wget in prometheus-id ended with 1: wget: connection refused" in said


def test_a_stack_of_which_nothing_runs_is_not_well(verified):
    code, said = verified(Engine())
    assert code == 1
    assert "nothing of the stack prod runs" in said


def test_a_declared_address_that_no_probe_asks_is_told(verified, tmp_path):
    product = read(make(tmp_path)).product
    code, said = verified(Tools(answers()), product=product)
    assert code == 1
    assert "✗ no probe asks for the health of api" in said


def test_where_probes_are_off_it_is_said_that_nobody_asks_as_a_visitor(verified, tmp_path):
    product = read(make(tmp_path, PRODUCT + "monitoring: {probes: {enabled: false}}\n")).product
    code, said = verified(Tools(answers(PROBES=[])), product=product)
    assert code == 0
    assert "monitoring.probes is off: no address is asked as a visitor would" in said


def test_after_a_rollback_it_is_the_old_releases_addresses_that_have_to_be_asked(tmp_path, monkeypatch):
    checkout = make(tmp_path)
    monkeypatch.setenv(VARIABLE, "")  # so that what is set below goes when the test ends
    release = read(checkout).release
    monkeypatch.setattr(verify.releases, "running_release", lambda *_: release)
    (checkout / "products/shop.yaml").write_text(PRODUCT.replace("api:", "newer:"))
    assert [*verify._product_that_runs(WorkDir(checkout), "dev", None).services] == ["api"]

"""Each alert of rules/victorialogs on a live VictoriaLogs, vmalert and Alertmanager: what fires it, or does not."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import docker
import pytest
import yaml
from docker.models.containers import Container

from program.rules import RuleRenderer
from settings.alert_rules import log_rule_files
from tests.images.log_stage import LOG_IMAGES, LogStage, running_pipeline
from tests.support.kit import KitImages
from tests.support.waiting import wait_until

INTERVAL = 2  # seconds between two evaluations


@dataclass(frozen=True)
class Case:
    """What fires an alert, and what just does not."""

    fires: tuple[str, ...]
    """One line more than the limit: the first evaluation that finds so many is the one that is heard of."""

    quiet: tuple[str, ...]
    entries: int | None = None  # how many entries the lines are that fire it, where they are not one each


ERROR = '{"level":50,"msg":"refused"}'
SLOW = "2026-11-21 16:00:00.000 UTC [7] LOG:  duration: 1500.5 ms  statement: SELECT 1"
LOGIN = '{"level":"warn","msg":"login failed for anna"}'
CALLBACK = '{"level":"error","msg":"payment callback failed: the signature is not the provider\'s"}'
POSTGRES = "2026-11-21 16:00:00.000 UTC [7]"

CASES: Mapping[str, Case] = {
    "LogErrorBurst": Case((ERROR,) * 51, (ERROR,) * 50 + ('{"level":30,"msg":"an error that is none"}',) * 20),
    "PanicLogged": Case(
        ("panic: runtime error: index out of range", "", "goroutine 1 [running]:", "main.main()"),
        ("do not panic", '{"level":30,"msg":"exception handled"}'),
        entries=1,
    ),
    "OutOfMemoryLogged": Case(
        ("FATAL: Reached heap limit, JavaScript heap out of memory",), ("out of memories of you", "memory is fine")
    ),
    "FailedLogins": Case((LOGIN,) * 11, (LOGIN,) * 10 + ("login of anna",) * 5),
    "PaymentCallbackErrors": Case(
        (CALLBACK,), (CALLBACK.replace("error", "info"), '{"level":"error","msg":"payment of anna is late"}')
    ),
    "SlowQueries": Case((SLOW,) * 21, (SLOW,) * 20 + ("duration: 1 ms",) * 5),
    "ConnectionSlotsExhausted": Case(
        (f"{POSTGRES} FATAL:  sorry, too many clients already",), ("clients: too many to name",)
    ),
    "NoSpaceLeftLogged": Case(("Error: ENOSPC: no space left on device, write",), ("space left on device: 3 GB",)),
    "DataCorruptionLogged": Case(
        (f"{POSTGRES} ERROR:  invalid page in block 7 of relation base/1/2",), ("a page in block letters",)
    ),
    "StoreRefusesWrites": Case(
        ("ReplyError: OOM command not allowed when used memory > 'maxmemory'.",), ("command allowed",)
    ),
    "PostgresCrashRecovery": Case(
        (f"{POSTGRES} LOG:  database system was not properly shut down; automatic recovery in progress",),
        (f"{POSTGRES} LOG:  database system was shut down at 2026-11-21 15:59:59 UTC",),
    ),
    "CertificateNotRenewed": Case(
        ('{"level":"error","message":"Unable to obtain ACME certificate for domains"}',),
        ('{"level":"info","message":"obtained ACME certificate"}',),
    ),
}


def rendered(interval: int | None = None) -> dict[str, str]:
    renderer = RuleRenderer(interval=interval)
    return {name: renderer.render(source) for name, source in log_rule_files("victorialogs").items()}


def shipped() -> dict[str, dict]:
    """Return the rules as they are shipped; tests/snapshots compares what they say."""
    files = map(yaml.safe_load, rendered().values())
    return {rule["alert"]: rule for file in files for group in file["groups"] for rule in group["rules"]}


def filled(text: str, service: str, entries: int) -> str:
    """Return a text of a rule with what vmalert puts into it."""
    values = {"product": "shop", "environment": "development", "service": service}
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: values[match[1]], text)
    return re.sub(r"\{\{ (\d+) \}\}", r"\1", text.replace("{{ $value }}", str(entries)))


def script(lines: tuple[str, ...]) -> str:
    """Return a script that writes the lines in good time: after others', since a burst in one is quick."""
    return "".join(f"echo '{line}'\n" for line in (one.replace("'", "'\\''") for one in lines))


class Hearer:
    def __init__(self, container: Container) -> None:
        self.container = container

    def alerts(self) -> dict[tuple[str, str], dict]:
        """Return what it has been told: (alert, service) → the alert."""
        code, said = self.container.exec_run(["wget", "-q", "-O", "-", "http://127.0.0.1:9093/api/v2/alerts"])
        if code:
            return {}
        return {(one["labels"]["alertname"], one["labels"]["service"]): one for one in json.loads(said)}


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: KitImages) -> Iterator[LogStage]:
    kit.ensure([*LOG_IMAGES, "alertmanager"])
    with running_pipeline(engine, kit, rendered(INTERVAL)) as running:
        yield running


def evaluations(stage: LogStage) -> int:
    """Return how often vmalert has evaluated all its rules since it started."""
    pattern = r"^vmalert_iteration_total\{.*\} (\d+)$"
    return min(int(count) for count in re.findall(pattern, stage.fetch("vmalert", "/metrics"), re.MULTILINE))


def wait_for_evaluations(stage: LogStage, number: int = 2) -> None:
    """Wait until all rules have been evaluated so often from now on."""
    before = evaluations(stage)
    # One more: that which is under way has asked already.
    wait_until(lambda: evaluations(stage) > before + number, "all rules have been evaluated")


@pytest.fixture(scope="module")
def hearer(stage: LogStage) -> Hearer:
    """All lines of all cases have been written, are in Loki, and have been judged."""
    networking = stage.engine.api.create_networking_config(
        {stage.mark: stage.engine.api.create_endpoint_config(aliases=["alertmanager"])}
    )
    made = stage.engine.api.create_container(
        stage.images["alertmanager"],
        command=[
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/tmp",
            "--cluster.listen-address=",
        ],
        user="0:0",
        labels=stage.labels,
        host_config=stage.engine.api.create_host_config(network_mode=stage.mark),
        networking_config=networking,
    )
    hears = Hearer(stage.engine.containers.get(made["Id"]))
    hears.container.start()
    quiet = {}
    for alert, case in CASES.items():
        stage.writer(f"fires-{alert}", script(case.fires))
        quiet[f"quiet-{alert}"] = len(case.quiet)
        stage.writer(f"quiet-{alert}", script(case.quiet))
    for service, number in quiet.items():
        stage.arrived(service, number)

    wait_until(
        lambda: {name for name, _ in hears.alerts()} >= set(CASES),
        "every alert fires",
        details=lambda: f"{sorted(hears.alerts())}\n{stage.containers['vmalert'].logs(tail=20).decode()}",
    )
    # Those that must not fire have been judged twice by now.
    wait_for_evaluations(stage)
    return hears


def test_every_alert_of_the_logs_has_a_case_here():
    assert sorted(CASES) == sorted(shipped())


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_with_all_that_it_has_to_say(hearer: Hearer, alert: str):
    case, rule, service = CASES[alert], shipped()[alert], f"fires-{alert}"
    found = hearer.alerts()[alert, service]
    own = {"alertname": alert, "product": "shop", "environment": "development", "service": service}
    assert found["labels"] == own | rule["labels"]
    entries = case.entries or len(case.fires)
    expected = {name: filled(text, service, entries) for name, text in rule["annotations"].items()}
    assert found["annotations"] == expected
    assert {"summary", "description", "runbook_url", "dashboard_url"} == expected.keys()
    assert str(entries) in expected["description"]
    assert "{{" not in str(expected)


@pytest.mark.parametrize("alert", CASES)
def test_lines_that_just_do_not_fire_it_do_not(hearer: Hearer, alert: str):
    assert (alert, f"quiet-{alert}") not in hearer.alerts()


def test_what_watches_the_stack_raises_no_alert_by_quoting_one(stage: LogStage, hearer: Hearer):
    stage.writer("vmalert", "echo 'query: panic: out of memory'")
    stage.arrived("vmalert", 1)
    wait_for_evaluations(stage)
    assert [name for name, service in hearer.alerts() if service == "vmalert"] == []

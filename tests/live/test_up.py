"""`./dockyard up dev` on a fresh checkout: what it prints, what runs, in which order, and what stays secret."""

import json
import re
import subprocess
from datetime import datetime

import pytest

from tests.support.stack import FirstUp, Stack
from tests.support.waiting import wait_until

DUMP = "dump-before-backend"
SERVICES = {
    *("prometheus", "alertmanager", "grafana", "node-exporter", "cadvisor", "postgres", "postgres-exporter"),
    *("redis", "redis-exporter", "blackbox-exporter", DUMP, "backend", "frontend"),
}
TARGETS = {
    *("prometheus", "alertmanager", "grafana", "node", "cadvisor", "postgres", "redis", "blackbox", "probe"),
    *("traefik", "backend", "frontend"),
}
OUTCOMES = '{__name__=~"dockyard_(last_deploy|drift|backup|release)_.*"}'


def moment(text: str) -> datetime:
    """Parse Docker's time, which has nanoseconds."""
    return datetime.fromisoformat(re.sub(r"\.(\d{6})\d*Z$", r".\1+00:00", text))


def test_up_prints_a_row_for_each_service(first_up: FirstUp) -> None:
    lines = first_up.finished.output.splitlines()
    rows = {row[0]: row for row in (re.split(r"\s*│\s*", line.strip("│ \n")) for line in lines)}
    assert rows.keys() >= SERVICES
    for service in SERVICES:
        assert rows[service][1] == ("done" if service == DUMP else "healthy"), rows[service]
    for service in ("backend", "frontend", "grafana", "prometheus", "alertmanager"):
        assert rows[service][-1].startswith("http://127.0.0.1:"), rows[service]


def test_up_shows_each_step_with_its_time(first_up: FirstUp) -> None:
    output = first_up.finished.output
    assert re.search(r"^✓ .*\(\d+(\.\d)? s\)$|^✓ .*\(\d+ m \d\d s\)$", output, re.MULTILINE)
    assert re.search(r"^  \+ container tumulte-app-backend: created \(\d", output, re.MULTILINE)


def test_up_says_where_the_grafana_password_is_and_hides_it(first_up: FirstUp, dev: Stack) -> None:
    assert "./dockyard secret dev grafana-admin-password" in first_up.finished.output
    password = dev.checkout.dockyard("secret", "dev", "grafana-admin-password").output.strip().splitlines()[-1]
    assert password == dev.outputs(show_secrets=True)["secrets"]["grafana-admin-password"]
    assert password not in first_up.finished.output


def test_stores_start_before_dump_then_backend_then_frontend(first_up: FirstUp) -> None:
    states = first_up.states
    started = {service: moment(state["StartedAt"]) for service, state in states.items()}
    dumped = moment(states[DUMP]["FinishedAt"])
    assert started["postgres"] < started[DUMP] < dumped < started["backend"] < started["frontend"]
    assert started["redis"] < started["backend"]
    assert states[DUMP]["ExitCode"] == 0
    # Docker keeps the last five results: only where the first good one is still there can it be compared.
    log = states["postgres"]["Health"]["Log"]
    if len(log) < 5:
        assert min(moment(entry["End"]) for entry in log if entry["ExitCode"] == 0) <= started[DUMP]


def test_nothing_fires_but_the_watchdog(first_up: FirstUp) -> None:
    assert first_up.firing == {"Watchdog"}


def test_every_target_of_prometheus_is_up(dev: Stack) -> None:
    expected = dict.fromkeys(TARGETS, "1")
    wait_until(
        lambda: {item["metric"]["job"]: item["value"][1] for item in dev.query("up")} == expected,
        "every target of Prometheus is up",
        120,
        details=lambda: str(dev.query("up")),
    )


def test_prometheus_evaluates_the_rules_and_knows_alertmanager(dev: Stack) -> None:
    groups = dev.get("prometheus", "/api/v1/rules").json()["data"]["groups"]
    alerts = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert {"TumulteBackendDown", "PostgresDown", "DiskSpaceLow", "Watchdog"} <= alerts
    assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]

    def alertmanagers() -> list[str]:
        active = dev.get("prometheus", "/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
        return [alertmanager["url"] for alertmanager in active]

    # Prometheus looks its Alertmanagers up some seconds after it is ready: a test before this one may restart it.
    (url,) = wait_until(alertmanagers, "Prometheus knows an Alertmanager")
    assert url.startswith("http://alertmanager:9093")


def test_alertmanager_has_its_configuration_and_the_watchdog(dev: Stack) -> None:
    assert "receiver: nobody" in dev.get("alertmanager", "/api/v2/status").json()["config"]["original"]

    def names() -> set[str]:
        return {alert["labels"]["alertname"] for alert in dev.get("alertmanager", "/api/v2/alerts").json()}

    wait_until(lambda: "Watchdog" in names(), "the Watchdog reaches Alertmanager", 120)


def test_prometheus_has_the_outcome_of_release_and_dump(first_up: FirstUp, dev: Stack) -> None:
    def outcomes() -> dict[str, dict]:
        results = dev.query(OUTCOMES)
        samples = {item["metric"]["__name__"]: item for item in results}
        return samples if len(results) == 15 and value(samples, "dockyard_last_deploy_success") == 1 else {}

    def value(samples: dict[str, dict], name: str) -> float:
        return float(samples[name]["value"][1])

    samples = wait_until(outcomes, "Prometheus has scraped the outcome of a good `up`", 120)
    assert value(samples, "dockyard_drift_resources") == 0
    assert value(samples, "dockyard_backup_success") == 1
    assert value(samples, "dockyard_backup_size_bytes") > 0
    assert value(samples, "dockyard_last_deploy_timestamp_seconds") > first_up.began
    dump = samples["dockyard_backup_success"]["metric"]
    assert (dump["store"], dump["kind"]) == ("postgres", "before-release")
    assert len(samples["dockyard_release_info"]["metric"]["release"]) == 8


def test_the_demo_product_works_through_its_stores(dev: Stack) -> None:
    created = dev.post("backend", "/polls", {"question": "Tea?", "options": ["yes", "no"]})
    assert created.is_success, created.text
    assert dev.get("backend", "/health/ready").status_code == 200
    assert "Tea?" in dev.get("frontend", "/").text


def test_grafana_shows_the_overview_only_with_the_password(dev: Stack) -> None:
    password = dev.outputs(show_secrets=True)["secrets"]["grafana-admin-password"]
    boards = dev.get("grafana", "/api/search", auth=("admin", password)).json()
    assert "dockyard-overview" in {item.get("uid") for item in boards}
    assert dev.get("grafana", "/api/search", auth=("admin", "wrong")).status_code == 401
    assert dev.get("grafana", "/api/search").status_code == 401
    sources = dev.get("grafana", "/api/datasources", auth=("admin", password)).json()
    assert {source["uid"] for source in sources} == {"prometheus", "alertmanager"}


def test_every_container_is_hardened_and_within_limits(dev: Stack) -> None:
    for container in dev.all_containers:
        host = container.attrs["HostConfig"]
        service = container.labels["dockyard.service"]
        assert host["CapDrop"] == ["ALL"], container.name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], container.name
        assert host["Memory"] == host["MemorySwap"] > 0, container.name
        assert 0 < host["MemoryReservation"] <= host["Memory"], container.name
        assert host["NanoCpus"] > 0, container.name
        assert not host["Privileged"], container.name
        assert host["LogConfig"]["Config"]["max-file"] == "14", container.name
        sources = [mount.get("Source", "") for mount in container.attrs["Mounts"]]
        assert not any("docker.sock" in source for source in sources), container.name
        for bindings in (host["PortBindings"] or {}).values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, container.name
            assert service == "traefik", "only the edge proxy publishes ports"
        if not service.endswith("-writer"):
            assert host["ReadonlyRootfs"], container.name


@pytest.fixture(scope="module")
def secrets(dev: Stack) -> set[str]:
    """Every secret value of the stack: generated ones, and what is made of them."""
    exported = json.loads(dev.checkout.pulumi("stack", "export", "-s", "dev", "--show-secrets").output)
    values = {
        json.loads(resource["outputs"]["value"]["plaintext"])
        for resource in exported["deployment"]["resources"]
        if resource["type"] == "pulumi-python:dynamic:Resource"
    }
    assert len(values) == 4, "postgres, redis, grafana and the product's app-key"
    return values


def test_no_secret_is_in_an_inspect_output_log_or_state(dev: Stack, secrets: set[str]) -> None:
    containers = dev.client.containers.list(all=True)
    texts = {f"inspect of {container.name}": json.dumps(container.attrs) for container in containers}
    texts |= {f"log of {container.name}": container.logs().decode() for container in containers}
    texts["volumes"] = json.dumps([volume.attrs for volume in dev.client.volumes.list()])
    texts["stack output"] = dev.checkout.pulumi("stack", "output", "-s", "dev", "--json").output
    texts["stack export"] = dev.checkout.pulumi("stack", "export", "-s", "dev").output
    work = dev.checkout.folder / ".dockyard"
    files = [file for folder in ("logs", "state") for file in (work / folder).rglob("*") if file.is_file()]
    texts |= {str(file): file.read_text(errors="replace") for file in files}
    leaks = [(place, secret[:4] + "…") for place, text in texts.items() for secret in secrets if secret in text]
    assert not leaks


def test_the_passphrase_is_readable_by_its_owner_alone(dev: Stack) -> None:
    assert oct((dev.checkout.folder / ".dockyard/passphrase").stat().st_mode)[-3:] == "600"


def test_git_sees_no_change(dev: Stack) -> None:
    command = ["git", "status", "--porcelain"]
    status = subprocess.run(command, cwd=dev.checkout.folder, capture_output=True, text=True, check=True)
    assert status.stdout == ""

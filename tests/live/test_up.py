"""`./dockyard up dev` on a fresh checkout: what it prints, what runs, in which order, and what is kept secret."""

import json
import re
import subprocess
import time
from datetime import datetime

import httpx
import pytest
import yaml

SERVICES = {
    "prometheus",
    "alertmanager",
    "grafana",
    "node-exporter",
    "cadvisor",
    "postgres",
    "postgres-exporter",
    "redis",
    "redis-exporter",
    "blackbox-exporter",
    "dump-before-backend",
    "backend",
    "frontend",
}
TARGETS = {
    "prometheus",
    "alertmanager",
    "grafana",
    "node",
    "cadvisor",
    "postgres",
    "redis",
    "blackbox",
    "probe",
    "traefik",
    "backend",
    "frontend",
}


def wait_until(check, seconds: float):
    """Call `check` until it returns something true, and return that."""
    limit = time.monotonic() + seconds
    while True:
        if found := check():
            return found
        assert time.monotonic() < limit, f"{check.__name__} did not come true within {seconds} s"
        time.sleep(1)


def moment(text: str) -> datetime:
    """Parse Docker's time, which has nanoseconds."""
    return datetime.fromisoformat(re.sub(r"\.(\d{6})\d*Z$", r".\1+00:00", text))


def test_it_ends_well_and_prints_a_row_for_each_service(first_up):
    assert first_up.code == 0
    rows = {row[0]: row for row in (re.split(r"\s*│\s*", line.strip("│ \n")) for line in first_up.output.splitlines())}
    assert rows.keys() >= SERVICES
    for service in SERVICES:
        assert rows[service][1] == ("done" if service.startswith("dump-") else "healthy"), rows[service]
    for service in ("backend", "frontend", "grafana", "prometheus", "alertmanager"):
        assert rows[service][-1].startswith("http://127.0.0.1:"), rows[service]


def test_it_says_where_the_grafana_password_is_and_does_not_print_it(first_up, dev):
    assert "./dockyard secret dev grafana-admin-password" in first_up.output
    password = dev.dockyard("secret", "dev", "grafana-admin-password").output.strip().splitlines()[-1]
    assert password == dev.outputs()["secrets"]["grafana-admin-password"]
    assert password not in first_up.output


def test_it_shows_each_step_with_its_time(first_up):
    assert re.search(r"^✓ .*\(\d+(\.\d)? s\)$|^✓ .*\(\d+ m \d\d s\)$", first_up.output, re.MULTILINE)
    assert re.search(r"^  \+ container tumulte-app-backend: created \(\d", first_up.output, re.MULTILINE)


def test_every_target_of_prometheus_is_up(dev):
    def every_target_is_up():
        found = {item["metric"]["job"]: item["value"][1] for item in dev.prometheus("up")}
        return found if found == dict.fromkeys(TARGETS, "1") else None

    assert wait_until(every_target_is_up, 60)


def test_prometheus_scrapes_every_15_seconds_and_keeps_30_days_on_its_volume(dev):
    config = yaml.safe_load(dev.get("prometheus", "/api/v1/status/config").json()["data"]["yaml"])
    assert config["global"]["scrape_interval"] == "15s"
    flags = dev.get("prometheus", "/api/v1/status/flags").json()["data"]
    assert flags["storage.tsdb.retention.time"] == "30d"
    mounts = {mount["Destination"]: mount for mount in dev.container("prometheus").attrs["Mounts"]}
    assert mounts["/prometheus"]["Type"] == "volume"


def test_prometheus_evaluates_the_shipped_rules_and_knows_alertmanager(dev):
    groups = dev.get("prometheus", "/api/v1/rules").json()["data"]["groups"]
    alerts = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert {"TumulteBackendDown", "PostgresDown", "DiskSpaceLow", "Watchdog"} <= alerts
    assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
    (active,) = dev.get("prometheus", "/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
    assert active["url"].startswith("http://alertmanager:9093")


def test_alertmanager_runs_the_rendered_configuration_and_receives_the_watchdog(dev):
    assert "receiver: nobody" in dev.get("alertmanager", "/api/v2/status").json()["config"]["original"]

    def the_watchdog_has_arrived():
        found = dev.get("alertmanager", "/api/v2/alerts").json()
        return any(alert["labels"]["alertname"] == "Watchdog" for alert in found)

    wait_until(the_watchdog_has_arrived, 90)


def test_nothing_fires_but_the_watchdog(dev):
    firing = {item["metric"]["alertname"] for item in dev.prometheus('ALERTS{alertstate="firing"}')}
    assert firing <= {"Watchdog"}


def test_the_order_is_stores_then_dump_then_backend_then_frontend(dev):
    def began(service):
        return moment(dev.container(service).attrs["State"]["StartedAt"])

    def first_healthy(service):
        log = dev.container(service).attrs["State"]["Health"]["Log"]
        return min(moment(entry["End"]) for entry in log if entry["ExitCode"] == 0) if len(log) < 5 else None

    dump = "dump-before-backend"
    dumped = moment(dev.container(dump).attrs["State"]["FinishedAt"])
    assert began("postgres") < began(dump) < dumped < began("backend") < began("frontend")
    assert began("redis") < began("backend")
    assert dev.container(dump).attrs["State"]["ExitCode"] == 0
    # Docker keeps the last five results: only where the first good one is still there can it be compared.
    if ready := first_healthy("postgres"):
        assert ready <= began(dump)


def test_the_demo_product_works_through_its_stores(dev):
    created = httpx.post(f"{dev.url('backend')}/polls", json={"question": "Tea?", "options": ["yes", "no"]}, timeout=10)
    assert created.is_success, created.text
    assert dev.get("backend", "/health/ready").status_code == 200
    assert "Tea?" in dev.get("frontend", "/").text


def test_grafana_shows_the_overview_to_those_who_have_the_password(dev):
    password = dev.outputs()["secrets"]["grafana-admin-password"]
    found = dev.get("grafana", "/api/search", auth=("admin", password)).json()
    assert "dockyard-overview" in {item.get("uid") for item in found}
    assert dev.get("grafana", "/api/search", auth=("admin", "wrong")).status_code == 401
    assert dev.get("grafana", "/api/search").status_code == 401
    sources = dev.get("grafana", "/api/datasources", auth=("admin", password)).json()
    assert {source["uid"] for source in sources} == {"prometheus", "alertmanager"}


def test_every_container_is_hardened_and_within_limits(dev):
    for container in dev.docker().containers.list(all=True):
        host = container.attrs["HostConfig"]
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
            assert container.labels["dockyard.service"] == "traefik", "the only one that publishes ports"
        if not container.labels["dockyard.service"].endswith("-writer"):
            assert host["ReadonlyRootfs"], container.name


@pytest.fixture(scope="module")
def secrets(dev) -> set[str]:
    """Every secret value of the stack: generated ones, and what is made of them."""
    exported = json.loads(dev.pulumi("stack", "export", "-s", "dev", "--show-secrets").output)
    values = {
        json.loads(resource["outputs"]["value"]["plaintext"])
        for resource in exported["deployment"]["resources"]
        if resource["type"] == "pulumi-python:dynamic:Resource"
    }
    assert len(values) == 4, "postgres, redis, grafana and the product's app-key"
    return values


def test_no_secret_is_in_any_inspect_output_log_or_exported_state(dev, secrets):
    client = dev.docker()
    seen = {
        f"inspect of {container.name}": json.dumps(container.attrs) for container in client.containers.list(all=True)
    }
    seen |= {f"log of {container.name}": container.logs().decode() for container in client.containers.list(all=True)}
    seen["volumes"] = json.dumps([volume.attrs for volume in client.volumes.list()])
    seen["stack output"] = dev.pulumi("stack", "output", "-s", "dev", "--json").output
    seen["stack export"] = dev.pulumi("stack", "export", "-s", "dev").output
    for file in (dev.folder / ".dockyard/logs").iterdir():
        seen[str(file)] = file.read_text(errors="replace")
    for file in (dev.folder / ".dockyard/state").rglob("*.json*"):
        seen[str(file)] = file.read_text(errors="replace")
    found = [(place, secret[:4] + "…") for place, text in seen.items() for secret in secrets if secret in text]
    assert not found


def test_prometheus_hears_how_the_release_and_the_dump_before_it_ended(dev):
    def told():
        found = dev.prometheus('{__name__=~"dockyard_(last_deploy|drift|backup|release)_.*"}')
        return {one["metric"]["__name__"]: one for one in found} if len(found) == 15 else None

    found = wait_until(told, 60)
    good = {"dockyard_last_deploy_success": "1", "dockyard_drift_resources": "0", "dockyard_backup_success": "1"}
    assert {name: found[name]["value"][1] for name in good} == good
    assert found["dockyard_backup_success"]["metric"].items() >= {"store": "postgres", "kind": "before-release"}.items()
    assert float(found["dockyard_backup_size_bytes"]["value"][1]) > 0
    assert time.time() - float(found["dockyard_last_deploy_timestamp_seconds"]["value"][1]) < 3600
    assert len(found["dockyard_release_info"]["metric"]["release"]) == 8


def test_the_passphrase_is_readable_by_its_owner_alone(dev):
    assert oct((dev.folder / ".dockyard/passphrase").stat().st_mode)[-3:] == "600"


def test_git_sees_no_change(dev):
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=dev.folder, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""

"""Whatever is changed by hand is reported by name, what is repaired is as it was, and an unchanged stack has no drift.

The stack is that of the small product of docs/examples, which has every kind of part; what is Cloudflare's is in
test_tunnel.py. Every `drift` takes a quarter of a minute, so one run has many changes to find.
"""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from docker.errors import NotFound

from tests.seeds.inspection import file_in
from tests.support.checkout import Finished
from tests.support.hands import Hands, Values
from tests.support.stack import Stack

APP, MONITORING = "app", "monitoring"


def drift(guestbook: Stack, *options: str) -> tuple[Finished, set[tuple[str, str]]]:
    """Run `drift --json`; return the result, and (resource, field) of each finding."""
    finished = guestbook.drift("--json", *options)
    report = json.loads(finished.output[finished.output.index("{") :]) if "{" in finished.output else {}
    prefix = "guestbook-"
    return finished, {(one["resource"].replace(prefix, "", 1), one["field"]) for one in report.get("findings", ())}


def fields_of(changes: dict[str, str]) -> set[tuple[str, str]]:
    """Return (resource, field) of resource → fields, with `|` between them."""
    return {(resource, field) for resource, fields in changes.items() for field in fields.split("|")}


def metric(guestbook: Stack, name: str) -> float:
    lines = file_in(guestbook.container("metrics-writer"))("/metrics/written/standing.prom").splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize("runs", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_an_unchanged_stack_has_no_drift(guestbook: Stack, runs: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        for finished, findings in pool.map(lambda _: drift(guestbook), range(runs)):
            assert (finished.code, findings) == (0, set()), finished.output
            assert json.loads(finished.output[finished.output.index("{") :])["pending"] == []


def test_a_change_of_the_files_is_no_drift(guestbook: Stack) -> None:
    text, began = guestbook.product_file.read_text(), time.time()
    with guestbook.edited({guestbook.product_file: text.replace("memory: 256MB", "memory: 320MB")}):
        finished, findings = drift(guestbook)
    assert (finished.code, findings) == (0, set()), finished.output
    assert "services.web.limits.memory: 256MB → 320MB" in finished.output
    assert metric(guestbook, "dockyard_drift_last_check_timestamp_seconds") >= int(began)


def test_drift_refuses_a_stack_that_is_being_changed(guestbook: Stack) -> None:
    locks = guestbook.checkout.folder / ".dockyard/state/.pulumi/locks/organization/dockyard/guestbook"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "test.json"
    holder = {"pid": os.getpid(), "username": "somebody", "hostname": socket.gethostname()}
    # a lock of before the process that holds it would be another's.
    lock.write_text(json.dumps({**holder, "timestamp": datetime.now(UTC).isoformat()}))
    try:
        finished, findings = drift(guestbook)
    finally:
        lock.unlink()
    assert (finished.code, findings) == (2, set()), finished.output
    assert f"locked by process {os.getpid()}" in finished.output


def test_changes_of_running_parts_are_reported_and_repaired(guestbook: Stack) -> None:
    hands = Hands.on(guestbook)
    api, monitoring = hands.client.api, hands.named(MONITORING)
    hands.container("exporters-blackbox-exporter").remove(force=True)
    hands.container("exporters-node-exporter").kill()
    hands.container("exporters-postgres-exporter").stop()
    hands.container("monitoring-grafana").update(mem_limit="300m", memswap_limit="300m")
    hands.container("monitoring-grafana").rename("somebody-elses")
    hands.container("logs-victorialogs").update(restart_policy={"Name": "on-failure", "MaximumRetryCount": 3})
    hands.container("exporters-cadvisor").update(cpuset_cpus="0", cpu_shares=512)
    api._post_json(api._url("/containers/{0}/update", hands.container("edge-traefik").id), {"NanoCpus": 250_000_000})
    api._post_json(api._url("/containers/{0}/update", hands.container("app-postgres").id), {"PidsLimit": 200})
    hands.container("logs-collector").pause()
    api.disconnect_container_from_network(hands.container("app-web").id, monitoring)
    strange = hands.client.networks.create("strange")
    strange.connect(hands.container("monitoring-prometheus"))
    api.disconnect_container_from_network(hands.container("alerts-alertmanager").id, monitoring)
    api.connect_container_to_network(hands.container("alerts-alertmanager").id, monitoring, aliases=["mailer"])
    hands.container("app-migrate").remove()
    hands.in_volume(
        "monitoring-prometheus-config", "echo '# edited' >> rules/host.yml; echo 'groups: []' > rules/more.yml"
    )
    hands.in_volume("app-web-secrets", "echo hunter2 > database-password; chmod 0444 database-url")
    hands.in_volume("exporters-postgres-exporter-secrets", "chown 0:0 password")
    hands.in_volume("monitoring-grafana-provisioning", "rm $(find . -name '*.json' | sort | head -1); chmod 0777 .")
    hands.in_volume("exporters-blackbox-config", "ln -s /etc/passwd link")
    hands.stranger("on-our-network", network=monitoring)
    hands.stranger("with-our-labels", labels={"dockyard.product": "guestbook", "dockyard.stack": "guestbook"})
    hands.client.networks.create("like-ours", labels={"dockyard.product": "guestbook", "dockyard.stack": "guestbook"})
    try:
        finished, findings = drift(guestbook)
        assert finished.code == 1
        assert "hunter2" not in finished.output
        boards = {field for resource, field in findings if resource == "volume monitoring-grafana-provisioning"}
        (board,) = (field for field in boards if field.endswith(".json"))
        strangers = fields_of({"container on-our-network": "container", "container with-our-labels": "container"})
        strangers |= fields_of({"network like-ours": "network"})
        changes = {
            "container exporters-blackbox-exporter": "state",
            "container exporters-node-exporter": "state",
            "container exporters-postgres-exporter": "state",
            "container monitoring-grafana": "memory|memory_swap|name",
            "container logs-victorialogs": "restart",
            "container exporters-cadvisor": "cpu_set|cpu_shares",
            "container edge-traefik": "cpus",
            "container app-postgres": "pids",
            "container logs-collector": "state",
            "container app-web": f"networks.{monitoring}",
            "container monitoring-prometheus": "networks.strange",
            "container alerts-alertmanager": f"aliases.{monitoring}",
            "container app-migrate": "state",
            "volume monitoring-prometheus-config": "files/rules/host.yml|files/rules/more.yml",
            "volume app-web-secrets": "files/database-password|files/database-url mode",
            "volume exporters-postgres-exporter-secrets": "files/password owner",
            "volume monitoring-grafana-provisioning": f"{board}|files mode",
            "volume exporters-blackbox-config": "files/link",
        }
        assert findings == strangers | fields_of(changes)
        assert metric(guestbook, "dockyard_drift_resources") == len({resource for resource, _ in findings})
        repaired, left = drift(guestbook, "--fix")
        # What others have put there is told, and never removed.
        assert (repaired.code, left) == (1, strangers), repaired.output
    finally:
        for name in ("on-our-network", "with-our-labels"):
            hands.client.containers.get(name).remove(force=True)
        hands.client.networks.get("like-ours").remove()
        strange.remove()


def adds_capability(config: Values, host: Values) -> None:
    host["CapAdd"] = ["SETUID"]


def opens_port(config: Values, host: Values) -> None:
    host["PortBindings"] = {"9090/tcp": [{"HostIp": "0.0.0.0", "HostPort": "39090"}]}  # noqa: S104 - the fault itself


def changes_kernel_and_names(config: Values, host: Values) -> None:
    host["Sysctls"] = {"net.ipv4.ip_unprivileged_port_start": "80"}
    host["Dns"] = ["192.0.2.53"]
    host["ExtraHosts"] = ["bank.example:192.0.2.1"]


def changes_environment_labels_and_health(config: Values, host: Values) -> None:
    config["Env"] = [*(one for one in config["Env"] if not one.startswith("PORT=")), "PORT=8001", "API_KEY=hunter2"]
    config["Labels"] = {**config["Labels"], "dockyard.spec": "another", "owner": "me"}
    config["Healthcheck"] = {"Test": ["NONE"]}


def mounts_the_host(config: Values, host: Values) -> None:
    host["Binds"] = ["/etc:/host-etc:rw"]
    host["Tmpfs"] = {"/tmp": "rw,exec"}
    host["ReadonlyRootfs"] = False


def becomes_root(config: Values, host: Values) -> None:
    config["User"] = "0:0"
    host["SecurityOpt"] = None
    host["CapDrop"] = None


def takes_all_rights(config: Values, host: Values) -> None:
    host["Privileged"], host["PidMode"] = True, "host"
    # As for any container with all rights.
    host["SecurityOpt"], host["MaskedPaths"], host["ReadonlyPaths"] = ["label=disable"], None, None


def stops_logs_and_restarts_otherwise(config: Values, host: Values) -> None:
    config["StopTimeout"], config["StopSignal"] = 1, "SIGKILL"
    host["LogConfig"]["Config"]["max-file"] = "1"
    host["RestartPolicy"] = {"Name": "no"}
    host["Ulimits"] = [{"Name": "nofile", "Soft": 64, "Hard": 64}]
    host["Init"] = False


def test_recreated_containers_are_reported_field_by_field_and_repaired(guestbook: Stack) -> None:
    hands = Hands.on(guestbook)
    other, monitoring = hands.other_image("exporters-postgres-exporter"), hands.named(MONITORING)

    def runs_another_image(config: Values, host: Values) -> None:
        config["Image"] = other

    def says_something_else(config: Values, host: Values) -> None:
        config["Cmd"] = [*config["Cmd"], "--log.level=debug"]
        config["WorkingDir"] = "/tmp"

    expected = {
        "exporters-node-exporter": (adds_capability, {"capabilities.add"}),
        "monitoring-prometheus": (opens_port, {"ports.9090/tcp"}),
        "monitoring-grafana": (
            changes_kernel_and_names,
            {"sysctls.net.ipv4.ip_unprivileged_port_start", "dns.servers", "hosts.bank.example"},
        ),
        "app-web": (
            changes_environment_labels_and_health,
            {"env.PORT", "env.API_KEY", "labels.dockyard.spec", "labels.owner"}
            | {f"health_check.{part}" for part in ("test", "interval", "timeout", "start_period")},
        ),
        "logs-victorialogs": (mounts_the_host, {"mounts./host-etc", "tmpfs./tmp", "read_only"}),
        "exporters-blackbox-exporter": (becomes_root, {"user", "security_options", "capabilities.drop"}),
        "exporters-cadvisor": (takes_all_rights, {"privileged", "namespaces.pid", "security_options", "masked_paths"}),
        "alerts-alertmanager": (
            stops_logs_and_restarts_otherwise,
            {"stop_timeout", "stop_signal", "log.options.max-file", "restart", "ulimits.nofile", "init"},
        ),
        "exporters-postgres-exporter": (runs_another_image, {"image", f"networks.{monitoring}"}),
        "logs-collector": (says_something_else, {"command", "working_dir"}),
    }
    made = {name: hands.make_again(name, change) for name, (change, _) in expected.items()}
    hands.client.api.disconnect_container_from_network(made["exporters-postgres-exporter"], monitoring)
    finished, findings = drift(guestbook)
    assert finished.code == 1
    assert "hunter2" not in finished.output
    for name, (_, fields) in expected.items():
        fields_found = {field for resource, field in findings if resource == f"container {name}"}
        # Changed so, some of them do not run.
        assert fields_found - {"state", "health"} == {"id"} | fields, name
    # Nor anything of what the test before has repaired.
    assert {resource for resource, _ in findings} == {f"container {name}" for name in expected}
    repaired, left = drift(guestbook, "--fix")
    assert (repaired.code, left) == (0, set()), repaired.output
    assert metric(guestbook, "dockyard_drift_resources") == 0


def test_lost_networks_and_config_are_repaired_but_lost_data_is_not_replaced(guestbook: Stack) -> None:
    hands = Hands.on(guestbook)
    app = hands.client.networks.get(hands.named(APP))
    app.reload()
    joined = {
        role for role, one in guestbook.containers.items() if app.name in one.attrs["NetworkSettings"]["Networks"]
    }
    for container in app.containers:
        app.disconnect(container, force=True)
    app.remove()
    stopped = ["alerts-alertmanager", "alerts-config-writer", "logs-vmalert", "logs-vmalert-config-writer"]
    for name in (*stopped, "monitoring-grafana"):
        hands.container(name).remove(force=True)
    config, other = hands.named("logs-vmalert-config"), hands.named("alerts-config")
    lost = hands.named("monitoring-grafana-data")
    labels = hands.client.volumes.get(lost).attrs["Labels"]
    for volume in (config, other, lost):
        hands.client.volumes.get(volume).remove()
    hands.client.volumes.create(other, labels={"dockyard.stack": "guestbook"})
    lost_data = {("volume monitoring-grafana-data", "volume"), ("container monitoring-grafana", "state")}
    try:
        finished, findings = drift(guestbook)
        assert finished.code == 1
        assert findings >= lost_data | {
            ("network app", "network"),
            ("volume logs-vmalert-config", "volume"),
            ("volume alerts-config", "labels.dockyard.product"),
            ("container alerts-alertmanager", "state"),
            ("container logs-vmalert-config-writer", "state"),
            ("container app-web", f"networks.{app.name}"),
        }
        assert len(joined) >= 3
        repaired, left = drift(guestbook, "--fix")
        assert (repaired.code, left) == (1, lost_data), repaired.output
        assert "backup" in repaired.output
        with pytest.raises(NotFound):
            hands.client.volumes.get(lost)
    finally:
        # As a person does who restores the volume from a backup.
        hands.client.volumes.create(lost, labels=labels)
    repaired, left = drift(guestbook, "--fix")
    assert (repaired.code, left) == (0, set()), repaired.output
    # a repair that failed in part may leave a replaced container, which only a whole `up` removes.
    guestbook.restore()

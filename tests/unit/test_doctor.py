"""Prerequisites: each thing that can be wrong with a machine is found, and told with what to do."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ops.doctor import command, files, machine, reach
from ops.doctor.findings import FAILED, UNTOLD, WELL, Finding, Report, Scored
from ops.doctor.seen import Container, Seen
from settings.problems import SettingsError
from tests.certificates import self_signed
from tests.unit.checkouts import CHECKOUT
from toolchain.progress import Progress
from toolchain.workdir import WorkDir

GB = 1 << 30
INFO: dict[str, Any] = {
    "ServerVersion": "28.5.1",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "SwapLimit": True,
    "LoggingDriver": "json-file",
    "LiveRestoreEnabled": True,
    "IPv4Forwarding": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Warnings": None,
    "MemTotal": 8 * GB,
    "NCPU": 4,
}


def judged(findings: list[Finding]) -> dict[str, str]:
    """Return status → what was found; whatever is not well says what to do."""
    for one in findings:
        assert one.remedy or one.status in ("ok", "note"), one
    return {one.status: one.found for one in findings}


def test_an_engine_as_it_should_be_gives_no_cause():
    findings = [
        *machine.engine_version(INFO, "unix:///var/run/docker.sock"),
        *machine.storage(INFO),
        *machine.control_groups(INFO),
        *machine.engine_settings(INFO, "production"),
    ]
    assert {one.status for one in findings} == {"ok"}


@pytest.mark.parametrize(
    ("check", "changes", "status", "told"),
    [
        (lambda info: machine.engine_version(info, "h"), {"ServerVersion": "19.03.9"}, "failed", "19.03.9"),
        (lambda info: machine.engine_version(info, "h"), {"ServerVersion": "dev"}, "warning", "no version"),
        (machine.storage, {"Driver": "vfs"}, "failed", "vfs"),
        (machine.control_groups, {"MemoryLimit": False}, "failed", "cannot limit memory"),
        (machine.control_groups, {"PidsLimit": False}, "failed", "cannot limit processes"),
        (machine.control_groups, {"SwapLimit": False}, "warning", "no swap accounting"),
        (lambda info: machine.engine_settings(info, "production"), {"LoggingDriver": "syslog"}, "note", "syslog"),
        (lambda info: machine.engine_settings(info, "production"), {"LiveRestoreEnabled": False}, "warning", "end"),
        (lambda info: machine.engine_settings(info, "production"), {"IPv4Forwarding": False}, "failed", "forwarding"),
        (
            lambda info: machine.engine_settings(info, "production"),
            {"SecurityOptions": ["name=userns"]},
            "warning",
            "user namespaces",
        ),
        (
            lambda info: machine.engine_settings(info, "production"),
            {"SecurityOptions": ["name=rootless"]},
            "warning",
            "rootless",
        ),
        (
            lambda info: machine.engine_settings(info, "production"),
            {"Warnings": ["WARNING: bridge-nf-call-iptables is disabled"]},
            "note",
            "bridge-nf-call-iptables",
        ),
    ],
)
def test_each_setting_of_the_engine_is_found_where_it_is_wrong(check, changes, status, told):
    found = judged(check({**INFO, **changes}))
    assert told in found[status]


def test_an_engine_of_development_may_end_with_its_containers():
    assert judged(machine.engine_settings({**INFO, "LiveRestoreEnabled": False}, "development")).keys() == {"ok"}


def test_without_swap_accounting_the_eternal_update_of_previews_is_explained():
    (found,) = machine.control_groups({**INFO, "SwapLimit": False})
    assert "memory_swap in every preview" in found.remedy


@pytest.mark.parametrize(
    ("free", "inodes", "status"),
    [
        (50 * GB, 90, "ok"),
        (5 * GB, 90, "warning"),
        (2 * GB, 90, "failed"),
        (50 * GB, 5, "warning"),
        (50 * GB, 1, "failed"),
    ],
)
def test_a_disk_runs_out_of_room_or_of_inodes(free, inodes, status):
    found = machine.disk(machine.Space("/var/lib/docker", free, 100 * GB, inodes, 100))
    assert status in judged(found)


def test_a_file_system_without_a_count_of_inodes_is_judged_by_its_room():
    assert [one.topic for one in machine.disk(machine.Space("/d", 50 * GB, 100 * GB, 0, 0))] == ["disk"]


@pytest.mark.parametrize(("reserved", "status"), [(2, "ok"), (7, "warning"), (9, "failed")])
def test_reservations_are_compared_with_the_hosts_memory(reserved, status):
    assert judged(machine.memory(INFO, reserved * GB, "what runs")).keys() == {status}


def test_a_limit_of_more_cores_than_there_are_fails_and_their_sum_does_not():
    assert judged(machine.cores(INFO, [4.0, 4.0, 4.0], "what runs")).keys() == {"ok"}
    assert judged(machine.cores(INFO, [4.5], "what runs")).keys() == {"failed"}


def test_redis_asks_the_kernel_for_overcommit_and_no_huge_pages():
    bad = {"vm/overcommit_memory": "0", "transparent_hugepage/enabled": "[always] madvise never"}
    told = [one.found for one in machine.kernel(bad, redis=True)]
    assert len(told) == 2 and "overcommit_memory is 0" in told[0] and "huge pages" in told[1]
    assert machine.kernel(bad, redis=False) == []
    good = {"vm/overcommit_memory": "1", "transparent_hugepage/enabled": "always [madvise] never"}
    assert machine.kernel(good, redis=True) == []


def test_file_handles_run_out():
    assert judged(machine.kernel({"fs/file-nr": "900\t0\t1000"}, redis=False)).keys() == {"failed"}
    assert judged(machine.kernel({"fs/file-nr": "100\t0\t1000"}, redis=False)).keys() == {"ok"}


def logging(driver: str, **options: str) -> Container:
    log = {"Type": driver, "Config": {name.replace("_", "-"): value for name, value in options.items()}}
    return Container("api", {"HostConfig": {"LogConfig": log}})


def test_log_files_without_an_end_are_found():
    assert judged(machine.log_rotation([logging("json-file")], GB)).keys() == {"failed"}
    assert judged(machine.log_rotation([logging("json-file", max_file="3")], GB)).keys() == {"failed"}
    assert judged(machine.log_rotation([logging("journald")], GB)).keys() == {"ok"}
    assert judged(machine.log_rotation([logging("local")], GB)).keys() == {"ok"}, "100 MB by default"


def test_what_log_files_may_come_to_is_compared_with_the_disk():
    ten = [logging("json-file", max_size="10m", max_file="14")] * 10
    (found,) = machine.log_rotation(ten, 10 * GB)
    assert (found.status, found.found) == ("ok", "10 containers, at most 1.4 GB together")
    assert judged(machine.log_rotation(ten, GB)).keys() == {"warning"}


@pytest.mark.parametrize(
    ("skews", "kernel", "engine", "status"),
    [
        ({}, 0, None, "ok"),
        ({}, 5, None, "untold"),
        ({}, None, None, "untold"),
        ({"ghcr.io": 0.4}, 5, None, "warning"),
        ({"ghcr.io": 30.0}, 0, None, "warning"),
        ({"ghcr.io": -300.0}, 0, None, "failed"),
        ({}, 0, 20.0, "warning"),
        ({}, 0, 200.0, "failed"),
        ({}, 0, 1.0, "ok"),
    ],
)
def test_the_clock_is_judged_by_whoever_can_be_asked(skews, kernel, engine, status):
    assert judged(reach.clock(skews, kernel, engine)).keys() == {status}


@pytest.fixture
def registry() -> Iterator[tuple[str, list[int]]]:
    """A registry on this machine, which answers what its list says."""
    answer = [401]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", answer
        server.shutdown()


def test_a_registry_that_answers_is_well_whatever_it_answers_to_strangers(registry):
    host, _ = registry
    findings, skews = reach.registries({host: ["api"]})
    assert judged(findings).keys() == {"ok"}
    assert skews == {}, "the clock of this machine says nothing of this machine's clock"


def test_a_registry_out_of_reach_fails_only_where_an_image_is_missing(registry):
    host, answer = registry
    answer[0] = 503
    assert judged(reach.registries({host: []})[0]).keys() == {"warning"}
    (found,) = reach.registries({host: ["api"]})[0]
    assert found.status == "failed" and "not on the engine yet: api" in found.found and "answers 503" in found.found
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = f"127.0.0.1:{gone.getsockname()[1]}"
    assert judged(reach.registries({closed: ["api"]})[0]).keys() == {"failed"}


def test_names_are_resolved_side_by_side_and_judged_by_what_leads_there(monkeypatch):
    def ask(host: str, *_: object, **__: object) -> list[Any]:
        if host == "slow.test.example":
            time.sleep(30)
        if host.startswith("gone"):
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", ("192.0.2.7", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(reach, "SECONDS", 0.3)
    hosts = {"here.example": "a route of web", "gone.example": "a route of web", "gone2.example": reach.TUNNEL}
    found = reach.names({**hosts, "slow.test.example": "a route of web"}, "production")
    assert [one.status for one in found] == ["ok", "failed", "warning", "untold"]
    assert found[0].found == "here.example → 192.0.2.7"
    assert [one.status for one in reach.names({"gone.example": "a route of web"}, "development")] == ["warning"]
    assert [one.status for one in reach.names({}, "production")] == ["ok"]


@pytest.mark.parametrize(("days", "status"), [(60, "ok"), (10, "warning"), (1, "failed"), (-1, "failed")])
def test_a_certificate_ends(days, status):
    now = 1_800_000_000.0
    assert judged(reach.days_left("shop.example", now + days * 86400, now)).keys() == {status}


def test_a_certificate_that_nobody_trusts_fails_and_a_port_without_one_cannot_be_told(tmp_path):
    certificate, key = self_signed(tmp_path, "shop.example")
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert judged(reach.certificate("shop.example", "127.0.0.1", server.server_port)).keys() == {"failed"}
    server.shutdown()
    server.server_close()
    assert judged(reach.certificate("shop.example", "127.0.0.1", server.server_port)).keys() == {"untold"}


def test_host_names_that_lead_here_are_those_that_the_world_has_to_know(shop_settings):
    settings = shop_settings(service={"routes": [{"host": "shop.example.org"}, {"host": "web.localhost"}]})
    assert files.hosts(settings) == {"shop.example.org": "a route of web"}


def test_what_the_settings_ask_for_leaves_out_what_is_not_made(shop_settings):
    whole = files.asked(shop_settings({"redis": {}}, {"replicas": 1}))
    doubled = files.asked(shop_settings({"redis": {}}, {"replicas": 3}))
    assert len(doubled.cpus) == len(whole.cpus) + 2
    without = files.asked(shop_settings({"monitoring": {"logs": {"enabled": False}}}))
    assert len(without.cpus) < len(whole.cpus)
    assert 0 < without.reserved < whole.reserved < doubled.reserved


def test_a_stack_that_is_not_there_is_told_as_everywhere():
    with pytest.raises(SettingsError, match=r"Known stacks: .*production"):
        files.read(WorkDir(CHECKOUT), "nowhere")


def test_missing_secrets_and_placeholders_are_told_and_the_rest_is_looked_at():
    settings, findings = files.read(WorkDir(CHECKOUT), "production")
    assert settings is not None
    failed = [one for one in findings if one.status == "failed"]
    assert {one.topic for one in failed} == {"settings", "secrets"}
    assert any("account_id" in one.found and "all zeros" in one.found for one in failed)
    assert any("discord-critical" in one.found and "pulumi config set --secret" in one.remedy for one in failed)


def test_the_key_of_backups_is_kept_by_whoever_gave_it(tmp_path, shop_settings):
    shop = {"postgres": {"database": "shop", "user": "shop"}}
    work = WorkDir(tmp_path)
    assert judged(files.backup_key(work, shop_settings(shop))).keys() == {"note"}, "none are taken in development"
    shop["backups"] = {"enabled": True}
    (generated,) = files.backup_key(work, shop_settings(shop))
    assert generated.status == "warning" and "./dockyard secret dev backup-key" in generated.remedy
    settings = shop_settings(shop, stack={"backup-key": {"secure": "v1:x"}})
    assert judged(files.backup_key(work, settings)).keys() == {"ok"}


def test_the_passphrase_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    work = WorkDir(tmp_path)
    assert judged(files.passphrase(work)).keys() == {"note"}
    work.root.mkdir()
    work.passphrase_file.write_text("word")
    work.passphrase_file.chmod(0o644)
    assert judged(files.passphrase(work)).keys() == {"failed"}
    work.passphrase_file.chmod(0o600)
    assert judged(files.passphrase(work)).keys() == {"ok"}


def test_without_any_engine_the_rest_is_told_all_the_same(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_engine", lambda _: "")
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    code = command.doctor(WorkDir(CHECKOUT), "dev", Progress(quiet=True), as_json=True)
    said = json.loads(capsys.readouterr().out)
    found = {(one["topic"], one["status"]) for one in said["findings"]}
    assert code == said["exit_code"] == FAILED
    assert ("Docker engine", "failed") in found and ("settings", "ok") in found
    assert said["cis"]["items"] == []


def test_an_engine_that_up_would_start_is_no_failure(monkeypatch, capsys):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(command, "find_engine", lambda _: "")
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    monkeypatch.setattr(command, "is_debian", lambda: True)
    monkeypatch.setattr(command, "_ports", lambda *_: [])
    monkeypatch.setattr(command, "_clock_and_registries", lambda *_: [])
    assert command.doctor(WorkDir(CHECKOUT), "dev", Progress(quiet=True), as_json=False) == UNTOLD
    assert "starts a private one" in capsys.readouterr().out


def test_ports_of_another_program_fail_and_move_only_where_they_may(shop_settings):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = shop_settings({"publish": {"web": other.getsockname()[1]}})
        assert judged(command._ports(settings, None, "dev")).keys() == {"warning"}
        known = settings.machine.model_copy(update={"port_offsets": {"dev": 0}})
        assert judged(command._ports(replace(settings, machine=known), None, "dev")).keys() == {"failed"}
    assert judged(command._ports(settings, None, "dev")).keys() == {"ok"}


def test_what_cannot_be_asked_is_told_as_such():
    def ask() -> list[Finding]:
        raise OSError("the socket is gone")

    assert judged(command._answered("ports", ask)) == {"untold": "the socket is gone"}


@pytest.mark.parametrize("benchmark", [True, False])
def test_the_benchmark_can_be_left_out(benchmark, monkeypatch, capsys):
    engine = Seen("tcp://10.0.0.1:2376", {**INFO, "DockerRootDir": "/var/lib/docker"}, None)
    monkeypatch.setattr(command, "find_engine", lambda _: "tcp://10.0.0.1:2376")
    monkeypatch.setattr(command, "_engine", lambda *_: (engine, []))
    for asked in ("_ports", "_clock_and_registries", "_host"):
        monkeypatch.setattr(command, asked, lambda *_: [])
    code = command.doctor(WorkDir(CHECKOUT), "dev", Progress(quiet=True), as_json=True, benchmark=benchmark)
    said = json.loads(capsys.readouterr().out)
    # The disk of another machine.
    assert (code, said["cis"]["failed"]) == (UNTOLD, 0)
    assert bool(said["cis"]["items"]) == benchmark


def report(*states: str, cis: tuple[str, ...] = ()) -> Report:
    scored = [Scored("5.5", "title", state, {"api": "why"}) for state in cis]
    return Report("dev", 1.0, [Finding("x", state, "found [it]", "do") for state in states], scored, 1)


def test_the_exit_code_says_what_failed_before_what_could_not_be_told():
    assert report("ok", "note", "warning").code == WELL
    assert report("ok", "untold").code == UNTOLD
    assert report("failed", "untold").code == FAILED
    assert report("ok", cis=("failed",)).code == FAILED
    assert report("ok", cis=("untold",)).code == UNTOLD
    assert report("ok", cis=("waived", "passed", "level 2, not met")).code == WELL


def test_the_kernel_is_this_machines_only_where_the_engine_has_the_same(monkeypatch):
    monkeypatch.setattr(machine.platform, "release", lambda: "6.1")
    assert machine.is_here({"KernelVersion": "6.1"}, "unix:///var/run/docker.sock")
    assert not machine.is_here({"KernelVersion": "6.1"}, "tcp://10.0.0.1:2376")
    assert not machine.is_here({"KernelVersion": "5.15-linuxkit"}, "unix:///var/run/docker.sock")


def test_disk_and_kernel_of_another_machine_cannot_be_told():
    seen = Seen("tcp://10.0.0.1:2376", {**INFO, "DockerRootDir": "/var/lib/docker"}, None)
    found = {one.topic: one.status for one in command._machine(seen, None, "production")}
    assert found["disk"] == "untold" and "kernel" not in found

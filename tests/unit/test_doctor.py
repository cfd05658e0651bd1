"""Prerequisites: each thing that can be wrong with a machine is found, and told with what to do."""

from __future__ import annotations

import json
import socket
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from ops.doctor import command, files, machine
from ops.doctor.findings import FAILED, UNTOLD, WELL, Finding, Report, Scored
from ops.doctor.seen import Container, Seen
from settings.loader import load, read_stack_file
from settings.problems import SettingsError
from tests.unit.checkouts import CHECKOUT
from toolchain import engine as toolchain_engine
from toolchain.engine import find_engine
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


@pytest.fixture
def told_secrets(tmp_path, monkeypatch):
    """Return what is found of staging's receivers, from what the engine says of its secrets."""
    work = WorkDir(tmp_path)
    settings = load(read_stack_file(CHECKOUT, "staging"), "staging", checkout=CHECKOUT, preview=True)
    monkeypatch.setattr(files.Engine, "read", lambda *_: said())

    def said() -> dict[str, Any]:
        if isinstance(answer[0], Exception):
            raise answer[0]
        return {name: {"value": value, "secret": True} for name, value in answer[0].items()}

    answer: list[Any] = [{}]

    def found(given: Any, *, tools: bool = True) -> list[Finding]:
        answer[0] = given
        if tools:
            work.bin.mkdir(parents=True, exist_ok=True)
            (work.bin / "pulumi").touch()
        return files.receiver_secrets(work, settings)

    return found


def test_secrets_cannot_be_told_where_nothing_can_open_them(told_secrets):
    assert judged(told_secrets({}, tools=False)).keys() == {"untold"}
    locked = subprocess.CalledProcessError(255, "pulumi", stderr="error: incorrect passphrase")
    assert "incorrect passphrase" in judged(told_secrets(locked))["untold"]


def test_placeholders_in_the_place_of_webhooks_are_found_and_not_told(told_secrets):
    real = {
        f"dockyard:{name}": "https://discord.com/api/webhooks/1/abc"
        for name in ("discord-monitoring", "discord-critical")
    }
    assert judged(told_secrets(real)).keys() == {"ok"}
    (found,) = told_secrets({**real, "dockyard:discord-critical": "https://PLACEHOLDER/hook"})
    assert found.status == "warning" and "discord-critical" in found.found
    assert "PLACEHOLDER" not in f"{found.found}{found.remedy}"


def test_the_engine_is_found_and_none_is_started(tmp_path, monkeypatch):
    work = WorkDir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.delenv("DOCKYARD_ENGINE", raising=False)
    assert find_engine(work) == ""
    monkeypatch.setattr(toolchain_engine, "answers", lambda _: True)
    assert find_engine(work) == f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("DOCKYARD_ENGINE", "private")
    assert find_engine(work) == "", "another one is left aside, and there is no private one yet"
    assert not work.root.exists()


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

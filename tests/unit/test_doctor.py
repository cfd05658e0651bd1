"""Prerequisites: each thing that can be wrong with a machine is found, and told with what to do."""

import json
import socket
import subprocess
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.doctor import command, files, machine
from ops.doctor.docker_snapshot import DockerSnapshot, RunningContainer
from ops.doctor.findings import FAILED, PASSED, UNKNOWN, DoctorReport, Finding, ItemResult
from settings.loader import load, read_stack_file
from tests.support.checkout import SOURCE
from tests.support.findings import by_status
from toolchain import docker_engine as toolchain_engine
from toolchain.docker_engine import find_engine

GB = 1 << 30
INFO: dict[str, Any] = {
    **{"ServerVersion": "28.5.1", "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd"},
    **dict.fromkeys(("MemoryLimit", "CpuCfsQuota", "PidsLimit", "SwapLimit"), True),
    **dict.fromkeys(("LiveRestoreEnabled", "IPv4Forwarding"), True),
    **{"LoggingDriver": "json-file", "SecurityOptions": ["name=seccomp,profile=default"], "Warnings": None},
    **{"MemTotal": 8 * GB, "NCPU": 4},
}


engine_settings = partial(machine.engine_settings, environment="production")
engine_version = partial(machine.engine_version, docker_host="unix:///var/run/docker.sock")


@pytest.mark.parametrize("check", [engine_version, machine.storage, machine.control_groups, engine_settings])
def test_an_engine_as_it_should_be_is_well(check):
    assert {finding.status for finding in check(INFO)} == {"ok"}


@pytest.mark.parametrize(
    ("check", "changes", "status", "text"),
    [
        (engine_version, {"ServerVersion": "19.03.9"}, "failed", "19.03.9"),
        (engine_version, {"ServerVersion": "dev"}, "warning", "not recognised"),
        (machine.storage, {"Driver": "vfs"}, "failed", "vfs"),
        (machine.control_groups, {"MemoryLimit": False}, "failed", "cannot limit memory"),
        (machine.control_groups, {"PidsLimit": False}, "failed", "cannot limit processes"),
        (machine.control_groups, {"SwapLimit": False}, "warning", "no swap accounting"),
        (engine_settings, {"LoggingDriver": "syslog"}, "note", "syslog"),
        (engine_settings, {"LiveRestoreEnabled": False}, "warning", "stop"),
        (engine_settings, {"IPv4Forwarding": False}, "failed", "forwarding"),
        (engine_settings, {"SecurityOptions": ["name=userns"]}, "warning", "user namespaces"),
        (engine_settings, {"SecurityOptions": ["name=rootless"]}, "warning", "rootless"),
        (engine_settings, {"Warnings": ["WARNING: bridge-nf-call-iptables is off"]}, "note", "bridge-nf-call-iptables"),
    ],
)
def test_a_wrong_setting_of_the_engine_is_found(check, changes, status, text):
    assert text in by_status(check({**INFO, **changes}))[status]


def test_an_engine_of_development_may_end_with_its_containers():
    assert by_status(machine.engine_settings({**INFO, "LiveRestoreEnabled": False}, "development")).keys() == {"ok"}


@pytest.mark.parametrize(
    ("free", "inodes", "status"),
    [(50, 90, "ok"), (5, 90, "warning"), (2, 90, "failed"), (50, 5, "warning"), (50, 1, "failed")],
)
def test_a_disk_runs_out_of_room_or_of_inodes(free, inodes, status):
    assert status in by_status(machine.disk(machine.DiskSpace("/var/lib/docker", free * GB, 100 * GB, inodes, 100)))


def test_a_file_system_without_a_count_of_inodes_is_judged_by_its_room():
    findings = machine.disk(machine.DiskSpace("/d", 50 * GB, 100 * GB, 0, 0))
    assert [finding.topic for finding in findings] == ["disk"]


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        (machine.memory(INFO, 2 * GB, "what runs"), "ok"),
        (machine.memory(INFO, 7 * GB, "what runs"), "warning"),
        (machine.memory(INFO, 9 * GB, "what runs"), "failed"),
        # Limits of cores may add up to more than there are; one alone may not.
        (machine.cores(INFO, [4.0, 4.0, 4.0], "what runs"), "ok"),
        (machine.cores(INFO, [4.5], "what runs"), "failed"),
        (machine.kernel({"fs/file-nr": "900\t0\t1000"}, redis=False), "failed"),
        (machine.kernel({"fs/file-nr": "100\t0\t1000"}, redis=False), "ok"),
    ],
)
def test_memory_cores_and_file_handles_are_compared_with_the_hosts(findings, status):
    assert by_status(findings).keys() == {status}


def test_redis_asks_the_kernel_for_overcommit_and_no_huge_pages():
    bad = {"vm/overcommit_memory": "0", "transparent_hugepage/enabled": "[always] madvise never"}
    texts = [finding.found for finding in machine.kernel(bad, redis=True)]
    assert len(texts) == 2 and "overcommit_memory is 0" in texts[0] and "huge pages" in texts[1]
    assert machine.kernel(bad, redis=False) == []
    good = {"vm/overcommit_memory": "1", "transparent_hugepage/enabled": "always [madvise] never"}
    assert machine.kernel(good, redis=True) == []


def logging(driver: str, **options: str) -> RunningContainer:
    log = {"Type": driver, "Config": {name.replace("_", "-"): value for name, value in options.items()}}
    return RunningContainer("api", {"HostConfig": {"LogConfig": log}})


TEN = [logging("json-file", max_size="10m", max_file="14")] * 10


@pytest.mark.parametrize(
    ("containers", "free", "status"),
    [
        ([logging("json-file")], GB, "failed"),
        ([logging("json-file", max_file="3")], GB, "failed"),
        ([logging("journald")], GB, "ok"),
        # 100 MB by default.
        ([logging("local")], GB, "ok"),
        (TEN, 10 * GB, "ok"),
        (TEN, GB, "warning"),
    ],
)
def test_log_files_have_an_end_and_fit_on_the_disk(containers, free, status):
    assert by_status(machine.log_rotation(containers, free)).keys() == {status}


def test_log_files_are_added_up():
    assert by_status(machine.log_rotation(TEN, 10 * GB)) == {"ok": "10 containers, at most 1.4 GB in total"}


def test_public_host_names_are_those_of_routes(shop_settings):
    settings = shop_settings(service={"routes": [{"host": "shop.example.org"}, {"host": "web.localhost"}]})
    assert files.hosts(settings) == {"shop.example.org": "a route of web"}


def test_the_resources_asked_for_leave_out_what_is_not_made(shop_settings):
    whole = files.resource_demand(shop_settings({"redis": {}}, {"replicas": 1}))
    doubled = files.resource_demand(shop_settings({"redis": {}}, {"replicas": 3}))
    assert len(doubled.cpus) == len(whole.cpus) + 2
    without = files.resource_demand(shop_settings({"monitoring": {"logs": {"enabled": False}}}))
    assert len(without.cpus) < len(whole.cpus)
    assert 0 < without.reserved < whole.reserved < doubled.reserved


def test_missing_secrets_and_placeholders_are_found():
    settings, findings = files.read(WorkDir(SOURCE), "production")
    assert settings is not None
    failed = [one for one in findings if one.status == "failed"]
    assert {one.topic for one in failed} == {"settings", "secrets"}
    assert any("account_id" in one.found and "all zeros" in one.found for one in failed)
    assert any("discord-critical" in one.found and "pulumi config set --secret" in one.remedy for one in failed)


def test_a_generated_key_of_backups_has_to_be_written_down(tmp_path, shop_settings):
    shop = {"postgres": {"database": "shop", "user": "shop"}}
    work = WorkDir(tmp_path)
    assert by_status(files.backup_key(work, shop_settings(shop))).keys() == {"note"}, "none are taken in development"
    shop["backups"] = {"enabled": True}
    (generated,) = files.backup_key(work, shop_settings(shop))
    assert generated.status == "warning" and "./dockyard secret dev backup-key" in generated.remedy
    settings = shop_settings(shop, stack={"backup-key": {"secure": "v1:x"}})
    assert by_status(files.backup_key(work, settings)).keys() == {"ok"}


@pytest.fixture
def receiver_secrets(tmp_path, monkeypatch):
    """Return a function that judges staging's receivers by the secrets that the engine prints, or raises."""
    work = WorkDir(tmp_path)
    settings = load(read_stack_file(SOURCE, "staging"), "staging", checkout=SOURCE, preview=True)

    def judge(secrets: dict[str, str] | Exception, *, tools: bool = True) -> list[Finding]:
        def read(*_: str) -> dict[str, Any]:
            if isinstance(secrets, Exception):
                raise secrets
            return {f"dockyard:{name}": {"value": value, "secret": True} for name, value in secrets.items()}

        monkeypatch.setattr(files.PulumiCli, "read", read)
        if tools:
            work.bin.mkdir(parents=True, exist_ok=True)
            (work.bin / "pulumi").touch()
        return files.receiver_secrets(work, settings)

    return judge


def test_secrets_that_cannot_be_opened_are_untold(receiver_secrets):
    assert by_status(receiver_secrets({}, tools=False)).keys() == {"untold"}
    locked = subprocess.CalledProcessError(255, "pulumi", stderr="error: incorrect passphrase")
    assert "incorrect passphrase" in by_status(receiver_secrets(locked))["untold"]


def test_a_placeholder_in_place_of_a_webhook_is_found_and_not_printed(receiver_secrets):
    real = dict.fromkeys(("discord-monitoring", "discord-critical"), "https://discord.com/api/webhooks/1/abc")
    assert by_status(receiver_secrets(real)).keys() == {"ok"}
    (found,) = receiver_secrets({**real, "discord-critical": "https://PLACEHOLDER/hook"})
    assert found.status == "warning" and "discord-critical" in found.found
    assert "PLACEHOLDER" not in f"{found.found}{found.remedy}"


def test_an_engine_is_found_and_none_is_started(tmp_path, monkeypatch):
    work = WorkDir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.delenv("DOCKYARD_ENGINE", raising=False)
    assert find_engine(work) == ""
    monkeypatch.setattr(toolchain_engine, "answers", lambda _: True)
    assert find_engine(work) == f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("DOCKYARD_ENGINE", "private")
    assert find_engine(work) == "", "another one is left aside, and there is no private one yet"
    assert not work.root.exists()


def test_a_passphrase_is_readable_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    work = WorkDir(tmp_path)
    assert by_status(files.passphrase(work)).keys() == {"note"}
    work.root.mkdir()
    work.passphrase_file.write_text("word")
    work.passphrase_file.chmod(0o644)
    assert by_status(files.passphrase(work)).keys() == {"failed"}
    work.passphrase_file.chmod(0o600)
    assert by_status(files.passphrase(work)).keys() == {"ok"}


def test_a_missing_engine_fails_and_the_settings_are_read_all_the_same(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_engine", lambda _: "")
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    code = command.doctor(WorkDir(SOURCE), "dev", Progress(quiet=True), as_json=True)
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
    assert command.doctor(WorkDir(SOURCE), "dev", Progress(quiet=True), as_json=False) == UNKNOWN
    assert "starts a private one" in capsys.readouterr().out


def test_a_port_of_another_program_fails_unless_it_may_move(shop_settings):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = shop_settings({"publish": {"web": other.getsockname()[1]}})
        assert by_status(command._ports(settings, None, "dev")).keys() == {"warning"}
        known = settings.machine.model_copy(update={"port_offsets": {"dev": 0}})
        assert by_status(command._ports(replace(settings, machine=known), None, "dev")).keys() == {"failed"}
    assert by_status(command._ports(settings, None, "dev")).keys() == {"ok"}


def test_a_check_that_raises_is_untold():
    def ask() -> list[Finding]:
        raise OSError("the socket is gone")

    assert by_status(command._run_check("ports", ask)) == {"untold": "the socket is gone"}


@pytest.mark.parametrize("benchmark", [True, False])
def test_the_benchmark_can_be_left_out(benchmark, monkeypatch, capsys):
    engine = DockerSnapshot("tcp://10.0.0.1:2376", {**INFO, "DockerRootDir": "/var/lib/docker"}, None)
    monkeypatch.setattr(command, "find_engine", lambda _: "tcp://10.0.0.1:2376")
    monkeypatch.setattr(command, "_engine", lambda *_: (engine, []))
    for asked in ("_ports", "_clock_and_registries", "_host"):
        monkeypatch.setattr(command, asked, lambda *_: [])
    code = command.doctor(WorkDir(SOURCE), "dev", Progress(quiet=True), as_json=True, benchmark=benchmark)
    said = json.loads(capsys.readouterr().out)
    # The disk of another machine.
    assert (code, said["cis"]["failed"]) == (UNKNOWN, 0)
    assert bool(said["cis"]["items"]) == benchmark
    topics = {finding["topic"]: finding["status"] for finding in said["findings"]}
    assert topics["disk"] == "untold" and "kernel" not in topics


@pytest.mark.parametrize(
    ("statuses", "scores", "code"),
    [
        (("ok", "note", "warning"), (), PASSED),
        (("ok", "untold"), (), UNKNOWN),
        (("failed", "untold"), (), FAILED),
        (("ok",), ("failed",), FAILED),
        (("ok",), ("untold",), UNKNOWN),
        (("ok",), ("waived", "passed", "level 2, not met"), PASSED),
    ],
)
def test_the_exit_code_is_of_failures_before_what_is_untold(statuses, scores, code):
    findings = [Finding("x", status, "found [it]", "do") for status in statuses]
    scored = [ItemResult("5.5", "title", status, {"api": "why"}) for status in scores]
    assert DoctorReport("dev", 1.0, findings, scored, 1).code == code


def test_the_kernel_is_this_machines_where_the_engine_has_the_same(monkeypatch):
    monkeypatch.setattr(machine.platform, "release", lambda: "6.1")
    assert machine.is_local_engine({"KernelVersion": "6.1"}, "unix:///var/run/docker.sock")
    assert not machine.is_local_engine({"KernelVersion": "6.1"}, "tcp://10.0.0.1:2376")
    assert not machine.is_local_engine({"KernelVersion": "5.15-linuxkit"}, "unix:///var/run/docker.sock")

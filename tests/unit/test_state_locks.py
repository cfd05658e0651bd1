"""Locks on a stack: who waits, who is told, and what a killed process leaves."""

import json
import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.run_notes import noted_run
from ops.state.locks import check_not_moved, lock_error_from_output, lock_holder, locks, wait_for_locks
from ops.state.snapshot import remove_begun, remove_strays
from ops.state.store import FileStore
from runtime.pulumi_state import CONTAINER, NETWORK, VOLUME
from tests.support import states
from tests.support.fake_docker import FakeDocker
from tests.support.states import resource

GONE = 2**22 + 12345  # no process has this number

BY_ENGINE = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock"
    " file with `pulumi cancel`.\n  gs://b/.pulumi/locks/organization/dockyard/dev/1.json: created by ann@elsewhere"
    " (pid 12) at 2026-01-02T03:04:05Z\n"
)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    return WorkDir(tmp_path)


@pytest.fixture
def shared(work, monkeypatch):
    """The backend is one that other machines use too."""
    store = SimpleNamespace(**{name: getattr(FileStore(work.state), name) for name in ("keys", "read", "delete")})
    monkeypatch.setattr("ops.state.locks.store_of", lambda _: store)


def lock(work, **holder):
    file = work.state / ".pulumi/locks/organization/dockyard/dev/1.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    made = {"pid": os.getpid(), "username": "ann", "hostname": socket.gethostname()}
    file.write_text(json.dumps({**made, "timestamp": datetime.now(UTC).isoformat(), **holder}))
    return file


@pytest.mark.parametrize(
    "holder", [{"pid": GONE}, {"timestamp": (datetime.now(UTC) - timedelta(days=3000)).isoformat()}]
)
def test_the_lock_of_a_killed_process_or_of_before_the_machine_started_is_released(work, progress, holder):
    left = lock(work, **holder)
    wait_for_locks(work, "dev", progress)
    assert not left.exists()


def test_the_locks_of_another_stack_are_left_alone_and_one_that_is_being_written_is_ignored(work, progress):
    left = lock(work, pid=GONE)
    wait_for_locks(work, "de", progress)
    assert left.exists()
    left.rename(left.with_name("fileblob123"))
    assert locks(FileStore(work.state), "dev") == []


def test_a_lock_of_another_machine_is_reported_and_not_waited_for(work, progress):
    left = lock(work, hostname="elsewhere", pid=12, timestamp="2026-01-02T03:04:05.123456789Z")
    with pytest.raises(SetupError, match=r"process 12 of ann@elsewhere since .* January 2026, ..:04:05") as told:
        wait_for_locks(work, "dev", progress)
    assert "./dockyard state unlock dev" in told.value.remedy
    assert left.exists()


def test_another_run_on_this_machine_is_waited_for(work, progress, printed, monkeypatch):
    with subprocess.Popen(["sleep", "60"]) as other:
        left = lock(work, pid=other.pid)

        def end(_seconds: float) -> None:
            other.kill()
            other.wait()

        monkeypatch.setattr("ops.state.locks.time.sleep", end)
        wait_for_locks(work, "dev", progress)
    assert f"process {other.pid}" in printed.getvalue()
    assert not left.exists()


def test_a_lock_in_a_shared_state_may_be_of_another_machine_of_this_name(work, progress, shared):
    left = lock(work, pid=GONE)
    with pytest.raises(SetupError, match=f"process {GONE}"):
        wait_for_locks(work, "dev", progress)
    assert left.exists()


def test_a_lock_in_a_shared_state_is_released_where_its_run_was_killed_here(work, progress, shared):
    with noted_run(work, "dev") as ended:
        left = lock(work, pid=GONE)
        ended.append(137)
    wait_for_locks(work, "dev", progress)
    assert not left.exists()


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_that_ended_by_itself_leaves_no_note(work, progress, shared, code):
    with noted_run(work, "dev") as ended:
        ended.append(code)
    lock(work, pid=GONE)
    with pytest.raises(SetupError, match="elsewhere"):
        wait_for_locks(work, "dev", progress)


def test_an_engines_message_of_a_lock_becomes_our_own_error(work):
    told = lock_error_from_output("dev", BY_ENGINE)
    assert told is not None
    assert "process 12 of ann@elsewhere since 02 January 2026" in told.message
    assert lock_error_from_output("dev", "error: something else (pid 12)") is None


def test_the_holder_of_a_lock_is_named_unless_it_is_dead(work, monkeypatch):
    lock(work, pid=1, hostname="elsewhere", timestamp="noon")
    assert lock_holder(FileStore(work.state), "dev") == "process 1 of ann@elsewhere since noon"
    assert lock_holder(FileStore(work.state), "staging") == ""
    monkeypatch.setattr("ops.state.locks.socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr("ops.state.locks.Lock.alive", False)
    assert lock_holder(FileStore(work.state), "dev") == ""


def test_a_moved_state_is_refused(work, progress):
    lock(work, pid=0, moved_to="s3://bucket/state")
    with pytest.raises(SetupError, match=r"was moved on .* by ann@.* to s3://bucket/state") as told:
        wait_for_locks(work, "dev", progress)
    assert "Pulumi.yaml" in told.value.remedy
    check_not_moved(FileStore(work.state), "staging")
    assert [one.moved_to for one in locks(FileStore(work.state), "dev")] == ["s3://bucket/state"]


@pytest.fixture
def docker():
    docker = FakeDocker()
    labels = {"dockyard.stack": "dev"}
    for name in ("begun", "used", "updated", "known"):
        docker.add_volume(name, labels=labels)
    docker.add_volume("theirs", labels={"dockyard.stack": "other"})
    docker.add_container("user", volumes=["used"])
    return docker


def begun(kind: str, name: str, verb: str = "creating") -> dict:
    """Return an operation that a killed run had begun."""
    return {"type": verb, "resource": {"type": kind, "urn": "urn", "inputs": {"name": name}}}


def test_what_a_killed_run_had_begun_to_make_is_removed_and_nothing_else(docker, progress, printed):
    names = ("begun", "used", "theirs", "known", "never made")
    operations = [
        *(begun(VOLUME, name) for name in names),
        begun(VOLUME, "updated", "updating"),
        {"type": "creating", "resource": {"type": "pulumi-python:dynamic:Resource", "inputs": {}}},
    ]
    remove_begun(states.state(resource("known", VOLUME), pending=tuple(operations)), docker, "dev", progress)
    assert docker.changes == [("remove volume", "begun")]
    assert "used, created by an interrupted run, is in use and stays" in printed.getvalue()


def test_a_container_that_had_joined_nothing_is_removed_before_its_volume(docker, progress):
    docker.add_container("web", labels={"dockyard.stack": "dev"}, volumes=["begun"])
    pending = (begun(VOLUME, "begun"), begun(CONTAINER, "web"))
    remove_begun(states.state(pending=pending), docker, "dev", progress)
    assert docker.changes == [("remove container", "web"), ("remove volume", "begun")]


def test_an_unknown_container_on_an_own_network_or_volume_is_a_stray(docker, progress):
    for name, networks, volumes in (
        ("known", ["net"], []),
        ("stray", ["net"], []),
        ("elsewhere", ["other"], []),
        ("not-joined", [], ["files"]),
    ):
        docker.add_container(name, labels={"dockyard.stack": "dev"}, networks=networks, volumes=volumes)
    docker.add_container("theirs", labels={"dockyard.stack": "other"}, networks=["net"])
    state = states.state(resource("known", CONTAINER), resource("net", NETWORK), resource("files", VOLUME))
    remove_strays(state, docker, "dev", progress)
    assert docker.changes == [("remove container", "stray"), ("remove container", "not-joined")]

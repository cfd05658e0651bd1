"""Locks on a stack: who waits, who is told, and what a killed process leaves."""

import io
import json
import os
import socket
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from docker.errors import APIError, NotFound
from rich.console import Console

from ops.backend import FileStore
from ops.state import State, remove_begun
from ops.state_locks import held_by_engine, locks, noted_run, refuse_moved, settle_locks
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

GONE = 2**22 + 12345
"""No process has this number."""

BY_ENGINE = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock"
    " file with `pulumi cancel`.\n  gs://b/.pulumi/locks/organization/dockyard/dev/1.json: created by ann@elsewhere"
    " (pid 12) at 2026-01-02T03:04:05Z\n"
)


@pytest.fixture
def printed():
    return io.StringIO()


@pytest.fixture
def progress(printed):
    return Progress(Console(file=printed, width=300))


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.setattr("ops.state_locks.POLL_SECONDS", 0.05)
    return WorkDir(tmp_path)


@pytest.fixture
def shared(work, monkeypatch):
    """The backend is one that other machines use too."""
    store = SimpleNamespace(**{name: getattr(FileStore(work.state), name) for name in ("keys", "read", "delete")})
    monkeypatch.setattr("ops.state_locks.store_of", lambda _: store)


def lock(work, **holder):
    file = work.state / ".pulumi/locks/organization/dockyard/dev/1.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    made = {"pid": os.getpid(), "username": "ann", "hostname": socket.gethostname()}
    file.write_text(json.dumps({**made, "timestamp": datetime.now(UTC).isoformat(), **holder}))
    return file


def test_the_lock_of_a_killed_process_is_released(work, progress):
    left = lock(work, pid=GONE)
    settle_locks(work, "dev", progress)
    assert not left.exists()


def test_a_lock_that_is_just_being_written_is_none_yet(work, progress):
    lock(work).rename(work.state / ".pulumi/locks/organization/dockyard/dev/fileblob123")
    assert locks(FileStore(work.state), "dev") == []


def test_the_locks_of_another_stack_are_left_alone(work, progress):
    left = lock(work, pid=GONE)
    settle_locks(work, "de", progress)
    assert left.exists()


def test_a_lock_from_before_the_machine_was_started_anew_is_nobodys_though_its_number_is_taken_again(work, progress):
    left = lock(work, timestamp=(datetime.now(UTC) - timedelta(days=3000)).isoformat())
    settle_locks(work, "dev", progress)
    assert not left.exists()


def test_who_holds_it_on_another_machine_is_told_and_not_waited_for(work, progress):
    left = lock(work, hostname="elsewhere", pid=12, timestamp="2026-01-02T03:04:05.123456789Z")
    with pytest.raises(SetupError, match=r"process 12 of ann@elsewhere since .* January 2026, ..:04:05") as told:
        settle_locks(work, "dev", progress)
    assert "./dockyard state unlock dev" in told.value.remedy
    assert left.exists()


def test_another_run_on_this_machine_is_waited_for(work, progress, printed):
    other = subprocess.Popen(["sleep", "0.5"])
    left = lock(work, pid=other.pid)
    reaper = threading.Thread(target=other.wait)
    reaper.start()
    settle_locks(work, "dev", progress)
    assert other.returncode == 0
    assert f"process {other.pid}" in printed.getvalue()
    assert not left.exists()


def test_where_machines_share_the_state_a_machine_of_the_same_name_may_be_another(work, progress, shared):
    left = lock(work, pid=GONE)
    with pytest.raises(SetupError, match=f"process {GONE}"):
        settle_locks(work, "dev", progress)
    assert left.exists()


def test_where_machines_share_the_state_the_lock_of_a_run_that_was_killed_here_is_released(work, progress, shared):
    with noted_run(work, "dev") as ended:
        left = lock(work, pid=GONE)
        ended.append(137)
    settle_locks(work, "dev", progress)
    assert not left.exists()


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_that_ended_by_itself_leaves_no_note(work, progress, shared, code):
    with noted_run(work, "dev") as ended:
        ended.append(code)
    lock(work, pid=GONE)
    with pytest.raises(SetupError, match="elsewhere"):
        settle_locks(work, "dev", progress)


def test_what_the_engine_says_of_a_lock_is_told_as_our_own(work):
    told = held_by_engine("dev", BY_ENGINE)
    assert told is not None
    assert "process 12 of ann@elsewhere since 02 January 2026" in told.message
    assert held_by_engine("dev", "error: something else (pid 12)") is None


def test_a_state_that_was_moved_is_used_by_nobody(work, progress):
    lock(work, pid=0, moved_to="s3://bucket/state")
    with pytest.raises(SetupError, match=r"was moved on .* by ann@.* to s3://bucket/state") as told:
        settle_locks(work, "dev", progress)
    assert "Pulumi.yaml" in told.value.remedy
    refuse_moved(FileStore(work.state), "staging")
    assert [one.moved_to for one in locks(FileStore(work.state), "dev")] == ["s3://bucket/state"]


class Made:
    """A network or a volume on an engine."""

    def __init__(self, name, stack="dev", used=False):
        self.id, self.attrs, self.used, self.removed = name, {"Labels": {"dockyard.stack": stack}}, used, False

    @property
    def labels(self):
        return self.attrs["Labels"]

    def remove(self, *, force=False):
        if self.used and not force:
            raise APIError("409", explanation="volume is in use")
        self.removed = True


def engine_with(*made):
    def get(name):
        for one in made:
            if one.id == name:
                return one
        raise NotFound("no such thing")

    kind = SimpleNamespace(get=get)
    return SimpleNamespace(containers=kind, networks=kind, volumes=kind)


def test_what_a_killed_run_had_begun_to_make_is_removed_and_nothing_else(progress, printed):
    begun, used, kept, theirs, known = (
        Made("begun"),
        Made("used", used=True),
        Made("kept"),
        Made("theirs", stack="other"),
        Made("known"),
    )
    resource = {"type": "docker:index/volume:Volume", "urn": "urn", "id": "known"}
    operations = [
        {"type": "creating", "resource": {**resource, "type": "docker:index/network:Network", "inputs": {"name": name}}}
        for name in ("begun", "used", "theirs", "known", "never made")
    ]
    operations.append({"type": "updating", "resource": {**resource, "inputs": {"name": "kept"}}})
    operations.append({"type": "creating", "resource": {"type": "pulumi-python:dynamic:Resource", "inputs": {}}})
    state = State((resource,), True, tuple(operations))
    remove_begun(state, engine_with(begun, used, kept, theirs, known), "dev", progress)
    assert [one.id for one in (begun, used, kept, theirs, known) if one.removed] == ["begun"]
    assert "used, which an interrupted run made, is in use and stays" in printed.getvalue()


def test_a_container_that_had_joined_nothing_yet_is_removed_before_the_volume_that_it_holds(progress):
    order = []
    container, volume = Made("web"), Made("files")
    for one in (container, volume):
        one.remove = lambda one=one, **_: order.append(one.id)
    operations = tuple(
        {"type": "creating", "resource": {"type": f"docker:index/{kind}", "urn": "urn", "inputs": {"name": one.id}}}
        for kind, one in (("volume:Volume", volume), ("container:Container", container))
    )
    remove_begun(State((), True, operations), engine_with(container, volume), "dev", progress)
    assert order == ["web", "files"]

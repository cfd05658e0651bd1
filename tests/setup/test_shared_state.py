"""State that several machines share: real engines on S3 and KMS, both played by moto's server."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import pytest

from machine import processes
from machine.progress import SetupError
from ops.deploy.history import is_broken, rollback_target, updates
from ops.state import copies
from ops.state.locks import check_usable, lock_error_from_output, lock_prefix, locks, wait_for_locks
from ops.state.snapshot import State, recover
from ops.state.store import STATES, S3Store, store_of
from tests.setup.team import Team, lock_of_ann
from tests.support.waiting import wait_until
from toolchain.environment import ensure_backend, full_environment
from toolchain.stacks import ensure_stack


def test_on_s3_a_stack_comes_up_a_second_up_changes_nothing_and_its_history_says_where_to_go_back_to(
    team: Team,
) -> None:
    assert team.up("one") == {"created": 1}
    assert team.up("one") == {}
    team.up("two")
    found = updates(team.store, "dev")
    assert [one.succeeded for one in found] == [True] * 3
    state = State.of(team.engine)
    assert not is_broken(found, state)
    target = rollback_target(found, team.release("two"), broken=False)
    assert target is not None
    assert target.release == team.release("one")
    assert not (team.work.state / ".pulumi").exists(), "nothing is kept beside the bucket"
    assert all(b"hush-hush" not in team.store.read(key) for key in team.store.keys(""))
    shown = team.verb("show", "dev").output
    assert f"backend      s3://{team.bucket}/dockyard" in shown
    assert "locked by    nobody" in shown
    assert "last run     update succeeded" in shown


def test_who_deploys_from_another_machine_is_told_by_our_verbs_and_of_the_engine_and_can_be_unlocked(
    team: Team,
) -> None:
    team.up()
    key = lock_of_ann(team)
    with pytest.raises(SetupError, match="process 12 of ann@elsewhere since 02 January 2026") as told:
        wait_for_locks(team.work, "dev", team.words.progress)
    assert "./dockyard state unlock dev" in told.value.remedy
    code, outcome = team.engine.change("up", [], team.words.progress)
    assert code != 0
    assert not outcome.errors, "a lock is told where the engine calls nothing an error"
    printed = (team.work.logs / "up-dev.log").read_text()
    assert str(lock_error_from_output("dev", printed)) == str(told.value)
    assert team.verb("unlock", "dev", said="n\n").exit_code == 1
    assert team.store.keys(key) == [key]
    done = team.verb("unlock", "dev", said="y\n")
    assert "ann@elsewhere" in done.output
    assert team.store.keys(key) == []
    assert team.up() == {}


def test_a_run_that_was_killed_leaves_neither_a_lock_nor_an_operation_behind(team: Team) -> None:
    team.up()
    (team.work.checkout / "slow").touch()
    script = (
        "from pathlib import Path; from ops.pulumi_cli import PulumiCli; from machine.workdir import WorkDir;"
        "from toolchain.environment import full_environment; from machine.progress import Progress;"
        f"work = WorkDir(Path({str(team.work.checkout)!r}));"
        "PulumiCli(work, 'dev', full_environment(work)).change('up', [], Progress())"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until((team.work.checkout / "begun").exists, "the slow resource is being made", 120)
    for pid in [run.pid, *processes.descendants(run.pid)]:
        os.kill(pid, signal.SIGKILL)
    run.wait()
    (held,) = locks(team.store, "dev")
    assert held.host == socket.gethostname()
    (team.work.checkout / "slow").unlink()
    wait_for_locks(team.work, "dev", team.words.progress)
    assert locks(team.store, "dev") == []
    state = State.of(team.engine)
    assert [one["type"] for one in state.pending] == ["creating"]
    assert is_broken(updates(team.store, "dev"), state)
    none = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: []), networks=None, volumes=None)
    mended = recover(state, team.engine, none, team.words.progress)
    assert not mended.interrupted
    assert [one["urn"] for one in mended.resources] == [one["urn"] for one in state.resources]
    assert team.up() == {}


def test_a_stack_moves_to_s3_and_back_with_its_history_and_nobody_goes_on_using_the_old_one(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.keep_here()
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    ensure_backend(team.work)
    team.up("one")
    team.up("two")
    here = team.engine.read("stack export")
    old = store_of(team.work)
    assert old is not None
    ensure_stack(team.work, "never-up", full_environment(team.work))
    moved = team.verb("move", team.url)
    assert moved.exit_code == 0, moved.output
    assert team.store.keys(STATES) == [f"{STATES}dev.json"], "what was never up is made anew where it is asked for"
    assert State.of(team.engine).resources, "the old one is as it was"
    with pytest.raises(SetupError, match=r"was moved on .* to s3://"):
        wait_for_locks(team.work, "dev", team.words.progress)
    assert "who moved this state to s3://" in team.pulumi("up", "--yes", "--skip-preview", "--stack", "dev").stderr
    assert team.verb("move", team.url).exit_code == 0, "to say it twice is no mistake"

    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(team.work.passphrase_file))
    team.share()
    assert team.engine.read("stack export") == here
    assert [one.release for one in updates(team.store, "dev")] == [team.release("one"), team.release("two")]
    assert team.up("two") == {}
    team.up("three")

    assert team.verb("move", f"file://{team.work.state}").exit_code == 0
    with pytest.raises(SetupError, match=r"was moved on .* to file://"):
        check_usable(team.work, "dev")
    team.keep_here()
    assert locks(old, "dev") == []
    assert len(updates(old, "dev")) == 4
    assert team.up("three") == {}


def test_a_move_that_was_interrupted_is_ended_by_the_same_command_and_two_are_never_in_use(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.keep_here()
    ensure_backend(team.work)
    team.up()
    source = store_of(team.work)
    assert source is not None
    writes: list[str] = []
    write = S3Store.write

    def broken(store: S3Store, key: str, content: bytes) -> None:
        writes.append(key)
        if key.startswith(STATES):
            raise SetupError("the network is gone")
        write(store, key, content)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "write", broken)
        assert team.verb("move", team.url, "dev").exit_code == 1
    assert any(key.startswith(".pulumi/history") for key in writes)
    assert team.up() == {}, "it is where it was"
    assert [one.moved_to for one in locks(team.store, "dev")] == [source.url], "and is not used there"
    assert team.verb("move", team.url).exit_code == 0
    assert locks(team.store, "dev") == []
    team.share()
    assert team.up() == {}

    team.store.delete(lock_prefix("dev") + "moved.json")
    source.delete(lock_prefix("dev") + "moved.json")
    team.keep_here()
    refused = team.verb("move", team.url, "dev")
    assert "the stack dev already exists at" in str(refused.exception)


def test_a_copy_of_the_state_is_checked_before_it_is_taken_in_again(team: Team) -> None:
    team.up("one")
    file = team.work.checkout / "copy.json"
    assert team.verb("backup", "dev", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["sha256sum", "-c", "copy.json.sha256"], cwd=file.parent, capture_output=True).returncode == 0
    assert "hush-hush" not in file.read_text()
    before = State.of(team.engine, opened=True)
    team.up("two")
    with pytest.raises(SetupError, match="a copy of the stack dev, not of staging"):
        copies.read(file, "staging")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"one", b"own"))
    assert "is damaged" in str(team.verb("restore", "dev", str(file), "--yes").exception)
    file.write_bytes(whole)
    assert team.verb("restore", "dev", str(file), said="y\n").exit_code == 0
    assert State.of(team.engine, opened=True) == before
    assert len(list((team.work.root / "backups").glob("dev-*.json"))) == 1, "what it was before is kept"
    assert team.up("one") == {}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("bucket", "the bucket does not exist"),
        ("endpoint", "does not answer"),
        ("credentials", "there are no credentials for the state"),
        ("profile", "The config profile (nobody) could not be found"),
        ("key", "the access key is unknown"),
        ("region", "is not configured"),
        ("option", "has unsupported options: role"),
    ],
)
def test_a_backend_that_cannot_be_used_is_told_in_one_sentence(
    team: Team, wrong: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {
        "bucket": team.url.replace(team.bucket, "nobodys"),
        "endpoint": team.url.replace(team.endpoint, "http://127.0.0.1:9"),
        "profile": f"{team.url}&profile=nobody",
        "region": team.url.replace("region=eu-west-3&", ""),
        "option": f"{team.url}&role=arn:aws:iam::1:role/x",
    }
    monkeypatch.setenv("PULUMI_BACKEND_URL", changed.get(wrong, team.url))
    if wrong == "credentials":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if wrong == "key":
        # From its next request on the server looks at who asks.
        ask(f"{team.endpoint}/moto-api/reset-auth", b"0")
    try:
        with pytest.raises(SetupError) as error:
            check_usable(team.work, "dev")
    finally:
        if wrong == "key":
            ask(f"{team.endpoint}/moto-api/reset-auth", b"1000000")
    assert told in error.value.message
    assert "\n" not in str(error.value)
    assert error.value.remedy


def ask(url: str, body: bytes) -> None:
    asked = urllib.request.Request(url, data=body, method="POST", headers={"Content-Type": "text/plain"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200

"""State that several machines share: real engines on S3 and KMS, both played by moto's server."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner, Result

from ops import state_copies, state_verbs
from ops.backend import STATES, S3Store, store_at, store_of
from ops.engine import Engine
from ops.history import is_broken, to_return_to, updates
from ops.state import State, mend
from ops.state_locks import check_usable, folder_of, held_by_engine, locks, settle_locks
from settings.release import Release
from tests.setup.helpers import Words
from toolchain import processes
from toolchain.environment import ensure_backend, full_environment
from toolchain.progress import SetupError
from toolchain.pulumi_cli import ensure_pulumi
from toolchain.stacks import ensure_stack
from toolchain.workdir import WorkDir

PROGRAM = """\
import json, pathlib, time
import pulumi
from pulumi.dynamic import Resource, ResourceProvider, CreateResult

here = pathlib.Path(__file__).parent

class Provider(ResourceProvider):
    def create(self, props):
        if props["slow"]:
            pathlib.Path(props["begun"]).touch()
            time.sleep(60)
        return CreateResult("it", {**props, "value": "made once"})

class Thing(Resource):
    def __init__(self, name, **props):
        super().__init__(Provider(), name, {**props, "value": None})

Thing("first", slow=False, begun="")
if (here / "slow").exists():
    Thing("second", slow=True, begun=str(here / "begun"))
pulumi.export("password", pulumi.Output.secret("hush-hush-hush"))
pulumi.export("release", json.loads((here / "release.json").read_text()))
"""
STACK_FILE = "# What differs in dev.\nconfig:\n  dockyard:color: blue\n"
BUCKET = "team-state"


class Team:
    """A checkout whose state several machines share."""

    def __init__(self, work: WorkDir, words: Words, endpoint: str, bucket: str) -> None:
        self.work, self.words, self.endpoint, self.bucket = work, words, endpoint, bucket
        self.url = f"s3://{bucket}/dockyard?region=eu-west-3&endpoint={endpoint}&s3ForcePathStyle=true"

    def share(self) -> None:
        """Say in Pulumi.yaml that the state is kept in S3."""
        file = self.work.checkout / "Pulumi.yaml"
        file.write_text(f'name: dockyard\nruntime: python\nbackend:\n  url: "{self.url}"\n')

    def keep_here(self) -> None:
        (self.work.checkout / "Pulumi.yaml").write_text("name: dockyard\nruntime: python\n")

    @property
    def store(self) -> S3Store:
        found = store_at(self.url)
        assert isinstance(found, S3Store)
        return found

    @property
    def engine(self) -> Engine:
        env = full_environment(self.work)
        ensure_stack(self.work, "dev", env)
        return Engine(self.work, "dev", env)

    def release(self, text: str) -> Release:
        return Release(stack={"text": text}, product={}, images={})

    def up(self, text: str = "one") -> dict[str, int]:
        """Bring the stack up with a release; return what changed."""
        (self.work.checkout / "release.json").write_text(json.dumps(self.release(text).model_dump()))
        engine = self.engine
        settle_locks(self.work, "dev", self.words.progress)
        code, outcome = engine.change("up", ["--refresh"], self.words.progress)
        assert code == 0, (self.work.logs / "up-dev.log").read_text()
        return dict(outcome.changes)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive"]
        env = full_environment(self.work)
        return subprocess.run(command, cwd=self.work.checkout, env=env, capture_output=True, text=True)

    def verb(self, *arguments: str, said: str = "") -> Result:
        return CliRunner().invoke(state_verbs.app, arguments, input=said)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of S3 and KMS."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it tells every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def team(tmp_path: Path, words: Words, aws: str, monkeypatch: pytest.MonkeyPatch) -> Team:
    """An empty bucket and a checkout that keeps its state there."""
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    work = WorkDir(tmp_path / "project")
    work.checkout.mkdir()
    (work.checkout / "Pulumi.dev.yaml").write_text(STACK_FILE)
    (work.checkout / "__main__.py").write_text(PROGRAM)
    ensure_pulumi(work, words.progress)
    monkeypatch.setattr(state_verbs, "WorkDir", lambda: work)
    monkeypatch.setattr("ops.setup.ensure_plugins", lambda *_: None)
    bucket = f"{BUCKET}-{time.time_ns()}"
    made = Team(work, words, aws, bucket)
    client(aws, "s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    made.share()
    (work.root / "team-passphrase").write_text("a passphrase of the team")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(work.root / "team-passphrase"))
    return made


def client(aws: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=aws, region_name="eu-west-3", aws_access_key_id="key", aws_secret_access_key="secret"
    )


def lock_of_ann(team: Team) -> str:
    key = f"{folder_of('dev')}of-ann.json"
    holder = {"pid": 12, "username": "ann", "hostname": "elsewhere", "timestamp": "2026-01-02T03:04:05.123456789Z"}
    team.store.write(key, json.dumps(holder).encode())
    return key


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
    target = to_return_to(found, team.release("two"), broken=False)
    assert target is not None
    assert target.release == team.release("one")
    assert not (team.work.state / ".pulumi").exists(), "nothing is kept beside the bucket"
    assert all(b"hush-hush" not in team.store.read(key) for key in team.store.keys(""))
    shown = team.verb("show", "dev").output
    assert f"kept at      s3://{team.bucket}/dockyard" in shown
    assert "locked by    nobody" in shown
    assert "last run     update succeeded" in shown


def test_who_deploys_from_another_machine_is_told_by_our_verbs_and_of_the_engine_and_can_be_unlocked(
    team: Team,
) -> None:
    team.up()
    key = lock_of_ann(team)
    with pytest.raises(SetupError, match="process 12 of ann@elsewhere since 02 January 2026") as told:
        settle_locks(team.work, "dev", team.words.progress)
    assert "./dockyard state unlock dev" in told.value.remedy
    code, outcome = team.engine.change("up", [], team.words.progress)
    assert code != 0
    assert not outcome.errors, "a lock is told where the engine calls nothing an error"
    printed = (team.work.logs / "up-dev.log").read_text()
    assert str(held_by_engine("dev", printed)) == str(told.value)
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
        "from pathlib import Path; from ops.engine import Engine; from toolchain.workdir import WorkDir;"
        "from toolchain.environment import full_environment; from toolchain.progress import Progress;"
        f"work = WorkDir(Path({str(team.work.checkout)!r}));"
        "Engine(work, 'dev', full_environment(work)).change('up', [], Progress())"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (team.work.checkout / "begun").exists():
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    for pid in [run.pid, *processes.descendants(run.pid)]:
        os.kill(pid, signal.SIGKILL)
    run.wait()
    (held,) = locks(team.store, "dev")
    assert held.host == socket.gethostname()
    (team.work.checkout / "slow").unlink()
    settle_locks(team.work, "dev", team.words.progress)
    assert locks(team.store, "dev") == []
    state = State.of(team.engine)
    assert [one["type"] for one in state.pending] == ["creating"]
    assert is_broken(updates(team.store, "dev"), state)
    none = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: []), networks=None, volumes=None)
    mended = mend(state, team.engine, none, team.words.progress)
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
        settle_locks(team.work, "dev", team.words.progress)
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

    team.store.delete(folder_of("dev") + "moved.json")
    source.delete(folder_of("dev") + "moved.json")
    team.keep_here()
    refused = team.verb("move", team.url, "dev")
    assert "there is a stack dev at" in str(refused.exception)


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
        state_copies.read(file, "staging")
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
        ("bucket", "there is no such bucket"),
        ("endpoint", "does not answer"),
        ("credentials", "there are no credentials for it"),
        ("profile", "The config profile (nobody) could not be found"),
        ("key", "the access key is not known there"),
        ("region", "nothing says in which region"),
        ("option", "has options that are not read here: role"),
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
    began = time.monotonic()
    try:
        with pytest.raises(SetupError) as error:
            check_usable(team.work, "dev")
    finally:
        if wrong == "key":
            ask(f"{team.endpoint}/moto-api/reset-auth", b"1000000")
    assert told in error.value.message
    assert "\n" not in str(error.value)
    assert error.value.remedy
    assert time.monotonic() - began < 30


def ask(url: str, body: bytes) -> None:
    asked = urllib.request.Request(url, data=body, method="POST", headers={"Content-Type": "text/plain"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200


def test_without_a_passphrase_or_a_key_nothing_is_made_there(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    with pytest.raises(SetupError, match="nothing says what opens its secrets") as told:
        ensure_stack(team.work, "dev", full_environment(team.work))
    assert "docs/state.md" in told.value.remedy
    assert "region=" not in told.value.message, "the address is told without its options"
    assert team.store.keys("") == []


def test_a_key_in_a_kms_encrypts_a_new_stack_and_the_stack_file_says_so(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    url = kms_key(team)
    file = team.work.checkout / "Pulumi.dev.yaml"
    file.write_text(f"{STACK_FILE}secretsprovider: {url}\n")
    assert team.up() == {"created": 1}
    assert file.read_text().startswith(f"{STACK_FILE}secretsprovider: {url}\nencryptedkey: ")
    written = file.read_text()
    assert team.up() == {}
    assert file.read_text() == written
    assert f"secrets      {url}" in team.verb("show", "dev").output
    opened = team.pulumi("stack", "output", "password", "--show-secrets", "--stack", "dev")
    assert opened.stdout.strip() == "hush-hush-hush"


def test_a_passphrase_gives_way_to_a_key_in_a_kms(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.up()
    url = kms_key(team)
    changed = subprocess.run(
        ["pulumi", "stack", "change-secrets-provider", url, "--stack", "dev"],
        cwd=team.work.checkout,
        env=full_environment(team.work),
        capture_output=True,
        text=True,
    )
    assert changed.returncode == 0, changed.stderr
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    assert team.up() == {}
    assert f"secrets      {url}" in team.verb("show", "dev").output
    opened = team.pulumi("stack", "output", "password", "--show-secrets", "--stack", "dev")
    assert opened.stdout.strip() == "hush-hush-hush"


def kms_key(team: Team) -> str:
    made = client(team.endpoint, "kms").create_key()["KeyMetadata"]["KeyId"]
    return f"awskms:///{made}?region=eu-west-3&endpoint={team.endpoint}"

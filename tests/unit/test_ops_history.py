"""Rollbacks: which release of the history they go back to, and what they tell of it."""

import gzip
import json

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.deploy.history import ROLLBACK, changes, history_store, is_broken, rollback_target, same, updates
from ops.state.snapshot import State
from ops.state.store import FileStore
from settings.release import Release

BACK = f"{ROLLBACK} to yesterday"


def release(text: str, image: str = "registry.example/api:1@sha256:aa") -> Release:
    return Release(
        stack={"services": {"api": {"env": {"RELEASE": text}}}}, product={"name": "shop"}, images={"api": image}
    )


class History:
    """A file backend's history of the stack dev, as the engine writes it."""

    def __init__(self, folder):
        self.backend = FileStore(folder)
        self.folder = folder / ".pulumi/history/dockyard/dev"
        self.folder.mkdir(parents=True)

    def add(self, text, *, result="succeeded", kind="update", message="a commit", packed=False) -> None:
        number = 1_700_000_000_000_000_000 + len(list(self.folder.iterdir())) * 1_000_000_000
        outputs = {"release": release(text).model_dump()} if text else {}
        state = {"latest": {"resources": [{"type": "pulumi:pulumi:Stack", "urn": "urn:stack", "outputs": outputs}]}}
        said = {"kind": kind, "result": result, "message": message, "endTime": number // 10**9}
        for part, content in (("history", said), ("checkpoint", {"version": 3, "checkpoint": state})):
            file = self.folder / f"dev-{number}.{part}.json{'.gz' if packed else ''}"
            written = json.dumps(content).encode()
            file.write_bytes(gzip.compress(written) if packed else written)
            file.with_name(f"{file.name}.attrs").write_text("{}")

    def target(self, running: str, *, broken=False) -> str | None:
        found = rollback_target(updates(self.backend, "dev"), release(running), broken=broken)
        return found and found.release and found.release.stack["services"]["api"]["env"]["RELEASE"]


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_rollback_returns_to_the_newest_good_release_that_differs(history, packed):
    for text in ("one", "two", "three", "three"):
        history.add(text, packed=packed)
    assert history.target("three") == "two"


FAILED, ROLLED_BACK, REFRESH = {"result": "failed"}, {"message": BACK}, {"kind": "refresh"}


@pytest.mark.parametrize(
    ("runs", "running", "target"),
    [
        # A failed release is never returned to.
        ([("one", {}), ("two", FAILED), ("three", {})], "three", "one"),
        # After a failed run, its predecessor is: the outputs of a run that fails stay those of the run before.
        ([("one", {}), ("two", {}), ("two", FAILED)], "two", "two"),
        # A second rollback goes further back and not forward again.
        ([("one", {}), ("two", {}), ("three", {}), ("two", ROLLED_BACK)], "two", "one"),
        ([("one", {}), ("two", {}), ("three", {}), ("two", ROLLED_BACK), ("one", ROLLED_BACK)], "one", None),
        # A release after a rollback can be undone too.
        ([("one", {}), ("two", {}), ("one", ROLLED_BACK), ("three", {})], "three", "one"),
        # Runs of other kinds are no releases.
        ([("one", {}), ("two", {}), ("two", REFRESH), (None, {"kind": "destroy"}), ("three", {})], "three", "two"),
        # There is nothing before the first release, nor in what ran before releases were recorded.
        ([], "one", None),
        ([("one", {})], "one", None),
        ([(None, {}), ("one", {})], "one", None),
    ],
)
def test_a_rollback_chooses_its_release_by_the_history(history, runs, running, target):
    for text, options in runs:
        history.add(text, **options)
    assert history.target(running) == target


def test_a_rollback_after_a_killed_run_returns_to_what_ran_before_it(history):
    history.add("one")
    history.add("two")
    assert history.target("two", broken=True) == "two"


def test_a_killed_run_leaves_a_state_that_no_recorded_run_left(history):
    stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:stack"}
    history.add("one")
    found = updates(history.backend, "dev")
    made = {"type": "docker:index/container:Container", "urn": "urn:api", "id": "new"}
    assert not is_broken(found, State((stack,), False))
    assert is_broken(found, State((stack,), True)), "an operation has begun and not ended"
    assert is_broken(found, State((stack, made), False))
    assert not is_broken([], State((), False))


def test_the_same_image_from_another_registry_is_the_same_release():
    assert same(release("one", "docker.io/x/api:1@sha256:aa"), release("one", "mirror.example/x/api:1@sha256:aa"))
    assert not same(release("one", "docker.io/x/api:1@sha256:aa"), release("one", "docker.io/x/api:1@sha256:bb"))
    assert not same(release("one", "dockyard/api:1111"), release("one", "dockyard/api:2222"))


def test_changes_are_listed_images_first_and_long_values_cut():
    now, then = release("two", "r.example/api:2@sha256:bb"), release("one" * 50)
    now.stack["publish"] = {"api": 8080}
    assert changes(now, then) == [
        "image api: r.example/api:2@sha256:bb → registry.example/api:1@sha256:aa",
        "publish.api: 8080 → not set",
        f"services.api.env.RELEASE: two → {('one' * 50)[:59]}…",
    ]


def test_another_order_of_a_maps_entries_is_no_change():
    now, then = release("one"), release("one")
    now.stack["kpis"], then.stack["kpis"] = [{"query": "a", "title": "b"}], [{"title": "b", "query": "a"}]
    assert changes(now, then) == []


def test_a_backend_of_files_or_s3_has_a_history(tmp_path, monkeypatch):
    work = WorkDir(tmp_path)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    assert history_store(work).url == f"file://{tmp_path}/.dockyard/state"
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/elsewhere")
    assert history_store(work).url == f"file://{tmp_path}/elsewhere"
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket/state?region=eu-west-3")
    assert history_store(work).url.startswith("s3://bucket/state")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "gs://bucket/state")
    with pytest.raises(SetupError, match="gs://"):
        history_store(work)

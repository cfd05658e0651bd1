"""Rollbacks: which release of the history they go back to, and what they tell of it."""

import gzip
import json

import pytest

from ops.backend import FileStore
from ops.history import ROLLBACK, changes, history_store, is_broken, same, to_return_to, updates
from ops.state import State
from settings.release import Release
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

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
        found = to_return_to(updates(self.backend, "dev"), release(running), broken=broken)
        return found and found.release and found.release.stack["services"]["api"]["env"]["RELEASE"]


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_it_goes_back_to_the_newest_good_release_that_is_another(history, packed):
    for text in ("one", "two", "three", "three"):
        history.add(text, packed=packed)
    assert history.target("three") == "two"


def test_a_failed_release_is_never_gone_back_to(history):
    history.add("one")
    history.add("two", result="failed")
    history.add("three")
    assert history.target("three") == "one"


def test_after_a_failed_run_it_goes_back_to_what_ran_before_it(history):
    history.add("one")
    history.add("two")
    # The outputs of a run that fails stay those of the run before.
    history.add("two", result="failed")
    assert history.target("two") == "two"


def test_after_a_run_that_was_killed_it_goes_back_to_what_ran_before_it(history):
    history.add("one")
    history.add("two")
    assert history.target("two", broken=True) == "two"


def test_a_run_that_was_killed_is_known_by_a_state_that_no_recorded_run_left(history):
    stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:stack"}
    history.add("one")
    found = updates(history.backend, "dev")
    made = {"type": "docker:index/container:Container", "urn": "urn:api", "id": "new"}
    assert not is_broken(found, State((stack,), False))
    assert is_broken(found, State((stack,), True)), "an operation has begun and not ended"
    assert is_broken(found, State((stack, made), False))
    assert not is_broken([], State((), False))


def test_a_second_rollback_goes_further_back_and_not_forward_again(history):
    for text in ("one", "two", "three"):
        history.add(text)
    history.add("two", message=BACK)
    assert history.target("two") == "one"
    history.add("one", message=BACK)
    assert history.target("one") is None


def test_a_release_after_a_rollback_can_be_gone_back_from(history):
    history.add("one")
    history.add("two")
    history.add("one", message=BACK)
    history.add("three")
    assert history.target("three") == "one"


def test_runs_of_other_kinds_are_no_releases(history):
    history.add("one")
    history.add("two")
    history.add("two", kind="refresh")
    history.add(None, kind="destroy")
    history.add("three")
    assert history.target("three") == "two"


def test_there_is_nothing_to_go_back_to_after_the_first_release(history):
    assert history.target("one") is None
    history.add("one")
    assert history.target("one") is None


def test_what_ran_before_releases_were_recorded_is_nothing_to_go_back_to(history):
    history.add(None)
    history.add("one")
    assert history.target("one") is None


def test_the_same_image_from_another_registry_is_the_same_release():
    assert same(release("one", "docker.io/x/api:1@sha256:aa"), release("one", "mirror.example/x/api:1@sha256:aa"))
    assert not same(release("one", "docker.io/x/api:1@sha256:aa"), release("one", "docker.io/x/api:1@sha256:bb"))
    assert not same(release("one", "dockyard/api:1111"), release("one", "dockyard/api:2222"))


def test_what_changes_is_told_images_first_and_long_values_cut():
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


def test_only_a_backend_of_files_or_s3_has_a_history_to_read(tmp_path, monkeypatch):
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

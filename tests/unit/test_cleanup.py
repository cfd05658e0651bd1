"""Freeing disk space: what goes, and above all what stays."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from docker.errors import APIError, ImageNotFound

from ops import cleanup, history
from ops.cleanup import Known, clean
from ops.crontab import crontab
from ops.engine import Engine
from settings.release import Release
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGE = timedelta(days=7)
OLD, YOUNG = "2026-11-01T12:00:00.123456789Z", "2026-11-19T12:00:00Z"
OURS = {"dockyard.stack": "shop"}


@dataclass
class FakeDocker:
    """As much of a Docker engine as a clean-up asks. Things go by their names, which are their ids."""

    things: dict = field(default_factory=dict)
    removed: list = field(default_factory=list)
    in_use: tuple = ()
    cache: tuple = ()
    pruned: list = field(default_factory=list)

    def add(self, kind: str, name: str, *, labels=OURS, created=OLD, status="exited", on=(), image="", names=None):
        attrs = {
            "Created": created,
            "Labels": labels,
            "Image": image,
            "NetworkSettings": {"Networks": {one: {"NetworkID": one} for one in on}},
            "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
            "RepoDigests": [one for one in names or () if "@" in one],
            "Size": 2_000_000,
        }
        tags = [one for one in names or () if "@" not in one]
        remove = lambda: self._remove(name)  # noqa: E731 - a method of the fake
        self.things.setdefault(kind, {})[name] = SimpleNamespace(
            id=name, name=name, labels=labels, status=status, attrs=attrs, tags=tags, remove=remove
        )

    def _remove(self, name: str) -> None:
        if name in self.in_use:
            raise APIError("no", explanation="in use")
        self.removed.append(name)

    def _all(self, kind: str, filters=None) -> list:
        label = (filters or {}).get("label")
        return [one for one in self.things.get(kind, {}).values() if not label or label in one.labels]

    @property
    def containers(self):
        return SimpleNamespace(list=lambda filters=None, **_: self._all("container", filters))

    @property
    def networks(self):
        return SimpleNamespace(list=lambda filters=None: self._all("network", filters))

    @property
    def images(self):
        def get(reference):
            for one in self._all("image"):
                if reference in (*one.tags, *one.attrs["RepoDigests"]):
                    return one
            raise ImageNotFound(reference)

        return SimpleNamespace(get=get, list=lambda: self._all("image"), remove=self._remove)

    @property
    def api(self):
        def prune_builds(filters):
            self.pruned.append(filters)
            return {"SpaceReclaimed": 5}

        return SimpleNamespace(prune_builds=prune_builds)

    def df(self) -> dict:
        return {"BuildCache": list(self.cache)}


def known(**more) -> Known:
    sets = {"stacks": {"shop"}, "containers": set(), "networks": set(), "needed": set(), "named": set(), **more}
    return Known(**{name: frozenset(values) for name, values in sets.items()})


def gone(docker: FakeDocker, what: Known) -> list:
    clean(docker, what, NOW - AGE, AGE)
    return docker.removed


class TestContainers:
    def test_one_of_ours_that_stopped_and_that_no_state_knows_goes(self):
        docker = FakeDocker()
        docker.add("container", "left")
        assert gone(docker, known()) == ["left"]

    @pytest.mark.parametrize(
        "more",
        [
            {"labels": {}},
            {"labels": {"dockyard.stack": "of-another-checkout"}},
            {"status": "running"},
            {"status": "paused"},
            {"status": "restarting"},
            {"created": YOUNG},
        ],
        ids=str,
    )
    def test_others_and_those_that_run_or_are_young_stay(self, more):
        docker = FakeDocker()
        docker.add("container", "stays", **more)
        assert gone(docker, known()) == []

    def test_a_job_that_a_state_knows_stays_though_it_has_ended(self):
        docker = FakeDocker()
        docker.add("container", "job")
        assert gone(docker, known(containers={"job"})) == []

    def test_another_checkouts_stack_of_the_same_name_keeps_its_jobs(self):
        docker = FakeDocker()
        docker.add("network", "theirs")
        docker.add("network", "ours")
        docker.add("container", "their-job", on=("theirs",))
        docker.add("container", "our-stray", on=("ours",))
        docker.add("container", "of-a-network-that-is-gone", on=("gone",))
        assert gone(docker, known(networks={"ours"})) == ["our-stray", "of-a-network-that-is-gone"]


class TestNetworks:
    def test_one_of_ours_that_no_state_knows_and_nobody_joins_goes(self):
        docker = FakeDocker()
        docker.add("network", "left")
        docker.add("network", "of-a-state")
        docker.add("network", "of-others", labels={})
        docker.add("network", "of-another-checkout", labels={"dockyard.stack": "other"})
        docker.add("network", "young", created=YOUNG)
        docker.add("network", "joined")
        docker.add("container", "one", labels={}, on=("joined",))
        assert gone(docker, known(networks={"of-a-state"})) == ["left"]


class TestImages:
    WEB = "registry.example/shop/web"

    def image(self, docker: FakeDocker, name: str, **more) -> None:
        docker.add("image", name, labels={}, **{"names": (f"{self.WEB}:{name}",), **more})

    def test_an_old_image_of_a_repository_of_ours_that_nothing_needs_goes(self):
        docker = FakeDocker()
        self.image(docker, "1")
        self.image(docker, "2")
        self.image(docker, "3", created=YOUNG)
        self.image(docker, "4")
        docker.add("container", "theirs", labels={}, image="4")
        what = known(needed={f"{self.WEB}:2"}, named={f"{self.WEB}:2"})
        assert gone(docker, what) == [f"{self.WEB}:1"]

    def test_images_of_others_stay_and_so_do_those_without_a_name_or_with_a_foreign_one(self):
        docker = FakeDocker()
        self.image(docker, "theirs", names=("registry.example/theirs/web:1",))
        self.image(docker, "nameless", names=())
        self.image(docker, "shared", names=(f"{self.WEB}:9", "registry.example/theirs/copy:9"))
        assert gone(docker, known(named={f"{self.WEB}:2"})) == []

    def test_an_image_that_was_pulled_by_its_digest_goes_by_it(self):
        docker = FakeDocker()
        pulled = f"{self.WEB}@sha256:1"
        self.image(docker, "1", names=(pulled,))
        assert gone(docker, known(named={f"{self.WEB}:2@sha256:2"})) == [pulled]

    def test_what_the_engine_does_not_let_go_of_is_told_and_the_rest_goes(self):
        docker = FakeDocker(in_use=(f"{self.WEB}:1",))
        self.image(docker, "1")
        self.image(docker, "2")
        report = clean(docker, known(named={self.WEB}), NOW - AGE, AGE)
        assert docker.removed == [f"{self.WEB}:2"]
        assert report.refused == [f"image {self.WEB}:1: in use"]
        assert report.freed == 2_000_005, "the image and the build cache"

    @pytest.mark.parametrize(
        ("reference", "repository"),
        [
            ("docker.io/library/postgres:17.1@sha256:12", "postgres"),
            ("postgres:17", "postgres"),
            ("127.0.0.1:5000/prom/prometheus:v3", "127.0.0.1:5000/prom/prometheus"),
            ("127.0.0.1:5000/prom/prometheus", "127.0.0.1:5000/prom/prometheus"),
            ("ghcr.io/a/b@sha256:12", "ghcr.io/a/b"),
        ],
    )
    def test_a_repository_is_a_reference_without_tag_and_digest(self, reference, repository):
        assert cleanup._repository(reference) == repository


class TestReport:
    def test_a_dry_run_touches_nothing_and_tells_the_same(self):
        cache = ({"Size": 7, "InUse": False, "LastUsedAt": OLD}, {"Size": 100, "InUse": True, "LastUsedAt": OLD})
        docker = FakeDocker(cache=cache)
        docker.add("container", "left")
        report = clean(docker, known(), NOW - AGE, AGE, dry_run=True)
        assert docker.removed == docker.pruned == []
        assert [(one.kind, one.name, one.size) for one in report.removed] == [
            ("container", "left", 0),
            ("build cache", "of more than 7 days", 7),
        ]
        assert "would remove container left" in "\n".join(report.lines())
        assert json.loads(report.as_json())["removed"][0] == {"kind": "container", "name": "left", "bytes": 0}

    def test_the_build_cache_is_pruned_by_age(self):
        docker = FakeDocker()
        clean(docker, known(), NOW - AGE, AGE)
        assert docker.pruned == [{"until": "604800s"}]

    def test_a_wrong_age_is_told_before_anything_is_looked_at(self, tmp_path):
        with pytest.raises(SetupError, match="--older-than week"):
            cleanup.cleanup(WorkDir(tmp_path), Progress(), older_than="week", dry_run=True, as_json=False)


class TestKnown:
    def update(self, number: int, *, succeeded=True):
        release = Release(stack={}, product={}, images={"web": f"shop/web:{number}"})
        return SimpleNamespace(succeeded=succeeded, release=release)

    def test_images_of_the_last_five_different_good_releases_are_needed_and_older_ones_are_ours(
        self, tmp_path, monkeypatch
    ):
        (tmp_path / "components").mkdir()
        (tmp_path / "components/images.yaml").write_text("busybox: {image: docker.io/library/busybox:1}\n")
        updates = [self.update(number) for number in (1, 2, 3, 3, 4, 5, 6, 6)] + [self.update(7, succeeded=False)]
        monkeypatch.setattr(history, "history_store", lambda _: None)
        monkeypatch.setattr(history, "updates", lambda *_: updates)
        monkeypatch.setattr(cleanup, "lock_holder", lambda *_: "")
        monkeypatch.setattr(Engine, "list_stacks", lambda _: ["shop"])
        container = {"type": cleanup.CONTAINER, "id": "web-id", "outputs": {"image": "shop/web:7"}}
        monkeypatch.setattr(Engine, "read", lambda *_: {"deployment": {"resources": [container]}})
        found = cleanup.known_of(WorkDir(tmp_path), {})
        assert found.needed >= {f"shop/web:{number}" for number in (2, 3, 4, 5, 6, 7)}
        assert "shop/web:1" not in found.needed
        assert "shop/web:1" in found.named
        assert found.containers == {"web-id"}

    def test_a_run_that_changes_a_stack_is_not_disturbed(self, tmp_path, monkeypatch):
        (tmp_path / "components").mkdir()
        (tmp_path / "components/images.yaml").write_text("{}\n")
        monkeypatch.setattr(history, "history_store", lambda _: None)
        monkeypatch.setattr(cleanup, "lock_holder", lambda *_: "process 7 of me")
        monkeypatch.setattr(Engine, "list_stacks", lambda _: ["shop"])
        with pytest.raises(SetupError, match="the stack shop is being changed by process 7 of me"):
            cleanup.known_of(WorkDir(tmp_path), {})

    def test_a_state_that_cannot_be_read_ends_it(self, tmp_path, monkeypatch):
        def fails(*_):
            raise subprocess.CalledProcessError(1, "pulumi")

        (tmp_path / "components").mkdir()
        (tmp_path / "components/images.yaml").write_text("{}\n")
        monkeypatch.setattr(Engine, "list_stacks", lambda _: ["shop"])
        monkeypatch.setattr(Engine, "read", fails)
        with pytest.raises(subprocess.CalledProcessError):
            cleanup.known_of(WorkDir(tmp_path), {})


class TestCrontab:
    def test_the_lines_are_cron_s_own_and_stand_between_marks(self, tmp_path):
        folder = tmp_path / "a 100% checkout"
        first, path, drift, clean_up, last = crontab(WorkDir(folder), "production")
        assert (first, last) == ("# BEGIN dockyard production", "# END dockyard production")
        assert path.startswith("PATH=/")
        for line, verb in ((drift, "drift production"), (clean_up, "cleanup")):
            *when, command = line.split(" ", 5)
            assert len(when) == 5
            assert all(set(part) <= set("0123456789*") for part in when)
            assert f"nice ./dockyard {verb} >> " in command
            assert "100\\%" in command
            assert "100%" not in command

    def test_a_line_does_what_it_says_when_a_shell_runs_it(self, tmp_path):
        folder = tmp_path / "a checkout"
        (folder / ".dockyard/logs").mkdir(parents=True)
        (folder / "dockyard").write_text('#!/bin/sh\necho "$@"\n')
        (folder / "dockyard").chmod(0o755)
        line = list(crontab(WorkDir(folder), "production"))[2]
        subprocess.run([shutil.which("sh"), "-c", line.split(" ", 5)[5]], check=True)
        assert (folder / ".dockyard/logs/cron.log").read_text() == "drift production\n"

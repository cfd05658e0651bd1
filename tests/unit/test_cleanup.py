"""`cleanup`: what goes, and above all what stays."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops import cleanup
from ops.cleanup import StackInventory, clean
from ops.crontab import crontab
from ops.deploy import history
from ops.pulumi_cli import PulumiCli
from runtime.pulumi_state import CONTAINER
from settings.release import Release
from tests.support.fake_docker import CREATED, FakeDocker

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGE = timedelta(days=7)
YOUNG = "2026-11-19T12:00:00Z"
OURS = {"dockyard.stack": "shop"}
WEB = "registry.example/shop/web"


def known(**sets) -> StackInventory:
    defaults = {"stacks": {"shop"}, "containers": set(), "networks": set(), "needed": set(), "named": set()}
    return StackInventory(**{name: frozenset(values) for name, values in {**defaults, **sets}.items()})


def removed(docker: FakeDocker, known: StackInventory) -> list[str]:
    """Clean up; return the names of the containers, networks and images that went."""
    clean(docker, known, NOW - AGE, AGE)
    return [name for verb, name in docker.changes if verb != "prune builds"]


class TestContainers:
    @pytest.mark.parametrize("status", ["exited", "created", "dead"])
    def test_a_stopped_container_of_ours_that_no_state_knows_goes(self, docker, status):
        docker.add_container("left", labels=OURS, status=status)
        assert removed(docker, known()) == ["left"]

    @pytest.mark.parametrize(
        "attributes",
        [
            {"labels": {}},
            {"labels": {"dockyard.stack": "of-another-checkout"}},
            {"status": "running"},
            {"status": "paused"},
            {"status": "restarting"},
            {"created": YOUNG},
            # A job that the state knows stays though it has ended.
            {"identity": "in-the-state"},
        ],
        ids=str,
    )
    def test_another_container_stays(self, docker, attributes):
        docker.add_container("stays", **{"labels": OURS, "status": "exited", **attributes})
        assert removed(docker, known(containers={"in-the-state"})) == []

    def test_a_job_of_another_checkouts_stack_of_the_same_name_stays(self, docker):
        docker.add_network("theirs")
        docker.add_network("ours")
        for name, network in (("their-job", "theirs"), ("our-stray", "ours"), ("of-no-network", "gone")):
            docker.add_container(name, labels=OURS, status="exited", networks=[network])
        assert removed(docker, known(networks={"ours"})) == ["our-stray", "of-no-network"]


def test_a_network_of_ours_that_no_state_knows_and_nobody_joins_goes(docker):
    docker.add_network("left", labels=OURS)
    docker.add_network("of-a-state", labels=OURS)
    docker.add_network("of-others")
    docker.add_network("of-another-checkout", labels={"dockyard.stack": "other"})
    docker.add_network("young", labels=OURS, created=YOUNG)
    docker.add_network("joined", labels=OURS)
    docker.add_container("stopped", status="exited", networks=["joined"])
    assert removed(docker, known(networks={"of-a-state"})) == ["left"]


class TestImages:
    def test_an_old_image_of_ours_that_nothing_needs_goes(self, docker):
        for number in (1, 2, 4):
            docker.add_image(f"id-{number}", [f"{WEB}:{number}"])
        docker.add_image("id-3", [f"{WEB}:3"], created=YOUNG)
        docker.add_container("theirs", image="id-4")
        assert removed(docker, known(needed={f"{WEB}:2"}, named={f"{WEB}:2"})) == [f"{WEB}:1"]

    @pytest.mark.parametrize(
        "names", [["registry.example/theirs/web:1"], [], [f"{WEB}:9", "registry.example/theirs/copy:9"]]
    )
    def test_an_image_without_a_name_or_with_a_foreign_one_stays(self, docker, names):
        docker.add_image("theirs", names)
        assert removed(docker, known(named={f"{WEB}:2"})) == []

    @pytest.mark.parametrize(
        ("names", "gone"), [([f"{WEB}@sha256:1"], [f"{WEB}@sha256:1"]), ([f"{WEB}:1", f"{WEB}@sha256:1"], [f"{WEB}:1"])]
    )
    def test_an_image_goes_by_its_tags_and_its_digest(self, docker, names, gone):
        docker.add_image("1", names)
        assert removed(docker, known(named={f"{WEB}:2@sha256:2"})) == gone
        assert docker.images.list() == []

    def test_an_image_that_the_engine_does_not_remove_is_reported_and_the_rest_goes(self, docker):
        for number in (1, 2):
            docker.add_image(f"id-{number}", [f"{WEB}:{number}"])
        docker.refuse("remove_image", f"{WEB}:1", "in use")
        docker.api.build_cache = [{"Size": 5, "InUse": False}]
        report = clean(docker, known(named={WEB}), NOW - AGE, AGE)
        assert ("remove image", f"{WEB}:2") in docker.changes
        assert report.refused == [f"image {WEB}:1: in use"]
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
    def test_a_dry_run_touches_nothing_and_reports_the_same(self, docker):
        docker.api.build_cache = [
            {"Size": 7, "InUse": False, "LastUsedAt": CREATED},
            {"Size": 100, "InUse": True, "LastUsedAt": CREATED},
        ]
        docker.add_container("left", labels=OURS, status="exited")
        report = clean(docker, known(), NOW - AGE, AGE, dry_run=True)
        assert docker.changes == []
        assert [(removed.kind, removed.name, removed.size) for removed in report.removed] == [
            ("container", "left", 0),
            ("build cache", "of more than 7 days", 7),
        ]
        assert "would remove container left" in "\n".join(report.lines())
        assert json.loads(report.as_json())["removed"][0] == {"kind": "container", "name": "left", "bytes": 0}

    def test_the_build_cache_is_pruned_by_age(self, docker):
        clean(docker, known(), NOW - AGE, AGE)
        assert docker.changes == [("prune builds", {"until": "604800s"})]

    def test_an_age_that_is_no_duration_is_refused_before_anything_is_removed(self, tmp_path):
        with pytest.raises(SetupError, match="--older-than week"):
            cleanup.cleanup(WorkDir(tmp_path), Progress(), older_than="week", dry_run=True, as_json=False)


class TestKnown:
    @pytest.fixture
    def work(self, tmp_path, monkeypatch):
        """A checkout with the stack shop, whose container runs the seventh image."""
        (tmp_path / "components").mkdir()
        (tmp_path / "components/images.yaml").write_text("busybox: {image: docker.io/library/busybox:1}\n")
        monkeypatch.setattr(history, "history_store", lambda _: None)
        monkeypatch.setattr(history, "updates", lambda *_: [])
        monkeypatch.setattr(cleanup, "lock_holder", lambda *_: "")
        monkeypatch.setattr(PulumiCli, "list_stacks", lambda _: {"shop": 9})
        container = {"type": CONTAINER, "id": "web-id", "outputs": {"image": "shop/web:7"}}
        monkeypatch.setattr(PulumiCli, "read", lambda *_: {"deployment": {"resources": [container]}})
        return WorkDir(tmp_path)

    def test_images_of_the_last_five_different_good_releases_are_needed(self, work, monkeypatch):
        def update(number: int, *, succeeded: bool = True):
            release = Release(stack={}, product={}, images={"web": f"shop/web:{number}"})
            return SimpleNamespace(succeeded=succeeded, release=release)

        updates = [update(number) for number in (1, 2, 3, 3, 4, 5, 6, 6)] + [update(8, succeeded=False)]
        monkeypatch.setattr(history, "updates", lambda *_: updates)
        found = cleanup.read_inventory(work, {})
        assert found.needed >= {f"shop/web:{number}" for number in (2, 3, 4, 5, 6, 7)}
        assert not found.needed & {"shop/web:1", "shop/web:8"}
        assert "shop/web:1" in found.named
        assert found.containers == {"web-id"}

    def test_a_stack_that_is_being_changed_ends_the_cleanup(self, work, monkeypatch):
        monkeypatch.setattr(cleanup, "lock_holder", lambda *_: "process 7 of me")
        with pytest.raises(SetupError, match="the stack shop is being changed by process 7 of me"):
            cleanup.read_inventory(work, {})

    def test_a_state_that_cannot_be_read_ends_the_cleanup(self, work, monkeypatch):
        def fail(*_):
            raise subprocess.CalledProcessError(1, "pulumi")

        monkeypatch.setattr(PulumiCli, "read", fail)
        with pytest.raises(subprocess.CalledProcessError):
            cleanup.read_inventory(work, {})


class TestCrontab:
    def test_the_lines_are_in_crons_own_format_between_two_marks(self, tmp_path):
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

    def test_a_line_runs_its_verb_when_a_shell_executes_it(self, tmp_path):
        folder = tmp_path / "a checkout"
        (folder / ".dockyard/logs").mkdir(parents=True)
        (folder / "dockyard").write_text('#!/bin/sh\necho "$@"\n')
        (folder / "dockyard").chmod(0o755)
        line = list(crontab(WorkDir(folder), "production"))[2]
        subprocess.run([shutil.which("sh"), "-c", line.split(" ", 5)[5]], check=True)
        assert (folder / ".dockyard/logs/cron.log").read_text() == "drift production\n"

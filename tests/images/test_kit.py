"""What the kit builds, and in which order: without a build."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from machine.processes import run
from machine.progress import SetupError
from machine.workdir import WorkDir
from offline.kit.build import Kit
from offline.kit.recipes import RECIPES
from offline.registry import Registry
from settings.images import load_images
from tests.support.checkout import SOURCE
from tests.support.progress import Words

REGISTRY = Registry("127.0.0.1:9")


@pytest.fixture
def kit(tmp_path: Path, words: Words) -> Kit:
    return Kit(WorkDir(tmp_path), words.progress, load_images(SOURCE / "components" / "images.yaml"))


@pytest.fixture
def building(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    def replace_by(build: Callable[[str], None]) -> None:
        monkeypatch.setattr(Kit, "_ensure", lambda _, name, registry: build(name))

    return replace_by


def records(kit: Kit) -> dict[str, Path]:
    return {name: kit._record(name) for name in RECIPES}


@pytest.mark.parametrize(("changed", "affected"), [("redis", {"redis"}), ("python", {"python", "grafana"})])
def test_a_changed_recipe_makes_its_own_image_anew_and_no_other(kit, monkeypatch, changed: str, affected: set[str]):
    before = records(kit)
    monkeypatch.setitem(RECIPES, changed, replace(RECIPES[changed], drops=["/somewhere/else"]))
    assert {name for name, record in records(kit).items() if record != before[name]} == affected


def test_an_image_is_used_while_another_is_still_being_built(kit: Kit, building):
    used = threading.Event()
    building(lambda name: name == "traefik" and not used.wait(20) and pytest.fail("nobody used redis"))
    kit.build(["traefik", "redis"], REGISTRY, lambda name, _: used.set() if name == "redis" else None)
    assert used.is_set()


def test_an_image_that_cannot_be_built_ends_the_build_and_the_others_are_used(kit: Kit, building):
    used = []

    def build(name: str) -> None:
        if name == "redis":
            raise SetupError(f"{name} is broken")

    building(build)
    with pytest.raises(SetupError, match="redis is broken"):
        kit.build(["traefik", "redis"], REGISTRY, lambda name, _: used.append(name))
    assert used == ["traefik"]


def test_a_program_that_was_killed_is_told_as_interrupted():
    with pytest.raises(SetupError, match=r"cannot be unpacked: sh was interrupted \(SIGKILL\). Run it again"):
        run(["sh", "-c", "kill -KILL $$"], "x.deb cannot be unpacked")

"""Where images come from: the engine, the official registry, the mirror, the image kit, in this order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.images.helpers import HARDENED, SOURCE, OwnStorage, PlayedRegistry
from tests.setup.helpers import Words
from toolchain.images import ensure_images
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

NOWHERE = "127.0.0.1:9"
"""A registry that refuses connections: nothing listens on the discard port."""

DIGEST = "sha256:" + "0a" * 32

Make = Callable[..., WorkDir]


def kit_table(official: str = NOWHERE) -> dict[str, dict[str, str]]:
    """A table whose busybox only the kit can give."""
    return {"busybox": {"image": f"{official}/library/busybox:1.37.0", "digest": DIGEST}}


def test_an_image_comes_from_its_official_registry(checkout: Make, played, engine, docker_host, words: Words):
    digest = played.offer("team/app", "v1")
    work = checkout({"app": {"image": f"{played.host}/team/app:v1", "digest": digest}})
    assert ensure_images(work, words.progress, docker_host, ["app"], None) == {}
    assert engine.images.get(f"{played.host}/team/app@{digest}")
    assert f"Image app: pulled {played.host}/team/app:v1@{digest}" in words


def test_a_second_run_asks_no_registry(checkout: Make, played, docker_host, words: Words):
    table = {
        name: {"image": f"{played.host}/team/{name}:v1", "digest": played.offer(f"team/{name}", "v1")}
        for name in ("a", "b", "c")
    }
    work = checkout(table)
    ensure_images(work, words.progress, docker_host, list(table), None)
    played.stop()
    said = str(words)
    began = time.monotonic()
    assert ensure_images(work, words.progress, docker_host, list(table), None) == {}
    assert time.monotonic() - began < 2.5
    assert str(words) == said


def test_a_full_reference_needs_no_table(checkout: Make, played, engine, docker_host, words: Words):
    played.offer("team/own", "v7")
    name = f"{played.host}/team/own:v7"
    assert ensure_images(checkout(), words.progress, docker_host, [name], None) == {}
    assert engine.images.get(name)


def test_a_registry_out_of_reach_is_told_once_and_the_mirror_serves(checkout: Make, played, docker_host, words: Words):
    digest = played.offer("mirrors/team/a", "v1")
    played.offer("mirrors/team/b", "v1")
    work = checkout(
        {
            "a": {"image": f"{NOWHERE}/team/a:v1", "digest": digest},
            "b": {"image": f"{NOWHERE}/team/b:v1"},
        }
    )
    mirror = f"{played.host}/mirrors"
    found = ensure_images(work, words.progress, docker_host, ["a", "b"], mirror)
    assert set(found) == {"b"}, "a is what table and mirror say by themselves"
    assert found["b"].startswith(f"{mirror}/team/b:v1@sha256:")
    assert str(words).count(f"{NOWHERE} cannot be reached") == 1
    said = str(words)
    assert ensure_images(work, words.progress, docker_host, ["a", "b"], mirror) == found
    assert str(words) == said


def test_an_image_that_the_official_registry_lacks_comes_from_the_mirror(
    checkout: Make, played, tmp_path: Path, engine, docker_host, words: Words
):
    official = PlayedRegistry(tmp_path / "official", engine)
    try:
        digest = played.offer("team/app", "v1")
        work = checkout({"app": {"image": f"{official.host}/team/app:v1", "digest": digest}})
        assert ensure_images(work, words.progress, docker_host, ["app"], played.host) == {}
        assert f"{official.host}/team/app:v1@{digest} cannot be pulled: the registry does not have it" in words
    finally:
        official.stop()


def test_a_mirror_of_other_builds_is_pinned_by_what_it_gives(checkout: Make, played, docker_host, words: Words):
    given = played.offer("team/app", "v1")
    work = checkout({"app": {"image": f"{NOWHERE}/team/app:v1", "digest": DIGEST}})
    found = ensure_images(work, words.progress, docker_host, ["app"], played.host)
    assert found == {"app": f"{played.host}/team/app:v1@{given}"}
    assert f"{played.host}/team/app:v1@{DIGEST} cannot be pulled: the registry does not have it" in words


def test_an_image_that_nobody_has_is_told_with_all_that_was_tried(checkout: Make, played, docker_host, words: Words):
    work = checkout({"app": {"image": f"{NOWHERE}/team/app:v1"}})
    with pytest.raises(SetupError) as raised:
        ensure_images(work, words.progress, docker_host, ["app"], played.host)
    told = str(raised.value)
    assert "The image app cannot be had" in told
    assert f"{NOWHERE} cannot be reached" in told
    assert f"{played.host}/team/app:v1: the registry does not have it" in told
    assert "the image kit has no recipe for it" in told
    assert "docker.mirror" in told
    assert "\n" not in told


def test_an_engine_that_does_not_answer_is_told(checkout: Make, tmp_path: Path, words: Words):
    with pytest.raises(SetupError, match="does not answer"):
        ensure_images(checkout(), words.progress, f"unix://{tmp_path}/none.sock", ["busybox"], None)


def test_the_kit_builds_what_no_registry_gives(checkout: Make, engine, docker_host, words: Words):
    work = checkout(kit_table())
    found = ensure_images(work, words.progress, docker_host, ["busybox"], None)
    reference = found["busybox"]
    assert reference.startswith("127.0.0.1:")
    assert "/library/busybox:1.37.0@sha256:" in reference
    assert engine.containers.run(reference, ["echo", "it runs"], remove=True, **HARDENED) == b"it runs\n"
    said = str(words)
    began = time.monotonic()
    assert ensure_images(work, words.progress, docker_host, ["busybox"], None) == found
    assert time.monotonic() - began < 2.5
    assert str(words) == said


def test_another_checkout_builds_nothing_anew(checkout: Make, docker_host, words: Words):
    first = ensure_images(checkout(kit_table()), words.progress, docker_host, ["busybox"], None)
    again = Words()
    second = ensure_images(checkout(kit_table()), again.progress, docker_host, ["busybox"], None)
    assert first["busybox"].partition("@")[2] == second["busybox"].partition("@")[2]
    assert first != second, "each checkout has a registry of its own"
    assert "Image kit" not in again


def test_a_kit_image_lost_from_engine_and_storage_is_built_again(tmp_path: Path, engine, docker_host, words: Words):
    work = OwnStorage(tmp_path / "own")
    (work.checkout / "components").mkdir(parents=True)
    (work.checkout / "components/images.yaml").write_text("busybox:\n  image: 127.0.0.1:9/library/busybox:1.37.0\n")
    played = PlayedRegistry(work.checkout, engine)
    try:
        first = ensure_images(work, words.progress, docker_host, ["busybox"], None)
        played.forget()
        shutil.rmtree(work.cache / "registry")
        assert ensure_images(work, words.progress, docker_host, ["busybox"], None) == first
        assert str(words).count("✓ Image kit: busybox") == 2
    finally:
        played.stop()
        played.forget()


def test_the_demo_image_is_named_by_its_content(checkout: Make, engine: docker.DockerClient, docker_host, words: Words):
    work = checkout()
    shutil.copytree(SOURCE / "demo", work.checkout / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    first = ensure_images(work, words.progress, docker_host, ["demo"], None)
    assert list(first) == ["demo"], "what it is built on is nobody's who did not ask for it"
    assert ensure_images(work, words.progress, docker_host, ["demo"], None) == first
    assert str(words).count("Image demo: built") <= 1
    code = "import demo.backend, psycopg; print(psycopg.pq.__impl__)"
    said = engine.containers.run(first["demo"], ["-c", code], entrypoint=["python"], remove=True, **HARDENED)
    assert said == b"binary\n"
    (work.checkout / "demo" / "added.py").write_text(f"# {time.time()}\n")
    second = ensure_images(work, words.progress, docker_host, ["demo"], None)
    assert second != first
    engine.images.remove(second["demo"], force=True)


def test_a_demo_that_does_not_build_is_told_in_one_line(checkout: Make, docker_host, words: Words):
    work = checkout()
    shutil.copytree(SOURCE / "demo", work.checkout / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    with (work.checkout / "demo" / "Dockerfile").open("a") as file:
        file.write('RUN ["python", "-c", "raise SystemExit(3)"]\n')
    with pytest.raises(SetupError) as raised:
        ensure_images(work, words.progress, docker_host, ["demo"], None)
    assert "The image demo cannot be built" in str(raised.value)
    assert "3" in str(raised.value)
    assert "\n" not in str(raised.value)

"""Where images come from: the engine, the official registry, the mirror, the image kit, in this order."""

import shutil
import time
from collections.abc import Callable

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from settings.workload import Build
from tests.images.helpers import OwnStorage, PlayedRegistry
from tests.support.checkout import SOURCE
from tests.support.containers import HARDENED
from tests.support.progress import Words
from toolchain.images import Images

NOWHERE = "127.0.0.1:9"  # a registry that refuses connections: nothing listens on the discard port

DIGEST = "sha256:" + "0a" * 32


@pytest.fixture
def resolve(docker_host: str, words: Words) -> Callable[..., dict[str, str]]:
    """Say where the images of a checkout come from."""

    def ensure(work: WorkDir, names: list[str], mirror: str | None = None, **builds: Build) -> dict[str, str]:
        return Images(work, words.progress, docker_host, mirror).ensure(names, builds)

    return ensure


def kit_table(official: str = NOWHERE) -> dict[str, dict[str, str]]:
    """A table whose busybox only the kit can give."""
    return {"busybox": {"image": f"{official}/library/busybox:1.37.0", "digest": DIGEST}}


def test_images_come_from_their_official_registry_which_a_second_run_does_not_ask(
    checkout, played, engine, words, resolve
):
    table = {
        name: {"image": f"{played.host}/team/{name}:v1", "digest": played.offer(f"team/{name}", "v1")}
        for name in ("a", "b", "c")
    }
    work = checkout(table)
    assert resolve(work, list(table)) == {}
    for name, image in table.items():
        reference = f"{image['image']}@{image['digest']}"
        assert f"Image {name}: pulled {reference}" in words
        assert engine.images.get(reference.replace(":v1", ""))
    played.stop()
    said = str(words)
    assert resolve(work, list(table)) == {}
    assert str(words) == said


def test_a_full_reference_needs_no_table_and_is_pinned_by_what_its_tag_means(checkout, played, engine, resolve):
    digest = played.offer("team/own", "v7")
    name = f"{played.host}/team/own:v7"
    assert resolve(checkout(), [name]) == {name: f"{name}@{digest}"}
    assert engine.images.get(f"{played.host}/team/own@{digest}")


def test_a_tag_that_has_moved_is_another_image_and_one_that_has_not_is_not_pulled_again(
    checkout, played, docker_host, words, resolve
):
    name, work = f"{played.host}/team/own:v7", checkout()
    first = played.offer("team/own", "v7", "before")
    resolve(work, [name])
    assert resolve(work, [name]) == {name: f"{name}@{first}"}
    assert str(words).count("pulled") == 1
    second = played.offer("team/own", "v7", "after")
    assert resolve(work, [name]) == {name: f"{name}@{second}"}
    assert str(words).count("pulled") == 2
    Images(work, words.progress, docker_host).ensure_references([f"{name}@{first}"])
    assert str(words).count("pulled") == 2, "what ran before is there for a rollback"


def test_where_its_registry_is_out_of_reach_the_image_that_the_engine_has_serves(checkout, played, words, resolve):
    digest = played.offer("team/own", "v7")
    name = f"{played.host}/team/own:v7"
    resolve(checkout(), [name])
    played.stop()
    said = str(words)
    assert resolve(checkout(), [name]) == {name: f"{name}@{digest}"}
    (line,) = [line for line in str(words).removeprefix(said).splitlines() if line.strip()]
    assert f"{played.host} cannot be reached" in line
    assert f"using the {name} that the engine has" in line


def test_what_was_built_here_and_is_at_no_registry_stays_a_tag_and_nobody_is_asked(
    checkout, played, engine, words, resolve
):
    played.offer("team/own", "v7")
    name = f"{played.host}/team/own:v7"
    resolve(checkout(), [name])
    engine.images.get(name).tag("dockyard/test-resolution", "1")
    try:
        said = str(words)
        assert resolve(checkout(), ["dockyard/test-resolution:1"]) == {}
        assert str(words) == said
    finally:
        engine.images.remove("dockyard/test-resolution:1")


def test_a_full_reference_that_nobody_has_is_told_with_its_registry_and_what_to_do(checkout, played, resolve):
    for name, why in (
        (f"{NOWHERE}/team/none:v1", f"{NOWHERE} cannot be reached: "),
        (f"{played.host}/team/none:v1", "the registry does not have it"),
    ):
        with pytest.raises(SetupError) as raised:
            resolve(checkout(), [name])
        told = str(raised.value)
        assert f"The image {name} is not available" in told
        assert why in told
        assert f"docker login {name.partition('/')[0]}" in told
        assert "docker.mirror" in told
        assert "\n" not in told


def test_a_full_reference_comes_from_the_mirror_where_its_own_registry_is_out_of_reach(checkout, played, resolve):
    digest = played.offer("mirrors/team/own", "v7")
    mirror = f"{played.host}/mirrors"
    found = resolve(checkout(), [f"{NOWHERE}/team/own:v7"], mirror)
    assert found == {f"{NOWHERE}/team/own:v7": f"{mirror}/team/own:v7@{digest}"}


def test_the_images_of_an_earlier_release_are_pulled_again_exactly(checkout, played, engine, docker_host, words):
    reference = f"{played.host}/team/app:v1@{played.offer('team/app', 'v1', 'then')}"
    played.offer("team/app", "v1", "now")
    Images(checkout(), words.progress, docker_host).ensure_references([reference])
    assert engine.images.get(reference)


def test_an_image_of_an_earlier_release_that_is_gone_is_told(checkout, played, docker_host, words):
    for reference, told in (
        ("dockyard/test-gone:0123456789abcdef", "was built here and is no longer in the engine"),
        (f"{played.host}/team/app:v1@{DIGEST}", "is not available: the registry does not have it"),
    ):
        with pytest.raises(SetupError, match=told) as raised:
            Images(checkout(), words.progress, docker_host).ensure_references([reference])
        assert reference in str(raised.value)


def test_a_registry_out_of_reach_is_told_once_and_the_mirror_serves(checkout, played, words, resolve):
    digest = played.offer("mirrors/team/a", "v1")
    played.offer("mirrors/team/b", "v1")
    work = checkout({"a": {"image": f"{NOWHERE}/team/a:v1", "digest": digest}, "b": {"image": f"{NOWHERE}/team/b:v1"}})
    mirror = f"{played.host}/mirrors"
    found = resolve(work, ["a", "b"], mirror)
    assert set(found) == {"b"}, "a is what table and mirror say by themselves"
    assert found["b"].startswith(f"{mirror}/team/b:v1@sha256:")
    assert str(words).count(f"{NOWHERE} cannot be reached") == 1
    said = str(words)
    assert resolve(work, ["a", "b"], mirror) == found
    assert str(words) == said


def test_an_image_that_the_official_registry_lacks_comes_from_the_mirror(
    checkout, played, tmp_path, engine, words, resolve
):
    official = PlayedRegistry(tmp_path / "official", engine)
    try:
        digest = played.offer("team/app", "v1")
        work = checkout({"app": {"image": f"{official.host}/team/app:v1", "digest": digest}})
        assert resolve(work, ["app"], played.host) == {}
        assert f"{official.host}/team/app:v1@{digest} cannot be pulled: the registry does not have it" in words
    finally:
        official.stop()


def test_a_mirror_of_other_builds_is_pinned_by_what_it_gives(checkout, played, words, resolve):
    given = played.offer("team/app", "v1")
    work = checkout({"app": {"image": f"{NOWHERE}/team/app:v1", "digest": DIGEST}})
    found = resolve(work, ["app"], played.host)
    assert found == {"app": f"{played.host}/team/app:v1@{given}"}
    assert f"{played.host}/team/app:v1@{DIGEST} cannot be pulled: the registry does not have it" in words


def test_an_image_that_nobody_has_is_told_with_all_that_was_tried(checkout, played, resolve):
    work = checkout({"app": {"image": f"{NOWHERE}/team/app:v1"}})
    with pytest.raises(SetupError) as raised:
        resolve(work, ["app"], played.host)
    told = str(raised.value)
    assert "The image app is not available" in told
    assert f"{NOWHERE} cannot be reached" in told
    assert f"{played.host}/team/app:v1: the registry does not have it" in told
    assert "the image kit has no recipe" in told
    assert "docker.mirror" in told
    assert "\n" not in told


def test_an_engine_that_does_not_answer_is_told(checkout, tmp_path, words):
    with pytest.raises(SetupError, match="does not answer"):
        Images(checkout(), words.progress, f"unix://{tmp_path}/none.sock")


def test_the_kit_builds_what_no_registry_gives_and_that_once_for_all_checkouts(checkout, engine, words, resolve):
    work = checkout(kit_table())
    found = resolve(work, ["busybox"])
    reference = found["busybox"]
    assert reference.startswith("127.0.0.1:")
    assert "/library/busybox:1.37.0@sha256:" in reference
    assert engine.containers.run(reference, ["echo", "it runs"], remove=True, **HARDENED) == b"it runs\n"
    said = str(words)
    assert resolve(work, ["busybox"]) == found
    assert str(words) == said
    other = resolve(checkout(kit_table()), ["busybox"])
    assert other["busybox"].partition("@")[2] == reference.partition("@")[2]
    assert other != found, "each checkout has a registry of its own"
    assert "Image kit" not in str(words).removeprefix(said)


def test_a_kit_image_lost_from_engine_and_storage_is_built_again(tmp_path, engine, words, resolve):
    work = OwnStorage(tmp_path / "own")
    (work.checkout / "components").mkdir(parents=True)
    (work.checkout / "components/images.yaml").write_text("busybox:\n  image: 127.0.0.1:9/library/busybox:1.37.0\n")
    played = PlayedRegistry(work.checkout, engine)
    try:
        first = resolve(work, ["busybox"])
        played.forget()
        shutil.rmtree(work.cache / "registry")
        assert resolve(work, ["busybox"]) == first
        assert str(words).count("✓ Image kit: busybox") == 2
    finally:
        played.stop()
        played.forget()


def test_the_demo_image_is_named_by_its_content(checkout, engine, words, resolve):
    work = checkout()
    shutil.copytree(SOURCE / "demo", work.checkout / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    first = resolve(work, ["demo"])
    assert list(first) == ["demo"], "what it is built on is nobody's who did not ask for it"
    assert resolve(work, ["demo"]) == first
    assert str(words).count("Image demo: built") <= 1
    (work.checkout / "demo" / "added.py").write_text(f"# {time.time()}\n")
    second = resolve(work, ["demo"])
    assert second != first
    engine.images.remove(second["demo"], force=True)


def test_what_a_product_builds_stands_on_images_of_the_table(checkout, engine, words, resolve):
    work = checkout(kit_table())
    (work.checkout / "app").mkdir()
    (work.checkout / "app" / "content").write_text("it is built\n")
    dockerfile = "ARG BUSYBOX\nFROM ${BUSYBOX}\nCOPY content /content\n"
    (work.checkout / "app" / "Dockerfile").write_text(dockerfile)
    builds = {"shop-web": Build(dockerfile="Dockerfile", context="app")}
    found = resolve(work, ["shop-web"], **builds)
    assert list(found) == ["shop-web"], "what it stands on is nobody's who did not ask for it"
    tag = found["shop-web"]
    try:
        assert tag.startswith("dockyard/shop-web:")
        assert engine.containers.run(tag, ["cat", "/content"], remove=True, **HARDENED) == b"it is built\n"
        assert resolve(work, ["shop-web"], **builds) == found
        assert str(words).count("Image shop-web: built") == 1
    finally:
        engine.images.remove(tag, force=True)

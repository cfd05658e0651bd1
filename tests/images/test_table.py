"""The table of images: what it says, and what is told when it is wrong."""

from pathlib import Path

import pytest

from offline.kit.recipes import RECIPES
from settings.images import Image, load_images
from settings.problems import SettingsError
from tests.support.checkout import SOURCE
from toolchain.images import SUBSTITUTES

SHIPPED = load_images(SOURCE / "components" / "images.yaml")
DIGEST = "sha256:" + "0a" * 32


def test_every_official_image_that_we_ship_is_pinned_by_its_digest():
    unpinned = [name for name, image in SHIPPED.images.items() if image.image and not image.digest]
    # Until an update bot, or somebody who reaches their registry, has asked what the tags mean.
    assert unpinned == ["victorialogs", "vmalert"]


def test_the_kit_can_build_or_stand_in_for_every_official_image():
    unknown = [name for name in SHIPPED.names if not SHIPPED.images[name].build and name not in RECIPES]
    assert unknown == [*SUBSTITUTES]
    assert all(image in RECIPES for _, images in SUBSTITUTES.values() for image in images)


def test_the_kit_builds_no_program_of_a_licence_that_it_must_not():
    modules = [path.read_text() for path in (SOURCE / "offline").rglob("go.mod")]
    assert modules
    assert not [text for text in modules if "github.com/grafana/loki" in text]


def test_no_recipe_is_for_an_image_that_nobody_knows():
    assert [name for name in RECIPES if name not in SHIPPED.images] == []


def test_a_reference_carries_the_digest_where_it_is_known():
    assert Image(image="docker.io/prom/prometheus:v3.5.3").reference == "docker.io/prom/prometheus:v3.5.3"
    assert Image(image="quay.io/a/b:1", digest=DIGEST).reference == f"quay.io/a/b:1@{DIGEST}"


def test_a_reference_falls_into_registry_path_and_tag():
    image = Image(image="127.0.0.1:5000/team/app:1.2-bookworm")
    assert (image.registry, image.path, image.tag) == ("127.0.0.1:5000", "team/app", "1.2-bookworm")


def test_everything_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path):
    file = tmp_path / "images.yaml"
    file.write_text(
        "a:\n  image: prometheus\n"
        "b:\n  image: docker.io/prom/prometheus:v1\n  digest: sha256:123\n"
        "c:\n  image: docker.io/prom/prometheus:v1\n  digset: x\n"
        "d:\n  image: docker.io/prom/prometheus:v1\n  build: demo\n"
    )
    with pytest.raises(SettingsError) as raised:
        load_images(file)
    told = str(raised.value)
    assert "4 problems" in told
    assert 'images.yaml:2: a.image: found "prometheus", expected text that matches' in told
    assert 'images.yaml:5: b.digest: found "sha256:123"' in told
    assert "images.yaml:8: c.digset: found an unknown key" in told
    assert "images.yaml:9: d: " in told
    assert "exactly one of image and build" in told

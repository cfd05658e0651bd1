"""Debian's packages, fetched without touching the machine's own apt."""

from pathlib import Path

import pytest

from machine.progress import SetupError
from offline import debian
from offline.debian import Suite
from tests.images.helpers import OwnStorage


@pytest.fixture
def own_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt of the machine's that has never fetched a list."""
    lists = tmp_path / "system-lists"
    (lists / "partial").mkdir(parents=True)
    config = tmp_path / "apt.conf"
    config.write_text(f'Dir::State::lists "{lists}";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))
    return lists


def test_the_archive_is_found_on_a_machine_that_never_updated_its_lists(own_apt: Path, tmp_path: Path):
    address = debian._archive(tmp_path / "lists")
    assert address.startswith("http")
    assert list(own_apt.iterdir()) == [own_apt / "partial"], "the machine's own lists stay as they were"


def test_a_package_that_does_not_exist_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(SetupError, match="Unable to locate package no-such-package-at-all"):
        Suite(OwnStorage(tmp_path), "trixie").fetch(["no-such-package-at-all"])


def test_a_machine_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"no apt.*docker\.mirror"):
        debian._archive(tmp_path / "lists")

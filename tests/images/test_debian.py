"""Debian's packages, fetched without touching the machine's own apt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.helpers import OwnStorage
from toolchain.kit import debian
from toolchain.kit.debian import Suite, run
from toolchain.kit.hostprograms import host_program
from toolchain.progress import SetupError


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


def test_packages_come_with_what_they_need_and_without_what_is_left_out(tmp_path: Path):
    packages = Suite(OwnStorage(tmp_path), "trixie").fetch(["redis-server"], without=["adduser", "libsystemd0"])
    names = {package.name for package in packages}
    assert {"redis-server", "redis-tools", "libc6", "libssl3t64"} <= names
    assert not {"adduser", "libsystemd0"} & names
    assert all(package.deb.is_file() for package in packages)


def test_a_package_that_does_not_exist_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(SetupError, match="Unable to locate package no-such-package-at-all"):
        Suite(OwnStorage(tmp_path), "trixie").fetch(["no-such-package-at-all"])


def test_a_machine_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"no apt.*docker\.mirror"):
        debian._archive(tmp_path / "lists")


def test_a_program_runs_with_the_c_library_it_was_built_for(tmp_path: Path):
    promtool = host_program(OwnStorage(tmp_path), "sid", "promtool", "promtool")
    assert run([str(promtool), "--version"], "promtool").startswith("promtool, version ")
    assert "ld-linux" in promtool.read_text()

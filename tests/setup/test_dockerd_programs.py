"""Which programs a private Docker engine runs: the newest that work here, until somebody asks for newer ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from machine.progress import SetupError
from tests.setup.helpers import write_program
from toolchain import dockerd_programs
from toolchain.dockerd_programs import find_programs


def unpacks(version: str) -> Callable[..., tuple[str, Path]]:
    """Return what stands in for a download: it unpacks an engine of this version."""

    def unpack(folder: Path, *_: object) -> tuple[str, Path]:
        (folder / "tree/usr/sbin").mkdir(parents=True)
        return f"docker.io_{version}-containerd_2", folder / "tree"

    return unpack


def is_too_new(folder: Path, *_: object) -> tuple[str, Path]:
    write_program(folder / "usr/sbin/dockerd", "#!/bin/sh\necho 'version GLIBC_9 not found' >&2; exit 1\n")
    dockerd_programs._probe(folder)
    raise AssertionError("a program that does not run passed the probe")


@pytest.fixture(autouse=True)
def unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKYARD_ENGINE_PROGRAMS", "unpacked")
    monkeypatch.setattr(dockerd_programs, "is_debian", lambda: True)
    monkeypatch.setattr(dockerd_programs, "_unpack_release", unpacks("20.10.24"))
    monkeypatch.setattr(dockerd_programs, "_unpack_newest", unpacks("28.5.2"))


def test_an_engine_that_does_not_run_here_gives_way_to_the_releases_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerd_programs, "_unpack_newest", is_too_new)
    said: list[str] = []
    assert find_programs(tmp_path, said.append).origin == "20.10.24, unpacked from Debian's packages"
    (line,) = said
    assert "dockerd does not run on this machine (version GLIBC_9 not found)" in line
    assert line.endswith("using the Docker engine of this machine's own release instead")


def test_a_newer_engine_is_taken_only_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_programs(tmp_path, lambda _: None)
    monkeypatch.setattr(dockerd_programs, "_unpack_newest", unpacks("29.1.0"))
    assert find_programs(tmp_path, lambda _: None) == first
    monkeypatch.setenv("DOCKYARD_ENGINE_PROGRAMS", "newest")
    newer = find_programs(tmp_path, lambda _: None)
    assert newer.origin == "29.1.0, unpacked from Debian's packages"
    monkeypatch.setenv("DOCKYARD_ENGINE_PROGRAMS", "unpacked")
    assert find_programs(tmp_path, lambda _: None) == newer
    assert first.folders[1].is_dir(), "engines that run keep their programs"


def test_elsewhere_than_on_debian_the_missing_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerd_programs, "NEEDED", ("dockerd-of-nowhere",))
    monkeypatch.setattr(dockerd_programs, "is_debian", lambda: False)
    with pytest.raises(SetupError, match="needs dockerd-of-nowhere, and this is not Debian"):
        find_programs(tmp_path, lambda _: None)

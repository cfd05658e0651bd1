"""Where the Pulumi CLI comes from: PATH, the official download, a build; never a broken or unverified file."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.setup.helpers import DownloadSite, Words, archive, write_program
from toolchain import downloads
from toolchain.downloads import check_reach
from toolchain.environment import environment
from toolchain.platforms import processor, system
from toolchain.progress import SetupError
from toolchain.pulumi_cli import GO_MODULES, PROGRAMS, ensure_pulumi, pinned_version
from toolchain.workdir import WorkDir

VERSION = pinned_version()
NAME = f"pulumi-v{VERSION}-{system()}-{'x64' if processor() == 'amd64' else processor()}"
SDK = f"/releases/sdk/{NAME}.tar.gz"
LISTING = f"/pulumi/pulumi/releases/download/v{VERSION}/pulumi-{VERSION}-checksums.txt"


def says(text: str) -> str:
    return f"#!/bin/sh\necho {text}\n"


class FakeBuilder:
    """Writes scripts in place of the three-minute build, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    def __call__(self, work: WorkDir, names: set[str], target: Path, say: Callable[[str], None]) -> None:
        self.asked.append(set(names))
        for name in names:
            write_program(target / name, says(f"built {name}"))


@pytest.fixture
def builder() -> FakeBuilder:
    return FakeBuilder()


@pytest.fixture
def offered(site: DownloadSite) -> DownloadSite:
    """The official archive, as it is laid out, with its checksum."""
    programs = {f"pulumi/{name}": says(f"official {name}") for name in PROGRAMS}
    site.offer(SDK, archive(programs), LISTING)
    return site


def run(work: WorkDir, name: str) -> str:
    """Run a program as a person does who has taken over `./dockyard env`."""
    env = {**os.environ, **environment(work)}
    return subprocess.run([name, "version"], env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_the_official_download_is_preferred_to_a_build(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder
) -> None:
    ensure_pulumi(work, words.progress, build=builder)
    assert [run(work, name) for name in PROGRAMS] == [f"official {name}" for name in PROGRAMS]
    assert builder.asked == []
    assert f"{VERSION}, official download" in words


def test_a_second_checkout_takes_the_download_from_the_cache(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder, tmp_path: Path
) -> None:
    ensure_pulumi(work, words.progress, build=builder)
    other = WorkDir(tmp_path / "other")
    ensure_pulumi(other, words.progress, build=builder)
    assert run(other, "pulumi") == "official pulumi"
    assert offered.archives_asked() == [SDK]


def test_nothing_is_asked_of_the_network_when_the_programs_are_there(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder
) -> None:
    ensure_pulumi(work, words.progress, build=builder)
    asked = list(offered.asked)
    ensure_pulumi(work, words.progress, build=builder)
    assert offered.asked == asked


def test_a_wrong_checksum_is_refused_with_a_clear_word(
    work: WorkDir, words: Words, site: DownloadSite, builder: FakeBuilder
) -> None:
    site.offer(SDK, archive({"pulumi/pulumi": says("tampered")}), LISTING, checksum="a" * 64)
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert "sent a file whose checksum is wrong: building the engine from its Go modules instead" in words
    assert not (work.cache / NAME).exists()


def test_a_file_without_a_listed_checksum_is_not_used(
    work: WorkDir, words: Words, site: DownloadSite, builder: FakeBuilder
) -> None:
    site.offer(SDK, archive({"pulumi/pulumi": says("unlisted")}), LISTING)
    site.files[LISTING] = b"nothing of use\n"
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert "lists no checksum" in words
    assert site.archives_asked() == []


@pytest.mark.parametrize("path", [SDK, LISTING])
@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusing_site_falls_back_to_the_build_and_says_what_it_answered(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder, path: str, status: int
) -> None:
    offered.trouble[path] = status
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert f"answered {status}: building the engine from its Go modules instead (about 3 minutes)" in words
    assert offered.asked.count(path) == (2 if status == 503 else 1), "only a server in trouble is asked twice"


def test_a_broken_off_download_is_tried_twice_and_never_used(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder
) -> None:
    offered.trouble[SDK] = "break"
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert "broke off after" in words
    assert offered.archives_asked() == [SDK, SDK]
    assert [entry.name for entry in work.cache.iterdir() if entry.name.startswith((NAME, ".new"))] == []


def test_a_hanging_site_is_given_up_with_a_clear_word(
    work: WorkDir, words: Words, offered: DownloadSite, builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    offered.trouble[SDK] = "hang"
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert "sent nothing for 0.3 s: building the engine" in words


def test_a_network_that_swallows_everything_costs_one_short_wait_for_all_sites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.4)
    with contextlib.ExitStack() as opened:
        # Servers whose queue is full: the kernel drops every further greeting, as such a network does.
        sites = []
        for _ in range(2):
            server = opened.enter_context(socket.socket())
            server.bind(("127.0.0.1", 0))
            server.listen(0)
            for _ in range(3):
                waiting = opened.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(server.getsockname())
            sites.append(f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(downloads.UnavailableError, match=re.escape("127.0.0.1")):
                check_reach(sites)
        # Fifty calls that each waited would take 20 s at least.
        assert time.monotonic() - began < 10


def test_a_closed_port_is_told_at_once(
    work: WorkDir, words: Words, builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKYARD_PULUMI_DOWNLOADS", "http://127.0.0.1:9")
    monkeypatch.setenv("DOCKYARD_GITHUB_DOWNLOADS", "http://127.0.0.1:9")
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    assert "127.0.0.1:9 is out of reach" in words


def test_what_one_checkout_built_another_takes_without_asking_the_network(
    work: WorkDir, words: Words, site: DownloadSite, builder: FakeBuilder, tmp_path: Path
) -> None:
    ensure_pulumi(work, words.progress, build=builder)
    asked = list(site.asked)
    other = WorkDir(tmp_path / "other")
    ensure_pulumi(other, words.progress, build=builder)
    assert run(other, "pulumi") == "built pulumi"
    assert builder.asked == [set(PROGRAMS)]
    assert site.asked == asked


def test_a_refresh_takes_the_official_download_in_place_of_what_was_built(
    work: WorkDir, words: Words, site: DownloadSite, builder: FakeBuilder
) -> None:
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    site.offer(SDK, archive({f"pulumi/{name}": says(f"official {name}") for name in PROGRAMS}), LISTING)
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "built pulumi"
    ensure_pulumi(work, words.progress, refresh=True, build=builder)
    assert run(work, "pulumi") == "official pulumi"


def install_on_path(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    for name in names:
        write_program(folder / name, says(version if name == "pulumi" else f"installed {name}"))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_recent_pulumi_on_path_is_used_as_it_is(
    work: WorkDir,
    words: Words,
    offered: DownloadSite,
    builder: FakeBuilder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_on_path(tmp_path / "own", "v3.240.1", monkeypatch, PROGRAMS)
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "v3.240.1"
    assert run(work, "pulumi-language-python") == "installed pulumi-language-python"
    assert "3.240.1 from PATH" in words
    assert offered.asked == []


def test_a_pulumi_on_path_that_is_too_old_is_left_aside(
    work: WorkDir,
    words: Words,
    offered: DownloadSite,
    builder: FakeBuilder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_on_path(tmp_path / "own", "v3.119.0", monkeypatch, PROGRAMS)
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "official pulumi"
    assert "is v3.119.0, older than 3.200: not used" in words


def test_a_pulumi_on_path_without_its_python_host_gets_what_it_lacks_and_no_more(
    work: WorkDir,
    words: Words,
    site: DownloadSite,
    builder: FakeBuilder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_on_path(tmp_path / "own", "v3.240.1", monkeypatch, ("pulumi", "pulumi-language-python-exec"))
    ensure_pulumi(work, words.progress, build=builder)
    assert builder.asked == [{"pulumi-language-python", "pulumi-resource-pulumi-python"}]
    assert run(work, "pulumi") == "v3.240.1"
    assert run(work, "pulumi-language-python-exec") == "installed pulumi-language-python-exec"
    assert run(work, "pulumi-language-python") == "built pulumi-language-python"
    homes = {(work.bin / name).resolve().parent for name in PROGRAMS[1:]}
    assert len(homes) == 1, "the engine warns of a language host that does not lie beside it"


def test_a_pulumi_that_has_gone_since_is_replaced(
    work: WorkDir,
    words: Words,
    offered: DownloadSite,
    builder: FakeBuilder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_on_path(tmp_path / "own", "v3.240.1", monkeypatch, PROGRAMS)
    ensure_pulumi(work, words.progress, build=builder)
    (tmp_path / "own/pulumi").unlink()
    ensure_pulumi(work, words.progress, build=builder)
    assert run(work, "pulumi") == "official pulumi"


def test_elsewhere_than_on_linux_there_is_no_build_but_a_clear_line(
    work: WorkDir, words: Words, site: DownloadSite, builder: FakeBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(SetupError, match=r"pulumi cannot be downloaded: .* answered 404\. install pulumi"):
        ensure_pulumi(work, words.progress, build=builder)
    assert builder.asked == []


def test_the_go_module_has_the_version_of_the_pinned_python_package() -> None:
    pinned = re.findall(r"github.com/pulumi/pulumi/(?:pkg|sdk)/v3 v(\S+)", (GO_MODULES / "pulumi/go.mod").read_text())
    assert set(pinned) == {VERSION}

"""Where the Pulumi CLI comes from: PATH, the official download, a build; never a broken or unverified file."""

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from offline.pulumi_build import GO_MODULES
from tests.setup.helpers import DownloadSite, archive, write_program
from tests.support.progress import Words
from toolchain import downloads
from toolchain.downloads import check_reach, processor, system
from toolchain.environment import environment
from toolchain.pulumi_cli import PROGRAMS, ensure_pulumi, pinned_version

VERSION = pinned_version()
NAME = f"pulumi-v{VERSION}-{system()}-{'x64' if processor() == 'amd64' else processor()}"
SDK = f"/releases/sdk/{NAME}.tar.gz"
LISTING = f"/pulumi/pulumi/releases/download/v{VERSION}/pulumi-{VERSION}-checksums.txt"


def says(text: str) -> str:
    return f"#!/bin/sh\necho {text}\n"


@dataclass
class Cli:
    """The Pulumi CLI of a checkout, with scripts in place of the three-minute build."""

    work: WorkDir
    words: Words
    built: list[set[str]] = field(default_factory=list)  # what each build was asked for

    def ensure(self, work: WorkDir | None = None, *, refresh: bool = False) -> None:
        ensure_pulumi(work or self.work, self.words.progress, refresh=refresh, build=self._build)

    def _build(self, work: WorkDir, names: set[str], target: Path, say: Callable[[str], None]) -> None:
        self.built.append(set(names))
        for name in names:
            write_program(target / name, says(f"built {name}"))

    def run(self, name: str = "pulumi", work: WorkDir | None = None) -> str:
        """Run a program as a person does who has taken over `./dockyard env`."""
        env = {**os.environ, **environment(work or self.work)}
        done = subprocess.run([name, "version"], env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture
def cli(work: WorkDir, words: Words) -> Cli:
    return Cli(work, words)


def offer_official(site: DownloadSite) -> None:
    """Offer the official archive, as it is laid out, with its checksum."""
    site.offer(SDK, archive({f"pulumi/{name}": says(f"official {name}") for name in PROGRAMS}), LISTING)


@pytest.fixture
def offered(site: DownloadSite) -> DownloadSite:
    offer_official(site)
    return site


def test_the_official_download_is_preferred_to_a_build(cli: Cli, offered: DownloadSite) -> None:
    cli.ensure()
    assert [cli.run(name) for name in PROGRAMS] == [f"official {name}" for name in PROGRAMS]
    assert cli.built == []
    assert f"{VERSION}, official download" in cli.words


def test_a_second_checkout_takes_the_download_from_the_cache(cli: Cli, offered: DownloadSite, tmp_path: Path) -> None:
    cli.ensure()
    asked = list(offered.asked)
    cli.ensure()
    assert offered.asked == asked, "nothing is asked of the network when the programs are there"
    other = WorkDir(tmp_path / "other")
    cli.ensure(other)
    assert cli.run(work=other) == "official pulumi"
    assert offered.archives_asked() == [SDK]


def tamper(site: DownloadSite) -> None:
    site.offer(SDK, archive({"pulumi/pulumi": says("tampered")}), LISTING, checksum="a" * 64)


def unlist(site: DownloadSite) -> None:
    site.files[LISTING] = b"nothing of use\n"


def close(_site: DownloadSite) -> None:
    # The fixture `site` has set them, and takes them back.
    for name in ("DOCKYARD_PULUMI_DOWNLOADS", "DOCKYARD_GITHUB_DOWNLOADS"):
        os.environ[name] = "http://127.0.0.1:9"


def answers(path: str, trouble: int | str) -> Callable[[DownloadSite], None]:
    return lambda site: site.trouble.update({path: trouble})


@pytest.mark.parametrize(
    ("spoil", "said", "downloads_asked"),
    [
        (tamper, "sent a file whose checksum is wrong", 1),
        (unlist, "lists no checksum", 0),
        (answers(SDK, 403), "answered 403", 1),
        (answers(SDK, 404), "answered 404", 1),
        (answers(LISTING, 404), "answered 404", 0),
        # Only a server in trouble and a transfer that broke are asked twice.
        (answers(SDK, 503), "answered 503", 2),
        (answers(SDK, "break"), "closed the connection after", 2),
        (answers(SDK, "hang"), "sent nothing for 0.3 s", 1),
        (close, "127.0.0.1:9 cannot be reached", 0),
    ],
    ids=["tampered", "unlisted", "403", "404", "no list", "503", "broken off", "hanging", "closed port"],
)
def test_a_download_that_cannot_be_had_whole_gives_way_to_a_build(
    cli: Cli,
    offered: DownloadSite,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[DownloadSite], None],
    said: str,
    downloads_asked: int,
) -> None:
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    spoil(offered)
    cli.ensure()
    assert cli.run() == "built pulumi"
    assert said in cli.words
    assert ": building Pulumi from its Go modules instead (about 3 minutes)" in cli.words
    assert offered.archives_asked() == [SDK] * downloads_asked
    assert [entry.name for entry in cli.work.cache.iterdir() if entry.name.startswith((NAME, ".new"))] == []


def test_a_network_that_swallows_everything_costs_one_short_wait_for_all_sites(monkeypatch: pytest.MonkeyPatch) -> None:
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
        durations = []
        for _ in range(50):
            began = time.monotonic()
            with pytest.raises(downloads.UnavailableError, match=re.escape("127.0.0.1")):
                check_reach(sites)
            durations.append(time.monotonic() - began)
        # Only the first call waits: the answer is remembered for all sites.
        assert sorted(durations)[25] < durations[0] / 10


def test_what_was_built_is_taken_without_asking_the_network_until_a_refresh(
    cli: Cli, site: DownloadSite, tmp_path: Path
) -> None:
    cli.ensure()
    requests = list(site.asked)
    other = WorkDir(tmp_path / "other")
    offer_official(site)
    for work in (cli.work, other):
        cli.ensure(work)
        assert cli.run(work=work) == "built pulumi"
    assert cli.built == [set(PROGRAMS)]
    assert site.asked == requests
    cli.ensure(refresh=True)
    assert cli.run() == "official pulumi"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a Pulumi of the person's own on PATH; returns its folder."""

    def put_on_path(version: str, names: tuple[str, ...] = PROGRAMS) -> Path:
        for name in names:
            write_program(tmp_path / "own" / name, says(version if name == "pulumi" else f"installed {name}"))
        monkeypatch.setenv("PATH", f"{tmp_path / 'own'}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "own"

    return put_on_path


def test_a_recent_pulumi_on_path_is_used_as_it_is_until_it_is_gone(
    cli: Cli, offered: DownloadSite, install: Callable[..., Path]
) -> None:
    own = install("v3.240.1")
    cli.ensure()
    assert cli.run() == "v3.240.1"
    assert cli.run("pulumi-language-python") == "installed pulumi-language-python"
    assert "3.240.1 from PATH" in cli.words
    assert offered.asked == []
    (own / "pulumi").unlink()
    cli.ensure()
    assert cli.run() == "official pulumi"


def test_a_pulumi_on_path_that_is_too_old_is_left_aside(
    cli: Cli, offered: DownloadSite, install: Callable[..., Path]
) -> None:
    install("v3.119.0")
    cli.ensure()
    assert cli.run() == "official pulumi"
    assert "is v3.119.0, older than 3.200: not used" in cli.words


def test_a_pulumi_on_path_without_its_python_host_gets_what_it_lacks_and_no_more(
    cli: Cli, site: DownloadSite, install: Callable[..., Path]
) -> None:
    install("v3.240.1", ("pulumi", "pulumi-language-python-exec"))
    cli.ensure()
    assert cli.built == [{"pulumi-language-python", "pulumi-resource-pulumi-python"}]
    assert cli.run() == "v3.240.1"
    assert cli.run("pulumi-language-python-exec") == "installed pulumi-language-python-exec"
    assert cli.run("pulumi-language-python") == "built pulumi-language-python"
    homes = {(cli.work.bin / name).resolve().parent for name in PROGRAMS[1:]}
    assert len(homes) == 1, "the engine warns of a language host that does not lie beside it"


def test_elsewhere_than_on_linux_there_is_no_build_but_a_clear_line(
    cli: Cli, site: DownloadSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(SetupError, match=r"pulumi cannot be downloaded: .* answered 404\. install pulumi"):
        cli.ensure()
    assert cli.built == []


def test_the_go_module_has_the_version_of_the_pinned_python_package() -> None:
    pinned = re.findall(r"github.com/pulumi/pulumi/(?:pkg|sdk)/v3 v(\S+)", (GO_MODULES / "pulumi/go.mod").read_text())
    assert set(pinned) == {VERSION}

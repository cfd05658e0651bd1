"""Where the resource plugins come from: the official ones wherever they can be had, else the stand-ins."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from tests.setup.helpers import DownloadSite, archive, write_program
from tests.support.progress import Words
from toolchain.plugins import NAMES, Plugin, ensure_plugins, is_standin

OFFICIAL = "\x7fELF official\n"
DOCKER, CLOUDFLARE = (Plugin(name) for name in NAMES)


def paths(plugin: Plugin) -> tuple[str, str]:
    """Return where the download sites have a plugin, and its list of checksums."""
    release = f"/pulumi/pulumi-{plugin.name}/releases/download/v{plugin.version}"
    return (f"/releases/plugins/{plugin.archive}", f"{release}/pulumi-{plugin.name}_{plugin.version}_checksums.txt")


@dataclass
class Plugins:
    """The plugins of a checkout, and the sites that offer the official ones."""

    work: WorkDir
    words: Words
    site: DownloadSite

    def offer(self, *plugins: Plugin) -> None:
        for plugin in plugins:
            packed = archive({plugin.program: OFFICIAL, "LICENSE": "…"})
            self.site.offer(paths(plugin)[0], packed, paths(plugin)[1])

    def ensure(self, refresh: bool = False) -> None:
        ensure_plugins(self.work, self.words.progress, refresh=refresh)

    def program(self, plugin: Plugin) -> Path:
        return self.work.pulumi_home / "plugins" / plugin.folder / plugin.program

    @property
    def standins(self) -> list[Plugin]:
        return [plugin for plugin in (DOCKER, CLOUDFLARE) if is_standin(self.program(plugin))]


@pytest.fixture
def plugins(work: WorkDir, words: Words, site: DownloadSite) -> Plugins:
    return Plugins(work, words, site)


def test_official_plugins_are_downloaded_to_where_the_engine_looks(plugins: Plugins) -> None:
    plugins.offer(DOCKER, CLOUDFLARE)
    plugins.ensure()
    assert plugins.program(DOCKER).read_text() == plugins.program(CLOUDFLARE).read_text() == OFFICIAL
    assert "docker 5.2.0 (official), cloudflare 6.23.1 (official)" in plugins.words


def test_the_sha1_lists_that_plugin_releases_carry_are_verified_too(plugins: Plugins) -> None:
    plugins.offer(DOCKER)
    path, listing = paths(DOCKER)
    files = plugins.site.files
    files[listing] = f"{hashlib.sha1(files[path]).hexdigest()}  ./{DOCKER.archive}\n".encode()  # noqa: S324 - upstream lists SHA-1
    plugins.ensure()
    assert DOCKER not in plugins.standins
    files[path] += b"more"
    (plugins.work.cache / DOCKER.archive.removesuffix(".tar.gz")).rename(plugins.work.cache / "away")
    other = Plugins(WorkDir(plugins.work.checkout.parent / "other"), plugins.words, plugins.site)
    other.ensure()
    assert DOCKER in other.standins
    assert "checksum is wrong" in other.words


def test_each_plugin_falls_back_to_its_stand_in_by_itself_with_a_clear_word(plugins: Plugins) -> None:
    plugins.offer(DOCKER, CLOUDFLARE)
    plugins.site.trouble[paths(CLOUDFLARE)[0]] = 403
    plugins.ensure()
    assert plugins.standins == [CLOUDFLARE]
    assert "answered 403: using our stand-in for the official cloudflare plugin" in plugins.words
    assert "docker 5.2.0 (official), cloudflare 6.23.1 (stand-in)" in plugins.words


def test_a_stand_in_stays_until_a_refresh_asks_for_the_official_plugin(plugins: Plugins) -> None:
    plugins.ensure()
    assert plugins.standins == [DOCKER, CLOUDFLARE]
    plugins.offer(DOCKER)
    requests = len(plugins.site.asked)
    plugins.program(DOCKER).write_text("#!/bin/sh\nexec python -m toolchain.standins.docker\n")  # an older version's
    plugins.ensure()
    assert plugins.standins == [DOCKER, CLOUDFLARE]
    assert "offline.standins.docker" in plugins.program(DOCKER).read_text()
    assert len(plugins.site.asked) == requests
    plugins.ensure(refresh=True)
    assert plugins.standins == [CLOUDFLARE]


def test_an_official_plugin_that_is_there_is_never_touched(plugins: Plugins) -> None:
    write_program(plugins.program(DOCKER), OFFICIAL + "mine")
    plugins.offer(DOCKER)
    plugins.ensure(refresh=True)
    assert plugins.program(DOCKER).read_text() == OFFICIAL + "mine"


def test_a_plugin_of_the_persons_own_pulumi_is_taken_over_unless_it_is_half_installed(
    plugins: Plugins, tmp_path: Path
) -> None:
    home = tmp_path / "home/.pulumi/plugins"
    for plugin in (DOCKER, CLOUDFLARE):
        write_program(home / plugin.folder / plugin.program, OFFICIAL + "home")
    (home / f"{CLOUDFLARE.folder}.partial").touch()
    plugins.ensure()
    assert plugins.standins == [CLOUDFLARE]
    assert plugins.program(DOCKER).read_text() == OFFICIAL + "home"
    assert not plugins.program(DOCKER).parent.is_symlink(), "the engine takes no symbolic link for a plugin"


def test_a_plugin_on_path_is_left_to_the_engine(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path / "own" / DOCKER.program, OFFICIAL)
    monkeypatch.setenv("PATH", f"{tmp_path / 'own'}:/usr/bin:/bin")
    plugins.ensure()
    assert not plugins.program(DOCKER).exists()
    assert "docker from PATH" in plugins.words


def test_forced_stand_ins_ask_nothing_of_the_network_and_replace_no_official_plugin(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.offer(DOCKER)
    monkeypatch.setenv("DOCKYARD_PLUGINS", "standin")
    plugins.ensure()
    assert plugins.standins == [DOCKER, CLOUDFLARE]
    assert plugins.site.asked == []
    plugins.program(DOCKER).write_text(OFFICIAL)
    with pytest.raises(SetupError, match="holds the official plugin"):
        plugins.ensure()
    assert plugins.program(DOCKER).read_text() == OFFICIAL


def test_where_official_plugins_are_demanded_a_shut_site_is_an_error(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKYARD_PLUGINS", "official")
    plugins.site.trouble[paths(DOCKER)[1]] = 403
    with pytest.raises(SetupError, match=r"the official docker plugin is not available: .* answered 403"):
        plugins.ensure()
    assert not plugins.program(DOCKER).exists()


def test_a_choice_that_does_not_exist_is_told(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKYARD_PLUGINS", "offical")
    with pytest.raises(SetupError, match="neither official nor standin"):
        plugins.ensure()

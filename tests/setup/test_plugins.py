"""Where the resource plugins come from: the official ones wherever they can be had, else the stand-ins."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.setup.helpers import DownloadSite, Words, archive, write_program
from toolchain.plugins import NAMES, Plugin, ensure_plugins, is_standin
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

OFFICIAL = "\x7fELF official\n"


def paths(plugin: Plugin) -> tuple[str, str]:
    release = f"/pulumi/pulumi-{plugin.name}/releases/download/v{plugin.version}"
    return (
        f"/releases/plugins/{plugin.archive}",
        f"{release}/pulumi-{plugin.name}_{plugin.version}_checksums.txt",
    )


def offer(site: DownloadSite, plugin: Plugin) -> None:
    site.offer(paths(plugin)[0], archive({plugin.program: OFFICIAL, "LICENSE": "…"}), paths(plugin)[1])


def program(work: WorkDir, plugin: Plugin) -> Path:
    return work.pulumi_home / "plugins" / plugin.folder / plugin.program


DOCKER, CLOUDFLARE = (Plugin(name) for name in NAMES)


def test_official_plugins_are_downloaded_to_where_the_engine_looks(
    work: WorkDir, words: Words, site: DownloadSite
) -> None:
    offer(site, DOCKER)
    offer(site, CLOUDFLARE)
    ensure_plugins(work, words.progress)
    assert program(work, DOCKER).read_text() == program(work, CLOUDFLARE).read_text() == OFFICIAL
    assert "docker 5.2.0 (official), cloudflare 6.23.1 (official)" in words


def test_the_sha1_lists_that_plugin_releases_carry_are_verified_too(
    work: WorkDir, words: Words, site: DownloadSite
) -> None:
    offer(site, DOCKER)
    path, listing = paths(DOCKER)
    site.files[listing] = f"{hashlib.sha1(site.files[path]).hexdigest()}  ./{DOCKER.archive}\n".encode()  # noqa: S324 - upstream lists SHA-1
    ensure_plugins(work, words.progress)
    assert not is_standin(program(work, DOCKER))
    site.files[path] += b"more"
    other = WorkDir(work.checkout.parent / "other")
    (work.cache / DOCKER.archive.removesuffix(".tar.gz")).rename(work.cache / "away")
    ensure_plugins(other, words.progress)
    assert is_standin(program(other, DOCKER))
    assert "checksum is wrong" in words


def test_each_plugin_falls_back_to_its_stand_in_by_itself_with_a_clear_word(
    work: WorkDir, words: Words, site: DownloadSite
) -> None:
    offer(site, DOCKER)
    offer(site, CLOUDFLARE)
    site.trouble[paths(CLOUDFLARE)[0]] = 403
    ensure_plugins(work, words.progress)
    assert not is_standin(program(work, DOCKER))
    assert is_standin(program(work, CLOUDFLARE))
    assert "answered 403: using our stand-in for the official cloudflare plugin" in words
    assert "docker 5.2.0 (official), cloudflare 6.23.1 (stand-in)" in words


def test_a_stand_in_stays_until_a_refresh_asks_for_the_official_plugin(
    work: WorkDir, words: Words, site: DownloadSite
) -> None:
    ensure_plugins(work, words.progress)
    assert is_standin(program(work, DOCKER))
    offer(site, DOCKER)
    asked = len(site.asked)
    ensure_plugins(work, words.progress)
    assert is_standin(program(work, DOCKER))
    assert len(site.asked) == asked
    ensure_plugins(work, words.progress, refresh=True)
    assert not is_standin(program(work, DOCKER))
    assert is_standin(program(work, CLOUDFLARE))


def test_an_official_plugin_that_is_there_is_never_touched(work: WorkDir, words: Words, site: DownloadSite) -> None:
    write_program(program(work, DOCKER), OFFICIAL + "mine")
    offer(site, DOCKER)
    ensure_plugins(work, words.progress, refresh=True)
    assert program(work, DOCKER).read_text() == OFFICIAL + "mine"


def test_a_plugin_of_the_persons_own_pulumi_is_taken_over(
    work: WorkDir, words: Words, site: DownloadSite, tmp_path: Path
) -> None:
    write_program(tmp_path / "home/.pulumi/plugins" / DOCKER.folder / DOCKER.program, OFFICIAL + "home")
    ensure_plugins(work, words.progress)
    assert program(work, DOCKER).read_text() == OFFICIAL + "home"
    assert not program(work, DOCKER).parent.is_symlink(), "the engine takes no symbolic link for a plugin"


def test_a_half_installed_plugin_of_the_persons_own_is_left_alone(
    work: WorkDir, words: Words, site: DownloadSite, tmp_path: Path
) -> None:
    home = tmp_path / "home/.pulumi/plugins"
    write_program(home / DOCKER.folder / DOCKER.program, OFFICIAL)
    (home / f"{DOCKER.folder}.partial").touch()
    ensure_plugins(work, words.progress)
    assert is_standin(program(work, DOCKER))


def test_a_plugin_on_path_is_left_to_the_engine(
    work: WorkDir, words: Words, site: DownloadSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path / "own" / DOCKER.program, OFFICIAL)
    monkeypatch.setenv("PATH", f"{tmp_path / 'own'}:/usr/bin:/bin")
    ensure_plugins(work, words.progress)
    assert not program(work, DOCKER).exists()
    assert "docker from PATH" in words


def test_forced_stand_ins_ask_nothing_of_the_network(
    work: WorkDir, words: Words, site: DownloadSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(site, DOCKER)
    monkeypatch.setenv("DOCKYARD_PLUGINS", "standin")
    ensure_plugins(work, words.progress)
    assert is_standin(program(work, DOCKER))
    assert site.asked == []


def test_a_forced_stand_in_never_replaces_an_official_plugin(
    work: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(program(work, DOCKER), OFFICIAL)
    monkeypatch.setenv("DOCKYARD_PLUGINS", "standin")
    with pytest.raises(SetupError, match="holds the official plugin"):
        ensure_plugins(work, words.progress)
    assert program(work, DOCKER).read_text() == OFFICIAL


def test_where_official_plugins_are_demanded_a_shut_site_is_an_error(
    work: WorkDir, words: Words, site: DownloadSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKYARD_PLUGINS", "official")
    site.trouble[paths(DOCKER)[1]] = 403
    with pytest.raises(SetupError, match=r"the official docker plugin cannot be had: .* answered 403"):
        ensure_plugins(work, words.progress)
    assert not program(work, DOCKER).exists()


def test_a_choice_that_does_not_exist_is_told(work: WorkDir, words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKYARD_PLUGINS", "offical")
    with pytest.raises(SetupError, match="neither official nor standin"):
        ensure_plugins(work, words.progress)

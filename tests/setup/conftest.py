"""An empty checkout with a cache of its own, and the download sites played by a local server."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.setup.helpers import DownloadSite, Words
from toolchain import downloads
from toolchain.workdir import WorkDir


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests: no settings, no installed Pulumi, no home."""
    for name in list(os.environ):
        if name.startswith(("DOCKYARD_", "PULUMI_", "DOCKER_")):
            monkeypatch.delenv(name)
    system = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "pulumi").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(system))
    downloads.forget_reach()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkDir:
    """An empty checkout; its cache and the person's home are empty too."""
    monkeypatch.setenv("DOCKYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return WorkDir(tmp_path / "checkout")


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[DownloadSite]:
    """The download sites, both of them played by one local server."""
    server = DownloadSite()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("DOCKYARD_PULUMI_DOWNLOADS", server.url)
    monkeypatch.setenv("DOCKYARD_GITHUB_DOWNLOADS", server.url)
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()

"""An empty checkout with a cache of its own, and the download sites played by a local server."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from machine.workdir import WorkDir
from ops import state_commands as verbs
from tests.setup.helpers import DownloadSite
from tests.setup.team import BUCKET, PROGRAM, STACK_FILE, Team, client
from tests.support.progress import Words
from toolchain import downloads
from toolchain.pulumi_cli import ensure_pulumi


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests: no settings, no installed Pulumi, no home."""
    for name in list(os.environ):
        if name.startswith(("DOCKYARD_", "PULUMI_", "DOCKER_")):
            monkeypatch.delenv(name)
    system = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "pulumi").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(system))
    downloads._reach.clear()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkDir:
    """An empty checkout; its cache and the person's home are empty too."""
    monkeypatch.setenv("DOCKYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return WorkDir(tmp_path / "checkout")


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


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it tells every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def team(tmp_path: Path, words: Words, aws: str, monkeypatch: pytest.MonkeyPatch) -> Team:
    """An empty bucket and a checkout that keeps its state there."""
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    work = WorkDir(tmp_path / "project")
    work.checkout.mkdir()
    (work.checkout / "Pulumi.dev.yaml").write_text(STACK_FILE)
    (work.checkout / "__main__.py").write_text(PROGRAM)
    ensure_pulumi(work, words.progress)
    monkeypatch.setattr(verbs, "WorkDir", lambda: work)
    monkeypatch.setattr("ops.session.ensure_plugins", lambda *_: None)
    bucket = f"{BUCKET}-{time.time_ns()}"
    made = Team(work, words, aws, bucket)
    client(aws, "s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    made.share()
    (work.root / "team-passphrase").write_text("a passphrase of the team")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(work.root / "team-passphrase"))
    return made

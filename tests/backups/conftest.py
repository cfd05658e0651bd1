"""One stage for all tests of backups; each test has a copy of a repository and leaves no database behind."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from machine.workdir import WorkDir
from ops.backups import command
from ops.backups.containers import BackupContainer
from tests.backups.backup_stage import IMAGES, BackupStage, running_backups
from tests.support.kit import serving_kit
from tests.support.progress import Words
from toolchain.docker_client import DockerClient


@pytest.fixture(scope="session")
def session_stage(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupStage]:
    engine = DockerClient(docker_host, timeout=300)
    with serving_kit(tmp_path_factory.mktemp("backups"), docker_host) as images:
        images.ensure(IMAGES)
        with running_backups(engine, images) as stage:
            yield stage


@pytest.fixture
def stage(session_stage: BackupStage) -> Iterator[BackupStage]:
    """The stage, which a test leaves without a further database and without a further repository."""
    yield session_stage
    session_stage.drop(*session_stage.databases() - {"shop"})
    session_stage.delete_copies()


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def restore(stage: BackupStage, words: Words, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The verb `restore`, on the stage's containers and the product's own repositories."""
    stores = {}
    for store in ("postgres", "redis"):
        stage.run[f"backup-{store}"].reload()
        stores[store] = BackupContainer(store, stage.run[f"backup-{store}"])
    settings = SimpleNamespace(stack=SimpleNamespace(environment="production"))
    ready = SimpleNamespace(settings=settings, docker_client=lambda: stage.engine)
    monkeypatch.setattr(command, "open_stack", lambda *_: (ready, stores))
    monkeypatch.setattr(command, "container_for_role", lambda _, role: stage.run[role])
    return lambda what, **options: command.restore(WorkDir(), "shop", what, words.progress, **options)

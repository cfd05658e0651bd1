"""What tests share: a context, a program made of one component, and what is told to a person."""

import io
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest
import yaml
from rich.console import Console

from components.monitoring.stack import MonitoringStack
from machine.progress import Progress
from runtime.context import StackContext
from runtime.docker import DockerRuntime
from settings.container import Docker, Limits
from settings.loader import Settings, load, read_stack_file
from settings.monitoring import Monitoring
from tests.support.component_stage import NO_CONTENT
from tests.support.dotenv import Shop
from tests.support.fake_docker import FakeDocker
from tests.support.recording import RecordedProgram, record


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-snapshots", action="store_true", help="rewrite tests/snapshots")


CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_context():
    """Return a function that makes a context; call it inside the program."""

    def make(**changes) -> StackContext:
        said = {
            "product": "shop",
            "environment": "development",
            "docker": Docker(),
            "protects_data": False,
            "app_network": pulumi.Output.from_input("app-net"),
            "monitoring_network": pulumi.Output.from_input("monitoring-net"),
            "image": str,
        }
        return DockerRuntime(**{**said, **changes})

    return make


@pytest.fixture
def docker() -> FakeDocker:
    return FakeDocker()


@pytest.fixture
def limits() -> Limits:
    return Limits.of("128MB", cpus=0.5)


@pytest.fixture
def shop_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Return the settings of a small shop; keywords are put over its product file, its one service, its stack file."""

    def made(product: dict | None = None, service: dict | None = None, stack: dict | None = None) -> Settings:
        web = {"image": "demo", "port": 3000, "health": {"http": "/ready"}, **(service or {})}
        said = {"name": "shop", "services": {"web": web}, **(product or {})}
        config = {"product": "products/shop.yaml", "environment": "development", **(stack or {})}
        written = {"config": {f"dockyard:{key}": value for key, value in config.items()}}
        for folder in ("products", "components"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "components/images.yaml").write_text((CHECKOUT / "components/images.yaml").read_text())
        (tmp_path / "products/shop.yaml").write_text(yaml.safe_dump(said))
        (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(written))
        return load(read_stack_file(tmp_path, "dev"), "dev", checkout=tmp_path)

    return made


@pytest.fixture
def monitoring(make_context) -> Callable[..., RecordedProgram]:
    """Return a function that records Prometheus and Grafana under these settings."""

    def made(secrets: dict | None = None, **said) -> RecordedProgram:
        def program() -> None:
            MonitoringStack("m", make_context(), monitoring=Monitoring.model_validate(said), **NO_CONTENT)

        return record(program, secrets=secrets)

    return made


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(printed: io.StringIO) -> Progress:
    return Progress(Console(file=printed, width=200))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shop:
    return Shop(tmp_path, monkeypatch, capsys)

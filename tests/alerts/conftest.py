"""A sink with its mail server, and Alertmanagers whose receivers lead to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import signed
from tests.sink.mail import MailServer
from tests.sink.server import Sink, running_sink
from tests.support.alertmanager import FAST, Alertmanager, alertmanager
from tests.support.receivers import secrets_for


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate and one of a mail server on this machine."""
    folder = tmp_path_factory.mktemp("authority")
    signed(folder, "localhost", "127.0.0.1")
    return folder


@pytest.fixture
def sink(authority: Path) -> Iterator[Sink]:
    mail = MailServer(authority / "certificate.pem", authority / "key.pem", "dockyard", "mail-password")
    with running_sink(mail=mail) as running:
        running.tokens.update({"hook": "hook-token", "phone": "sms-token", "bell": "ntfy-token"})
        yield running


@pytest.fixture
def run(sink: Sink, authority: Path, tmp_path: Path) -> Iterator[Callable[..., Alertmanager]]:
    """Start an Alertmanager with these receivers, whose addresses lead to the sink, or to `at`."""
    with ExitStack() as running:

        def start(receivers: dict[str, Any], at: str | None = None, **settings: Any) -> Alertmanager:
            secrets = secrets_for(receivers, sink, authority, at)
            return running.enter_context(
                alertmanager(tmp_path / "alertmanager", receivers, secrets, **{**FAST, **settings})
            )

        yield start

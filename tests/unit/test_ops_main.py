"""The command's own end: each kind of error is one message without a traceback, and an exit code."""

import signal
import socket
import subprocess

import docker
import pytest
import requests
from docker.errors import DockerException

from machine.progress import SetupError
from ops import __main__ as command
from settings.problems import Problem, SettingsError


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command with a verb in place of all; it returns the exit code and the message."""

    def run(verb) -> tuple[int, str]:
        monkeypatch.setattr(command, "app", verb)
        with pytest.raises(SystemExit) as ended:
            command.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out + printed.err

    monkeypatch.setattr(command, "discard_foreign_environment", lambda _: None)
    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


def raising(error: BaseException):
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (SettingsError([Problem("shop.yaml", "name", "nothing", "a name")]), 2, "shop.yaml: name: found nothing"),
        (SetupError("no engine", "start one"), 1, "no engine"),
        (DockerException("no socket"), 1, "Docker: no socket"),
        (requests.ReadTimeout("Read timed out."), 1, "the Docker engine does not answer (Read timed out.)"),
        (requests.ConnectionError("Connection aborted."), 1, "the Docker engine does not answer (Connection aborted.)"),
        (subprocess.CalledProcessError(1, ["pulumi", "up"], stderr="no key"), 1, "pulumi up failed:\nno key"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_ends_the_command_with_its_message(run, error, code, message):
    exit_code, printed = run(raising(error))
    assert exit_code == code
    assert message in printed
    assert "Traceback" not in printed


def test_an_engine_that_does_not_answer_ends_the_command_with_one_sentence(run, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "docker.sock"))
        silent.listen()
        client = docker.DockerClient(base_url=f"unix://{tmp_path}/docker.sock", version="1.41", timeout=0.1)
        exit_code, printed = run(client.containers.list)
    assert exit_code == 1
    assert printed.startswith("the Docker engine does not answer (")
    assert printed.count("\n") == 1

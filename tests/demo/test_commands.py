"""The commands as processes: exit codes, signals, and what the health check costs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

SLOW_APP = """
import sys
from starlette.applications import Starlette
from starlette.routing import Route
from demo.api import slow
from demo.serve import log_as_json, serve
from demo.switches import ServerSettings
log_as_json()
sys.exit(serve(Starlette(routes=[Route("/slow", slow)]), ServerSettings(int(sys.argv[1]), "r7", 10)))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            get(url)
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_frontend_runs_without_a_backend_is_healthy_and_leaves_cleanly_on_sigterm() -> None:
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    with running("-m", "demo", "frontend", PORT=str(port), BACKEND_URL="http://127.0.0.1:1") as process:
        wait_until_up(f"{here}/health")
        assert demo("healthcheck", f"{here}/health").returncode == 0
        assert "the backend does not answer" in get(f"{here}/")[1]
        unhealthy = demo("healthcheck", f"{here}/nothing-here")
        assert (unhealthy.returncode, unhealthy.stderr) == (
            1,
            f"unhealthy: {here}/nothing-here answers 404\n",
        )
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
    assert {json.loads(line)["level"] for line in output.splitlines()} >= {"info", "warning"}


def test_sigterm_lets_a_request_in_flight_end_and_takes_no_new_one() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/slow?seconds"
    with running("-c", SLOW_APP, str(port)) as process:
        wait_until_up(f"{url}=0")
        with running("-c", f"import urllib.request as u; print(u.urlopen('{url}=1.5').read())") as client:
            time.sleep(0.7)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(OSError, match="refused"):
                get(f"{url}=0")
            answer, _ = client.communicate(timeout=10)
            assert "slept_seconds" in answer
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_sigterm_while_waiting_for_the_stores_ends_the_backend_at_once(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    stores = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/polls", "REDIS_HOST": "127.0.0.1"}
    with running("-m", "demo", "backend", REDIS_PASSWORD_FILE=str(password), **stores) as process:
        assert process.stdout is not None
        assert "waiting for Postgres at 127.0.0.1:1/polls" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=5)
        assert process.returncode == 128 + signal.SIGTERM


def test_the_web_app_serves_its_page_with_its_release_and_leaves_on_sigterm() -> None:
    port = free_port()
    with running("-m", "demo", "static", PORT=str(port), RELEASE="r7") as process:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert (answer.status, answer.headers["X-Release"]) == (200, "r7")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_every_answer_names_the_release_even_one_to_a_failed_request() -> None:
    port = free_port()
    with running("-m", "demo", "backend", PORT=str(port), RELEASE="r7") as process:
        wait_until_up(f"http://127.0.0.1:{port}/health")
        for path in ("boom", "nothing", "polls"):
            with pytest.raises(urllib.error.HTTPError) as raised:
                get(f"http://127.0.0.1:{port}/{path}")
            assert raised.value.headers["X-Release"] == "r7"
        assert process.poll() is None


def test_the_web_app_loads_no_driver_of_a_store() -> None:
    code = (
        "import sys, demo.static; print(sorted({'psycopg', 'redis', 'httpx', 'prometheus_client'} & set(sys.modules)))"
    )
    with running("-c", code) as process:
        output, _ = process.communicate(timeout=10)
    assert output.splitlines()[-1] == "[]"


def test_the_image_runs_demo_by_name() -> None:
    script = CHECKOUT / "demo" / "demo.sh"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == 'exec python -m demo "$@"'


def test_the_health_check_fails_in_one_line_when_nothing_listens() -> None:
    failed = demo("healthcheck", f"http://127.0.0.1:{free_port()}/health")
    assert failed.returncode == 1
    assert failed.stderr.startswith("unhealthy: ")
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["https://127.0.0.1/health", "127.0.0.1:80/health", "http:///health"])
def test_the_health_check_refuses_what_it_cannot_ask(url: str) -> None:
    assert demo("healthcheck", url).returncode == 1


def test_the_health_check_loads_no_library() -> None:
    code = (
        "import sys; from demo.__main__ import main; main(['healthcheck', 'http://127.0.0.1:1/']);"
        "print(sorted({'starlette', 'psycopg', 'redis', 'http.client', 'ssl'} & set(sys.modules)))"
    )
    with running("-c", code) as process:
        output, _ = process.communicate(timeout=10)
    assert output.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments", [(), ("serve",), ("healthcheck",), ("backend", "--migrated"), ("bot", "x"), ("static", "x")]
)
def test_a_wrong_call_shows_the_usage_and_exits_with_2(arguments: tuple[str, ...]) -> None:
    wrong = demo(*arguments)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: python -m demo")


@pytest.mark.parametrize("command", ["bot", "frontend", "migrate"])
def test_a_command_without_settings_lists_what_is_missing_and_exits_with_2(command: str) -> None:
    wrong = demo(command)
    assert wrong.returncode == 2
    assert "is not set" in wrong.stderr
    assert "Traceback" not in wrong.stderr

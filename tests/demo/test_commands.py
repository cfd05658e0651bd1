"""The commands as processes: exit codes and signals."""

import json
import signal
from pathlib import Path

from tests.support.demo import demo, get, running, wait_until_up
from tests.support.ports import free_port


def test_the_frontend_runs_without_a_backend_is_healthy_and_leaves_cleanly_on_sigterm() -> None:
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    with running("-m", "demo", "frontend", PORT=str(port), BACKEND_URL="http://127.0.0.1:1") as process:
        wait_until_up(f"{here}/health")
        assert demo("healthcheck", f"{here}/health").returncode == 0
        assert "the backend does not answer" in get(f"{here}/")[1]
        unhealthy = demo("healthcheck", f"{here}/nothing-here")
        assert (unhealthy.returncode, unhealthy.stderr) == (1, f"unhealthy: {here}/nothing-here answers 404\n")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert {json.loads(line)["level"] for line in output.splitlines()} >= {"info", "warning"}


def test_sigterm_while_waiting_for_the_stores_ends_the_backend_at_once(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    stores = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/polls", "REDIS_HOST": "127.0.0.1"}
    with running("-m", "demo", "backend", REDIS_PASSWORD_FILE=str(password), **stores) as process:
        assert process.stdout is not None
        assert "waiting for Postgres at 127.0.0.1:1/polls" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM

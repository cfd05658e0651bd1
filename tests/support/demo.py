"""The demo's commands, run as processes."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
PATH = {"PATH": os.environ["PATH"]}


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen([sys.executable, *arguments], cwd=CHECKOUT, env=PATH | environment, text=True, **both)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=PATH | environment, capture_output=True, text=True, check=False)


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def wait_until_up(url: str) -> None:
    def answers() -> bool:
        try:
            get(url)
        except urllib.error.HTTPError:
            return True
        return True

    wait_until(answers, f"{url} answers", ignoring=(OSError,))

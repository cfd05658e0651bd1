"""Users of the demo workload behind a stack, for as long as a test needs them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.checkout import SOURCE
from tests.support.stack import Stack

LONGEST_SECONDS = 900


@contextmanager
def users_of(stack: Stack) -> Iterator[None]:
    """Use a stack as people do, with mistakes, failures and slow jobs; one without a backend by its host name."""
    if "backend" not in stack.urls:
        with _visitors(stack):
            yield
        return
    pages = ["--frontend", stack.urls["frontend"]] if "frontend" in stack.urls else []
    command = [sys.executable, "-m", "demo", "drive", "--backend", stack.urls["backend"], *pages]
    with subprocess.Popen(
        [*command, "--seconds", str(LONGEST_SECONDS)], cwd=SOURCE, env={"PATH": "/usr/bin:/bin"}
    ) as process:
        try:
            yield
            assert process.poll() is None, f"the users ended early, with exit code {process.returncode}"
        finally:
            process.terminate()


@contextmanager
def _visitors(stack: Stack) -> Iterator[None]:
    over = threading.Event()

    def visit() -> None:
        while not over.wait(1):
            for path in ("/", "/nothing-here"):
                visit_by_name(stack, path, f"{stack.name}.localhost")

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def visit_by_name(stack: Stack, path: str, host: str) -> httpx.Response:
    """Fetch a path from the stack's edge proxy over HTTPS. The certificate may be self-signed."""
    address = f"https://127.0.0.1:{443 + stack.offset}{path}"
    return httpx.get(address, headers={"Host": host}, verify=False, timeout=10)  # noqa: S501 - see above

"""Users of the demo workload behind a stack, for as long as a test needs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.checkout import SOURCE
from tests.support.stack import Stack

LONGEST_SECONDS = 900


@contextmanager
def users_of(stack: Stack) -> Iterator[None]:
    """Send requests to a stack's backend, and to its frontend where it has one: mistakes, failures and slow jobs too."""
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

"""Where the tests find promtool: `DOCKYARD_PROMTOOLS` (a folder), else what `offline` fetches, once."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from machine.progress import Progress
from machine.workdir import WorkDir
from offline.host_programs import ensure_promtools

MEMORY = Path("/dev/shm")  # a file system in memory, on machines that have one


@cache
def promtools() -> Path:
    """Return the folder that holds promtool and amtool; raises SetupError when they cannot be had."""
    if configured := os.environ.get("DOCKYARD_PROMTOOLS"):
        return Path(configured)
    return ensure_promtools(WorkDir(), Progress())


def promtool(arguments: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool and return what it said, whatever its exit code."""
    command = [str(promtools() / "promtool"), *map(str, arguments)]
    # It makes a database for each test: on a disk it waits for it.
    environment = {**os.environ, "TMPDIR": str(MEMORY)} if os.access(MEMORY, os.W_OK) else None
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)

"""Lines for cron on a stack's host: what has to happen by itself, day after day."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from zlib import crc32

from toolchain.workdir import WorkDir

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""cron's own has no sbin, and dockerd's tools lie there."""


def crontab(work: WorkDir, stack: str) -> Iterator[str]:
    """Return the lines of one stack, between marks by which they can be taken out again.

    Drift every hour, which also writes its metrics; clean-up every Sunday night. Minutes are the stack's own, so that
    several on one host take turns. A restore drill needs none: its container has a schedule.
    """
    minute = crc32(stack.encode()) % 60
    run = f"cd {shlex.quote(str(work.checkout))} && nice ./dockyard"
    log = shlex.quote(str(work.logs / "cron.log"))
    yield f"# BEGIN dockyard {stack}"
    yield f"PATH={PATH}"
    # cron takes a % for a new line.
    for when, verb in ((f"{minute} * * * *", f"drift {stack}"), (f"{(minute + 30) % 60} 4 * * 0", "cleanup")):
        yield f"{when} " + f"{run} {verb} >> {log} 2>&1".replace("%", "\\%")
    yield f"# END dockyard {stack}"

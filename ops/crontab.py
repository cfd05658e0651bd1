"""Lines for cron on a stack's host: the periodic drift check and clean-up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from zlib import crc32

from machine.workdir import WorkDir

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""cron's default PATH has no sbin, where dockerd's tools are."""


def crontab(work: WorkDir, stack: str) -> Iterator[str]:
    """Return the lines of one stack, between marker comments by which they can be removed again.

    Drift runs every hour and also writes its metrics; clean-up runs every Sunday night. The minute is derived from the
    stack's name, so that several stacks on one host take turns. The restore drill needs no line: its container has its
    own schedule.
    """
    minute = crc32(stack.encode()) % 60
    run = f"cd {shlex.quote(str(work.checkout))} && nice ./dockyard"
    log = shlex.quote(str(work.logs / "cron.log"))
    yield f"# BEGIN dockyard {stack}"
    yield f"PATH={PATH}"
    # cron treats an unescaped % as a newline.
    for when, verb in ((f"{minute} * * * *", f"drift {stack}"), (f"{(minute + 30) % 60} 4 * * 0", "cleanup")):
        yield f"{when} " + f"{run} {verb} >> {log} 2>&1".replace("%", "\\%")
    yield f"# END dockyard {stack}"

"""A bot: no port; it says what it is, and ends when it is told to."""

import os
import signal
import sys

import iniconfig

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"bot runs as {os.getuid()} with {iniconfig.__name__}")  # noqa: T201 - its log
signal.pause()

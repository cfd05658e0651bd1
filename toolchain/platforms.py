"""The names that download sites use for this machine's operating system and processor."""

from __future__ import annotations

import platform

SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
PROCESSORS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def system() -> str:
    """Return `linux`, `darwin`, or another system's own name in lower case."""
    return SYSTEMS.get(platform.system(), platform.system().lower())


def processor() -> str:
    """Return `amd64`, `arm64`, or another processor's own name."""
    return PROCESSORS.get(platform.machine().lower(), platform.machine())

"""`python -m demo COMMAND`: the image's entry point; `demo COMMAND` is the same.

A command's module is imported only when it is asked for: the container health check starts a process every
few seconds and must not pay for the web framework.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "backend": "[--migrate]: serve the API with health checks and metrics",
    "bot": "take turns against the database, without a port",
    "frontend": "serve the page that shows the polls",
    "migrate": "bring the database schema up to date, then exit",
    "static": "serve a static web app",
    "drive": "--backend URL [--seconds N]: send traffic to a backend, so that dashboards have something to show",
    "healthcheck": "URL|bot: exit 0 when it answers with 2xx, or goes on, else 1",
}


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; 2 means that it was called wrongly."""
    if not argv or argv[0] not in COMMANDS:
        lines = [f"  {name:<12} {purpose}" for name, purpose in COMMANDS.items()]
        sys.stderr.write("usage: python -m demo COMMAND\n" + "\n".join(lines) + "\n")
        return 2
    code: int = import_module(f"demo.{argv[0]}").main(argv[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

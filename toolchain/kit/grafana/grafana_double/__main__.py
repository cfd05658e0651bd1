"""Starts the double: reads the environment, loads what is provisioned, serves. Exit code 1 where Grafana has it."""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from . import NOTICE, VERSION
from .app import build
from .library import Library
from .logfmt import set_up_logging
from .settings import SettingsError, read_settings
from .yamlfiles import ProvisioningError


def main() -> int:
    """Run until stopped; return the exit code."""
    set_up_logging()
    log = logging.getLogger("settings")
    log.warning(NOTICE, extra={"fields": {"version": VERSION}})
    try:
        settings = read_settings(os.environ)
        library = Library(settings)
        library.load()
    except (SettingsError, ProvisioningError, OSError) as error:
        logging.getLogger("server").error("Startup failed", extra={"fields": {"error": error}})
        return 1
    # log_config=None: uvicorn's lines go the way of all others. No access log, as in Grafana's defaults.
    uvicorn.run(build(settings, library), host=settings.address, port=settings.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

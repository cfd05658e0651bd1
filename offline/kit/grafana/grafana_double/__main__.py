"""Start the double: read the environment, load the provisioning files, serve. Exit code 1 where Grafana has it."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from pathlib import Path

import uvicorn

from . import NOTICE, VERSION
from .app import build
from .library import Library
from .logfmt import set_up_logging
from .settings import SettingsError, read_settings
from .yamlfiles import ProvisioningError

DATA = Path("/var/lib/grafana")


def leave_database(folder: Path) -> None:
    """Create a database where Grafana has its own, so that a backup finds it; the double itself does not use it."""
    if not folder.is_dir():
        return
    # The same mode as in Grafana: readable by the group, not by others.
    with os.fdopen(os.open(folder / "grafana.db", os.O_CREAT | os.O_RDWR, 0o640)):
        pass
    database = sqlite3.connect(folder / "grafana.db")
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS starts (at TEXT)")
        database.execute("INSERT INTO starts VALUES (datetime())")
    database.close()


def main() -> int:
    """Run until stopped; return the exit code."""
    set_up_logging()
    log = logging.getLogger("settings")
    log.warning(NOTICE, extra={"fields": {"version": VERSION}})
    try:
        settings = read_settings(os.environ)
        library = Library(settings)
        library.load()
        leave_database(DATA)
    except (SettingsError, ProvisioningError, OSError, sqlite3.Error) as error:
        logging.getLogger("server").error("Startup failed", extra={"fields": {"error": error}})
        return 1
    # log_config=None: uvicorn logs like everything else. No access log, as in Grafana's defaults.
    uvicorn.run(build(settings, library), host=settings.address, port=settings.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

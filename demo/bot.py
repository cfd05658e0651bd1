"""The bot: a process without a port. It works in turns against Postgres and shows by a file that it goes on."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from demo.config import ConfigError, Environment
from demo.healthcheck import heartbeat_file, write_heartbeat
from demo.serve import leave_on_sigterm, log_as_json
from demo.stores import Database, ping_database, read_database
from demo.switches import UNHEALTHY
from demo.waiting import NotThereError, reason_of, wait_for

LOG = logging.getLogger("demo.bot")

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

SLACK_SECONDS = 10.0
"""How long after three intervals without a turn that succeeded the bot counts as dead."""

TABLE = """
    create table if not exists bot_heartbeats (
        bot text primary key, release text not null, turns bigint not null, beat_at timestamptz not null
    )
"""

TURN = """
    insert into bot_heartbeats (bot, release, turns, beat_at) values (%s, %s, 1, now())
    on conflict (bot) do update set release = excluded.release, turns = bot_heartbeats.turns + 1, beat_at = now()
    returning turns
"""


@dataclass(frozen=True)
class BotSettings:
    """What the environment says. Times are in seconds."""

    database: Database
    name: str
    release: str
    interval: int
    wait: int
    heartbeat: Path
    unhealthy: bool


def read_settings(environment: Environment) -> BotSettings:
    """Read everything the bot needs. Raises ConfigError with all problems at once."""
    settings = BotSettings(
        database=read_database(environment),
        name=environment.text("BOT_NAME", "bot"),
        release=environment.text("RELEASE", "unreleased"),
        interval=environment.number("BOT_INTERVAL_SECONDS", 5, 1, 3600),
        wait=environment.number("WAIT_SECONDS", 60, 1, 3600),
        heartbeat=heartbeat_file(environment.values),
        unhealthy=environment.flag("DEMO_UNHEALTHY"),
    )
    environment.check()
    return settings


def take_turn(settings: BotSettings) -> int:
    """Note one more turn in the database and return how many that are. Raises psycopg.Error."""
    with psycopg.connect(settings.database.conninfo) as connection:
        connection.execute(TABLE)
        row = connection.execute(TURN, [settings.name, settings.release]).fetchone()
    return int(row[0]) if row else 0


def run(settings: BotSettings) -> int:
    """Wait for Postgres, then take turns until SIGTERM; a turn under way is finished. Raises NotThereError."""
    database = settings.database
    wait_for(
        f"Postgres at {database.label}", lambda: ping_database(database), psycopg.Error, settings.wait, LOG.warning
    )
    LOG.info("bot %s, release %s, a turn every %s s", settings.name, settings.release, settings.interval)
    # From here on the signal waits until it is asked for, so it never cuts a turn short.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    while True:
        try:
            turns = take_turn(settings)
        except psycopg.Error as error:
            LOG.error("the database cannot be used: %s", reason_of(error))
        else:
            if settings.unhealthy:
                LOG.error("not healthy: %s", UNHEALTHY)
            else:
                write_heartbeat(settings.heartbeat, 3 * settings.interval + SLACK_SECONDS)
            LOG.debug("turn %s", turns)
        if signal.sigtimedwait(STOP_SIGNALS, settings.interval):
            LOG.info("the bot leaves")
            return 0


def main(argv: Sequence[str]) -> int:
    """Run the bot. Returns 0 after SIGTERM, 1 when it could not start, 2 on bad settings."""
    if argv:
        sys.stderr.write("usage: python -m demo bot\n")
        return 2
    leave_on_sigterm()
    log_as_json()
    try:
        return run(read_settings(Environment(os.environ)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NotThereError as error:
        sys.stderr.write(f"{error}\n")
        return 1

"""Logs: the containers' lines, and their delivery to the store."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.boards import log_stores
from dashboards.boards.log_queries import LANGUAGES, LogLanguage
from dashboards.context import DashboardContext

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "critical", "unknown")

FAILED_LOGINS = "(?i)password authentication failed|WRONGPASS|log-?in failed|failed log-?in|invalid credentials"
CALLBACKS = "(?i)(?:payment|invoice|checkout).{0,80}(?:callback|webhook|notification)"
TROUBLE = (
    "panic: |fatal error: |PANIC:  |[Uu]ncaught ?Exception|[Oo]ut of memory|OutOfMemoryError|MemoryError"
    "|No space left|ENOSPC|too many clients already|invalid page in block|MISCONF |OOM command not allowed"
    "|not properly shut down|terminated by signal|obtain ACME certificate"
)
"""Patterns that the rules on logs search for as well, see rules/loki and rules/victorialogs."""


def logs(ctx: DashboardContext) -> Board | None:
    """Build the board of the logs; None where the stack collects none."""
    if not ctx.logs_uid:
        return None
    language = LANGUAGES[ctx.log_store]
    board = Board(ctx, "logs", "Logs", "what do the containers say?", logs=True)
    board.variable("service", language.services, p.LOGS)
    board.choice("level", LEVELS)
    board.text_variable("search")
    board.row(4, *log_stores.now(ctx))
    board.row(
        8,
        _log_chart(
            "Lines by level",
            language.counted(language.selection, language.level, f"{{{{{language.level}}}}}"),
            "How many of the lines that are asked for have which level.",
            stacked=True,
        ),
        _log_chart(
            "Lines by service",
            language.counted(language.selection, "service", "{{service}}"),
            "Which service writes how many of the lines that are asked for.",
            stacked=True,
        ),
        _log_chart(
            "Errors by service",
            language.counted(language.select_errors(language.select()), "service", "{{service}}", minutes=5),
            "Lines of level error and worse, in 5 minutes.",
            ctx.limits(critical="LogErrorBurst"),
        ),
    )
    description = "The lines of the chosen services and levels that hold the searched text, newest first."
    board.row(12, p.logs_panel("Lines", language.line_query(language.selection), description))
    board.section("What is looked for in them")
    logins = language.select_matching(language.select(), FAILED_LOGINS)
    slow_queries = language.select_kind(language.select(), "slow_query")
    callbacks = language.select_errors(language.select_matching(language.select(), CALLBACKS))
    board.row(
        7,
        _log_chart(
            "Share of errors",
            language.share_of_errors(language.select(), "service", "{{service}}", minutes=15),
            "Share of a service's lines that are errors, over 15 minutes.",
            unit=p.RATIO,
        ),
        _log_chart(
            "Failed log-ins and payment callbacks",
            [
                language.counted(logins, "service", "log-ins {{service}}", minutes=5, zero=True),
                language.counted(callbacks, "service", "payment callbacks {{service}}", minutes=5, zero=True),
            ],
            "Log-ins and calls of the payment provider that failed, by what lines of 5 minutes tell.",
            ctx.limits(critical="FailedLogins"),
        ),
        _log_chart(
            "Slow queries",
            language.counted(slow_queries, "service", "{{service}}", minutes=5, zero=True),
            "Statements that took longer than Postgres was told to write down, in 5 minutes.",
            ctx.limits(critical="SlowQueries"),
        ),
        _edge_answers(language) if ctx.edge else None,
    )
    board.row(
        8,
        p.logs_panel(
            "Panics and trouble in the stores",
            language.line_query(language.select_matching(language.select(watchers=False), TROUBLE)),
            "Lines that alerts on logs look for: panics, memory, full disks, refused connections and writes. "
            "Empty where all is well.",
        ),
    )
    board.section("How they get here")
    board.row(7, *log_stores.delivery(ctx), *log_stores.store(ctx))
    board.row(7, *log_stores.rules(ctx))
    return board


def _edge_answers(language: LogLanguage) -> p.Panel:
    return _log_chart(
        "Answers at the edge",
        language.counted(language.select_kind(language.select(), "access"), "status", "{{status}}"),
        "Requests in the edge proxy's access log, by the status that visitors got.",
        stacked=True,
    )


def _log_chart(
    title: str,
    queries: p.Query | list[p.Query],
    description: str,
    thresholds: p.Thresholds | None = None,
    *,
    unit: str = p.SHORT,
    stacked: bool = False,
) -> p.Panel:
    return p.chart(title, queries, description, unit, thresholds, stacked=stacked, source=p.LOGS)

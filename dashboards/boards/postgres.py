"""PostgreSQL: Love Parser's Database Health (query duration, slow queries, connections, tables), and its upkeep."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.boards.log_queries import LANGUAGES
from dashboards.context import DashboardContext

USER_DATABASES = f'{{{p.INSTANCE_LABELS}, datname!~"template.*|postgres"}}'
"""Selector of databases, without Postgres' own."""

DATABASE = "{{datname}}"


def postgres(ctx: DashboardContext) -> Board | None:
    """Build the board of the product's Postgres; None where it has none."""
    if "postgres" not in ctx.data_stores:
        return None
    board = Board(ctx, "postgres", "PostgreSQL", "does Postgres keep up?", instances="pg_up", logs=bool(ctx.logs_uid))
    board.row(
        4,
        p.up_down_stat("Postgres up", f"min(pg_up{p.INSTANCE})", "The exporter reaches Postgres."),
        p.stat(
            "Running since",
            f"max(pg_postmaster_start_time_seconds{p.INSTANCE}) * 1000",
            "When Postgres last started: a deployment, or one of its processes was killed.",
            p.TIME_AGO,
        ),
        p.stat(
            "Collectors that fail",
            f"count(pg_scrape_collector_success{p.INSTANCE} == 0) or vector(0)",
            "Parts of the exporter that get no metrics; all of them while Postgres is down.",
            thresholds=p.WARNING_FROM_1,
        ),
    )
    _work(board, ctx)
    _disk(board, ctx)
    return board


def _work(board: Board, ctx: DashboardContext) -> None:
    board.row(
        8,
        p.chart(
            "Connections",
            {"{{instance}}": f"instance:pg_connections:ratio{p.INSTANCE}"},
            "Connections of all states as a share of max_connections.",
            p.RATIO,
            ctx.limits("HighDatabaseConnections", "PostgresConnectionsExhausted"),
        ),
        p.chart(
            "Transactions",
            {DATABASE: f"datname:pg_transactions:rate5m{p.INSTANCE}"},
            "Transactions a second that ended, well or not, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Rollbacks",
            {DATABASE: f"datname:pg_rollbacks:ratio_rate5m{p.INSTANCE}"},
            "Share of the transactions that are rolled back, over 5 minutes.",
            p.RATIO,
            ctx.limits(warning="PostgresRollbacks"),
        ),
    )
    board.row(
        8,
        p.chart(
            "Time per transaction",
            {DATABASE: f"datname:pg_transaction_active_seconds:mean5m{p.INSTANCE}"},
            "How long Postgres was at work for a transaction, on average over 5 minutes.",
            p.SECONDS,
            ctx.limits(warning="PostgresSlowQueries"),
        ),
        p.chart(
            "Longest transactions",
            {"{{state}}": f"max by (state) (pg_stat_activity_max_tx_duration{p.INSTANCE})"},
            "Since when the oldest transaction of each state has been open.",
            p.SECONDS,
            ctx.limits(warning="PostgresLongTransaction"),
        ),
        _slow(ctx),
    )
    waiting = f'pg_stat_activity_count{{{p.INSTANCE_LABELS}, wait_event_type="Lock"}}'
    board.row(
        8,
        p.chart(
            "Locks",
            {
                "sessions waiting": f"sum({waiting}) or vector(0)",
                "deadlocks in 10 minutes": f"sum(increase(pg_stat_database_deadlocks{p.INSTANCE}[10m]))",
            },
            "Sessions that wait for somebody else's lock, and deadlocks, of which Postgres ends one side.",
            thresholds=ctx.limits(warning="PostgresLocksWaiting"),
        ),
        p.chart(
            "Cache hit ratio",
            {DATABASE: f"datname:pg_blocks_hit:ratio_rate5m{p.INSTANCE}"},
            "Share of the blocks that were in shared_buffers, over 5 minutes.",
            p.RATIO,
            ctx.limits(warning="PostgresCacheHitsLow", falling=True),
        ),
        p.chart(
            "Temporary files",
            {DATABASE: f"sum by (datname) (rate(pg_stat_database_temp_bytes{USER_DATABASES}[5m]))"},
            "Bytes a second that sorts and joins wrote, for which work_mem was too small.",
            p.BYTES_PER_SECOND,
            ctx.limits(warning="PostgresTempFiles"),
        ),
    )


def _disk(board: Board, ctx: DashboardContext) -> None:
    def by_table(value: str) -> str:
        return f"sum by (schemaname, relname) (pg_stat_user_tables_{value}{p.INSTANCE})"

    def largest(value: str) -> str:
        return f"{by_table(value)} and topk(10, {by_table('table_size_bytes')})"

    board.section("Disk and upkeep")
    board.row(
        8,
        p.table(
            "Largest tables",
            [
                p.Column("Table", largest("table_size_bytes"), p.BYTES),
                p.Column("Indexes", largest("index_size_bytes"), p.BYTES),
                p.Column("Rows", largest("n_live_tup")),
                p.Column("Dead rows", largest("n_dead_tup")),
            ],
            "The ten largest tables. Dead rows are what autovacuum has still to clear.",
            {"schemaname": "Schema", "relname": "Name"},
        ),
    )
    checkpoints = "increase(pg_stat_checkpointer_num"
    archive_age = (
        f"pg_stat_archiver_last_archive_age{p.INSTANCE} and on (product, environment, job, instance)"
        f" pg_settings_archive_timeout_seconds{p.INSTANCE} > 0"
    )
    board.row(
        8,
        p.chart(
            "Size on disk",
            {
                DATABASE: f"max by (datname) (pg_database_size_bytes{USER_DATABASES})",
                "log of changes (pg_wal)": f"max(pg_wal_size_bytes{p.INSTANCE})",
                "max_wal_size": f"max(pg_settings_max_wal_size_bytes{p.INSTANCE})",
            },
            "Databases, and the log of changes with what Postgres tries to keep it below.",
            p.BYTES,
        ),
        p.chart(
            "WAL archive and checkpoints",
            {
                "archived in 15 minutes": f"sum(increase(pg_stat_archiver_archived_count{p.INSTANCE}[15m]))",
                "not archived in 15 minutes": f"sum(increase(pg_stat_archiver_failed_count{p.INSTANCE}[15m]))",
                "checkpoints by the clock in 30 minutes": f"sum({checkpoints}_timed_total{p.INSTANCE}[30m]))",
                "checkpoints asked for in 30 minutes": f"sum({checkpoints}_requested_total{p.INSTANCE}[30m]))",
                "seconds since a segment was archived": f"max({archive_age}) or vector(0)",
            },
            "Segments of the log that were archived or not, and since when, where point_in_time is on; checkpoints, and"
            " those that max_wal_size asked for.",
        ),
        p.chart(
            "Transaction ids in use",
            {DATABASE: f"datname:pg_wraparound_age:ratio{p.INSTANCE}"},
            "Transactions since the oldest row that is not frozen, as a share of the 2^31 that there can be.",
            p.RATIO,
            ctx.limits("PostgresWraparoundRisk", "PostgresWraparoundNear"),
        ),
    )


def _slow(ctx: DashboardContext) -> p.Panel | None:
    """Return the chart of the slow queries that Postgres logs; None where no logs are collected."""
    if not ctx.logs_uid:
        return None
    language = LANGUAGES[ctx.log_store]
    slow = language.select_kind(language.select("postgres"), "slow_query")
    return p.chart(
        "Slow queries",
        language.counted(slow, "service", "in 5 minutes", minutes=5, zero=True),
        "Statements that Postgres logged because they took longer than log_min_duration_statement.",
        source=p.LOGS,
    )

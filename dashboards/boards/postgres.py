"""PostgreSQL: Love Parser's Database Health (query duration, slow queries, connections, tables), and its upkeep."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import panels as p
from dashboards.board import Board
from dashboards.boards.log_queries import LANGUAGES
from dashboards.context import DashboardContext

USER_DATABASES = 'datname!~"template.*|postgres"'
"""Selector of databases, without Postgres' own."""

DATABASE = "{{datname}}"


def postgres(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the product's Postgres; None where it has none."""
    if "postgres" not in ctx.data_stores:
        return None
    board = Board(ctx, "postgres", "PostgreSQL", "does Postgres keep up?", instances="pg_up", logs=bool(ctx.logs_uid))
    board.row(4, _now())
    board.row(8, _work(ctx))
    board.row(8, _speed(ctx))
    board.row(8, _memory(ctx))
    board.section("Disk and upkeep")
    board.row(8, [_tables()])
    board.row(8, _upkeep(ctx))
    return board.build()


def _now() -> list[p.Panel]:
    return [
        p.up_down_stat("Postgres up", f"min(pg_up{{{p.INSTANCE}}})", "The exporter reaches Postgres."),
        p.stat(
            "Running since",
            f"max(pg_postmaster_start_time_seconds{{{p.INSTANCE}}}) * 1000",
            "When Postgres last started: a deployment, or one of its processes was killed.",
            p.TIME_AGO,
        ),
        p.stat(
            "Collectors that fail",
            f"count(pg_scrape_collector_success{{{p.INSTANCE}}} == 0) or vector(0)",
            "Parts of the exporter that get no metrics; all of them while Postgres is down.",
            thresholds=p.Thresholds(warning=1),
        ),
    ]


def _work(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Connections",
            p.Query(f"instance:pg_connections:ratio{{{p.INSTANCE}}}", "{{instance}}"),
            "Connections of all states as a share of max_connections.",
            p.RATIO,
            p.Thresholds(ctx.limit("HighDatabaseConnections"), ctx.limit("PostgresConnectionsExhausted")),
        ),
        p.chart(
            "Transactions",
            p.Query(f"datname:pg_transactions:rate5m{{{p.INSTANCE}}}", DATABASE),
            "Transactions a second that ended, well or not, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Rollbacks",
            p.Query(f"datname:pg_rollbacks:ratio_rate5m{{{p.INSTANCE}}}", DATABASE),
            "Share of the transactions that are rolled back, over 5 minutes.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("PostgresRollbacks")),
        ),
    ]


def _speed(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Time per transaction",
            p.Query(f"datname:pg_transaction_active_seconds:mean5m{{{p.INSTANCE}}}", DATABASE),
            "How long Postgres was at work for a transaction, on average over 5 minutes.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("PostgresSlowQueries")),
        ),
        p.chart(
            "Longest transactions",
            p.Query(f"max by (state) (pg_stat_activity_max_tx_duration{{{p.INSTANCE}}})", "{{state}}"),
            "Since when the oldest transaction of each state has been open.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("PostgresLongTransaction")),
        ),
        *_slow(ctx),
    ]


def _slow(ctx: DashboardContext) -> list[p.Panel]:
    """Return the slow queries that Postgres logs, where logs are kept."""
    if not ctx.logs_uid:
        return []
    language = LANGUAGES[ctx.log_store]
    slow = language.select_kind(language.select("postgres"), "slow_query")
    return [
        p.chart(
            "Slow queries",
            language.counted(slow, "service", "in 5 minutes", minutes=5, zero=True),
            "Statements that Postgres logged because they took longer than log_min_duration_statement.",
            p.SHORT,
            source=p.LOGS,
        )
    ]


def _memory(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Locks",
            [
                p.Query(
                    f'sum(pg_stat_activity_count{{{p.INSTANCE}, wait_event_type="Lock"}}) or vector(0)',
                    "sessions waiting",
                ),
                p.Query(f"sum(increase(pg_stat_database_deadlocks{{{p.INSTANCE}}}[10m]))", "deadlocks in 10 minutes"),
            ],
            "Sessions that wait for somebody else's lock, and deadlocks, of which Postgres ends one side.",
            p.SHORT,
            p.Thresholds(warning=ctx.limit("PostgresLocksWaiting")),
        ),
        p.chart(
            "Cache hit ratio",
            p.Query(f"datname:pg_blocks_hit:ratio_rate5m{{{p.INSTANCE}}}", DATABASE),
            "Share of the blocks that were in shared_buffers, over 5 minutes.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("PostgresCacheHitsLow"), falling=True),
        ),
        p.chart(
            "Temporary files",
            p.Query(
                f"sum by (datname) (rate(pg_stat_database_temp_bytes{{{p.INSTANCE}, {USER_DATABASES}}}[5m]))", DATABASE
            ),
            "Bytes a second that sorts and joins wrote, for which work_mem was too small.",
            p.BYTES_PER_SECOND,
            p.Thresholds(warning=ctx.limit("PostgresTempFiles")),
        ),
    ]


def _tables() -> p.Panel:
    def largest(metric: str) -> str:
        by = "sum by (schemaname, relname)"
        return (
            f"{by} ({metric}{{{p.INSTANCE}}}) and topk(10, {by} (pg_stat_user_tables_table_size_bytes{{{p.INSTANCE}}}))"
        )

    dead, alive = "pg_stat_user_tables_n_dead_tup", "pg_stat_user_tables_n_live_tup"
    return p.table(
        "Largest tables",
        {
            "Table": largest("pg_stat_user_tables_table_size_bytes"),
            "Indexes": largest("pg_stat_user_tables_index_size_bytes"),
            "Rows": largest(alive),
            "Dead rows": largest(dead),
        },
        "The ten largest tables. Dead rows are what autovacuum has still to clear.",
        {"schemaname": "Schema", "relname": "Name"},
        {"Table": p.BYTES, "Indexes": p.BYTES, "Rows": p.SHORT, "Dead rows": p.SHORT},
    )


def _upkeep(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Size on disk",
            [
                p.Query(f"max by (datname) (pg_database_size_bytes{{{p.INSTANCE}, {USER_DATABASES}}})", DATABASE),
                p.Query(f"max(pg_wal_size_bytes{{{p.INSTANCE}}})", "log of changes (pg_wal)"),
                p.Query(f"max(pg_settings_max_wal_size_bytes{{{p.INSTANCE}}})", "max_wal_size"),
            ],
            "Databases, and the log of changes with what Postgres tries to keep it below.",
            p.BYTES,
        ),
        p.chart(
            "WAL archive and checkpoints",
            [
                p.Query(
                    f"sum(increase(pg_stat_archiver_archived_count{{{p.INSTANCE}}}[15m]))", "archived in 15 minutes"
                ),
                p.Query(
                    f"sum(increase(pg_stat_archiver_failed_count{{{p.INSTANCE}}}[15m]))", "not archived in 15 minutes"
                ),
                p.Query(
                    f"sum(increase(pg_stat_checkpointer_num_timed_total{{{p.INSTANCE}}}[30m]))",
                    "checkpoints by the clock in 30 minutes",
                ),
                p.Query(
                    f"sum(increase(pg_stat_checkpointer_num_requested_total{{{p.INSTANCE}}}[30m]))",
                    "checkpoints asked for in 30 minutes",
                ),
                p.Query(
                    f"max(pg_stat_archiver_last_archive_age{{{p.INSTANCE}}}"
                    " and on (product, environment, job, instance)"
                    f" pg_settings_archive_timeout_seconds{{{p.INSTANCE}}} > 0) or vector(0)",
                    "seconds since a segment was archived",
                ),
            ],
            "Segments of the log that were archived or not, and since when, where point_in_time is on; checkpoints, and"
            " those that max_wal_size asked for.",
            p.SHORT,
        ),
        p.chart(
            "Transaction ids in use",
            p.Query(f"datname:pg_wraparound_age:ratio{{{p.INSTANCE}}}", DATABASE),
            "Transactions since the oldest row that is not frozen, as a share of the 2^31 that there can be.",
            p.RATIO,
            p.Thresholds(ctx.limit("PostgresWraparoundRisk"), ctx.limit("PostgresWraparoundNear")),
        ),
    ]

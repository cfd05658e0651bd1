"""Redis: Love Parser's Redis Health (command latency, memory, keys, evictions, hits) and its writing to disk."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

INSTANCE_LEGEND = "{{instance}}"


def redis(ctx: DashboardContext) -> Board | None:
    """Build the board of the product's Redis; None where it has none."""
    if "redis" not in ctx.data_stores:
        return None
    board = Board(ctx, "redis", "Redis", "does Redis keep up, and does the cache help?", instances="redis_up")
    board.row(
        4,
        p.up_down_stat("Redis up", f"min(redis_up{p.INSTANCE})", "The exporter reaches Redis."),
        p.stat(
            "Running since",
            f"(time() - min(redis_uptime_in_seconds{p.INSTANCE})) * 1000",
            "When Redis last started: a deployment, or it was killed.",
            p.TIME_AGO,
        ),
        p.stat(
            "Memory in use",
            f"sum(redis_memory_used_bytes{p.INSTANCE})",
            "Memory of keys, clients and buffers.",
            p.BYTES,
        ),
        p.stat("Keys now", f"sum(redis_db_keys{p.INSTANCE})", "Keys of all databases."),
    )
    board.row(
        8,
        p.chart(
            "Commands",
            {"{{cmd}}": f"topk(10, sum by (cmd) (rate(redis_commands_total{p.INSTANCE}[5m])))"},
            "Commands a second, over 5 minutes; the ten most frequent.",
            p.OPERATIONS,
        ),
        p.chart(
            "Command duration",
            {INSTANCE_LEGEND: f"instance:redis_command_seconds:mean5m{p.INSTANCE}"},
            "How long Redis was at work for a command, on average over 5 minutes; nobody else is served meanwhile.",
            p.SECONDS,
            ctx.limits(warning="RedisLatencyHigh"),
        ),
        p.chart(
            "Slow commands",
            {"in 10 minutes": f"increase(redis_slowlog_last_id{p.INSTANCE}[10m])"},
            "Commands that took longer than slowlog-log-slower-than, which is 10 ms by default.",
            thresholds=ctx.limits(warning="RedisSlowCommands"),
        ),
    )
    _memory_and_keys(board, ctx)
    _clients(board)
    return board


def _memory_and_keys(board: Board, ctx: DashboardContext) -> None:
    instance = "product, environment, job, instance"
    board.row(
        8,
        p.chart(
            "Memory",
            {
                "in use": f"sum(redis_memory_used_bytes{p.INSTANCE})",
                "taken from the system": f"sum(redis_memory_used_rss_bytes{p.INSTANCE})",
                "maxmemory": f"sum(redis_memory_max_bytes{p.INSTANCE}) > 0",
            },
            "What the data need, what the process takes for it, and the limit where one is set.",
            p.BYTES,
        ),
        p.chart(
            "Share of maxmemory",
            {
                "{{maxmemory_policy}}": f"instance:redis_memory:ratio{p.INSTANCE} * on ({instance})"
                # Just after a restart there are two of them: each run has an id among its labels.
                f" group_left (maxmemory_policy) max by ({instance}, maxmemory_policy)"
                f" (redis_instance_info{p.INSTANCE})"
            },
            "A cache (allkeys-…) is meant to be full; with noeviction a full Redis refuses writes.",
            p.RATIO,
            ctx.limits(warning="RedisMemoryHigh"),
        ),
        p.chart(
            "Evictions and expiries",
            {
                "dropped to make room": f"sum(rate(redis_evicted_keys_total{p.INSTANCE}[5m]))",
                "expired": f"sum(rate(redis_expired_keys_total{p.INSTANCE}[5m]))",
            },
            "Keys a second that went, over 5 minutes.",
            p.OPERATIONS,
            ctx.limits(warning="RedisEvictionsHigh"),
        ),
    )
    board.row(
        8,
        p.chart(
            "Hit ratio",
            {INSTANCE_LEGEND: f"instance:redis_hits:ratio_rate5m{p.INSTANCE}"},
            "Share of the look-ups that found a key, over 5 minutes. Of a queue it says nothing.",
            p.RATIO,
            ctx.limits(warning="RedisHitRateLow", falling=True),
        ),
        p.chart(
            "Look-ups",
            {
                "found": f"sum(rate(redis_keyspace_hits_total{p.INSTANCE}[5m]))",
                "not found": f"sum(rate(redis_keyspace_misses_total{p.INSTANCE}[5m]))",
            },
            "Look-ups of keys a second, over 5 minutes.",
            p.OPERATIONS,
            stacked=True,
        ),
        p.chart(
            "Keys",
            {
                "all": f"sum(redis_db_keys{p.INSTANCE})",
                "with an expiry": f"sum(redis_db_keys_expiring{p.INSTANCE})",
            },
            "Keys of all databases. Those without an expiry stay until somebody deletes them.",
        ),
    )


def _clients(board: Board) -> None:
    board.row(
        7,
        p.chart(
            "Clients",
            {
                "connected": f"sum(redis_connected_clients{p.INSTANCE})",
                "waiting in a blocking command": f"sum(redis_blocked_clients{p.INSTANCE})",
                "turned away in 5 minutes": f"sum(increase(redis_rejected_connections_total{p.INSTANCE}[5m]))",
            },
            "Workers of a queue wait in a blocking command by design.",
        ),
        p.chart(
            "Errors",
            {"{{err}}": f"sum by (err) (increase(redis_errors_total{p.INSTANCE}[5m]))"},
            "Errors that commands were answered with in 5 minutes. OOM: full, and it refuses writes.",
        ),
        p.chart(
            "Writing to disk",
            {
                "snapshot": f"min(redis_rdb_last_bgsave_status{p.INSTANCE})",
                "append-only file": f"min(redis_aof_last_write_status{p.INSTANCE})",
                "its rewrite": f"min(redis_aof_last_bgrewrite_status{p.INSTANCE})",
            },
            "1 where the last one went well, 0 where it failed.",
        ),
    )

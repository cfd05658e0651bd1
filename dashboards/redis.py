"""Redis: Love Parser's Redis Health (command latency, memory, keys, evictions, hits) and its writing to disk."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    BYTES,
    INSTANCE,
    OPERATIONS,
    RATIO,
    SECONDS,
    SHORT,
    TIME_AGO,
    Limits,
    Panel,
    Query,
    chart,
    stat,
    up_down_stat,
)
from dashboards.shown import DashboardContext

INSTANCE_LEGEND = "{{instance}}"


def redis(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the product's Redis; None where it has none."""
    if "redis" not in ctx.data_stores:
        return None
    board = Board(ctx, "redis", "Redis", "does Redis keep up, and does the cache help?", instances="redis_up")
    board.row(4, _now(ctx))
    board.row(8, _commands(ctx))
    board.row(8, _memory(ctx))
    board.row(8, _keys(ctx))
    board.row(7, _clients())
    return board.build()


def _now(ctx: DashboardContext) -> list[Panel]:
    return [
        up_down_stat("Redis up", f"min(redis_up{{{INSTANCE}}})", "The exporter reaches Redis."),
        stat(
            "Running since",
            f"(time() - min(redis_uptime_in_seconds{{{INSTANCE}}})) * 1000",
            "When Redis last started: a deployment, or it was killed.",
            TIME_AGO,
        ),
        stat(
            "Memory in use",
            f"sum(redis_memory_used_bytes{{{INSTANCE}}})",
            "Memory of keys, clients and buffers.",
            BYTES,
        ),
        stat("Keys now", f"sum(redis_db_keys{{{INSTANCE}}})", "Keys of all databases."),
    ]


def _commands(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Commands",
            Query(f"topk(10, sum by (cmd) (rate(redis_commands_total{{{INSTANCE}}}[5m])))", "{{cmd}}"),
            "Commands a second, over 5 minutes; the ten most frequent.",
            OPERATIONS,
        ),
        chart(
            "Command duration",
            Query(f"instance:redis_command_seconds:mean5m{{{INSTANCE}}}", INSTANCE_LEGEND),
            "How long Redis was at work for a command, on average over 5 minutes; nobody else is served meanwhile.",
            SECONDS,
            Limits(warning=ctx.limit("RedisLatencyHigh")),
        ),
        chart(
            "Slow commands",
            Query(f"increase(redis_slowlog_last_id{{{INSTANCE}}}[10m])", "in 10 minutes"),
            "Commands that took longer than slowlog-log-slower-than, which is 10 ms by default.",
            SHORT,
            Limits(warning=ctx.limit("RedisSlowCommands")),
        ),
    ]


def _memory(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Memory",
            [
                Query(f"sum(redis_memory_used_bytes{{{INSTANCE}}})", "in use"),
                Query(f"sum(redis_memory_used_rss_bytes{{{INSTANCE}}})", "taken from the system"),
                Query(f"sum(redis_memory_max_bytes{{{INSTANCE}}}) > 0", "maxmemory"),
            ],
            "What the data need, what the process takes for it, and the limit where one is set.",
            BYTES,
        ),
        chart(
            "Share of maxmemory",
            Query(
                f"instance:redis_memory:ratio{{{INSTANCE}}} * on (product, environment, job, instance)"
                # Just after a restart there are two of them: each run has an id among its labels.
                " group_left (maxmemory_policy) max by (product, environment, job, instance, maxmemory_policy)"
                f" (redis_instance_info{{{INSTANCE}}})",
                "{{maxmemory_policy}}",
            ),
            "A cache (allkeys-…) is meant to be full; with noeviction a full Redis refuses writes.",
            RATIO,
            Limits(warning=ctx.limit("RedisMemoryHigh")),
        ),
        chart(
            "Evictions and expiries",
            [
                Query(f"sum(rate(redis_evicted_keys_total{{{INSTANCE}}}[5m]))", "dropped to make room"),
                Query(f"sum(rate(redis_expired_keys_total{{{INSTANCE}}}[5m]))", "expired"),
            ],
            "Keys a second that went, over 5 minutes.",
            OPERATIONS,
            Limits(warning=ctx.limit("RedisEvictionsHigh")),
        ),
    ]


def _keys(ctx: DashboardContext) -> list[Panel]:
    return [
        chart(
            "Hit ratio",
            Query(f"instance:redis_hits:ratio_rate5m{{{INSTANCE}}}", INSTANCE_LEGEND),
            "Share of the look-ups that found a key, over 5 minutes. Of a queue it says nothing.",
            RATIO,
            Limits(warning=ctx.limit("RedisHitRateLow"), falling=True),
        ),
        chart(
            "Look-ups",
            [
                Query(f"sum(rate(redis_keyspace_hits_total{{{INSTANCE}}}[5m]))", "found"),
                Query(f"sum(rate(redis_keyspace_misses_total{{{INSTANCE}}}[5m]))", "not found"),
            ],
            "Look-ups of keys a second, over 5 minutes.",
            OPERATIONS,
            stacked=True,
        ),
        chart(
            "Keys",
            [
                Query(f"sum(redis_db_keys{{{INSTANCE}}})", "all"),
                Query(f"sum(redis_db_keys_expiring{{{INSTANCE}}})", "with an expiry"),
            ],
            "Keys of all databases. Those without an expiry stay until somebody deletes them.",
            SHORT,
        ),
    ]


def _clients() -> list[Panel]:
    return [
        chart(
            "Clients",
            [
                Query(f"sum(redis_connected_clients{{{INSTANCE}}})", "connected"),
                Query(f"sum(redis_blocked_clients{{{INSTANCE}}})", "waiting in a blocking command"),
                Query(f"sum(increase(redis_rejected_connections_total{{{INSTANCE}}}[5m]))", "turned away in 5 minutes"),
            ],
            "Workers of a queue wait in a blocking command by design.",
            SHORT,
        ),
        chart(
            "Errors",
            Query(f"sum by (err) (increase(redis_errors_total{{{INSTANCE}}}[5m]))", "{{err}}"),
            "Errors that commands were answered with in 5 minutes. OOM: full, and it refuses writes.",
            SHORT,
        ),
        chart(
            "Writing to disk",
            [
                Query(f"min(redis_rdb_last_bgsave_status{{{INSTANCE}}})", "snapshot"),
                Query(f"min(redis_aof_last_write_status{{{INSTANCE}}})", "append-only file"),
                Query(f"min(redis_aof_last_bgrewrite_status{{{INSTANCE}}})", "its rewrite"),
            ],
            "1 where the last one went well, 0 where it failed.",
            SHORT,
        ),
    ]

"""Redis: Love Parser's Redis Health (command latency, memory, keys, evictions, hits) and its writing to disk."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import (
    AGO,
    BYTES,
    FI,
    OPERATIONS,
    RATIO,
    SECONDS,
    SHORT,
    Limits,
    Panel,
    Query,
    chart,
    lamp,
    number,
)
from dashboards.shown import Shown

ONE = "{{instance}}"


def redis(shown: Shown) -> Dashboard | None:
    """Make the board of the product's Redis; none where it has none."""
    if "redis" not in shown.data_stores:
        return None
    board = Board(shown, "redis", "Redis", "does Redis keep up, and does the cache help?", instances="redis_up")
    board.row(4, _now(shown))
    board.row(8, _commands(shown))
    board.row(8, _memory(shown))
    board.row(8, _keys(shown))
    board.row(7, _clients())
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    return [
        lamp("Redis up", f"min(redis_up{{{FI}}})", "The exporter reaches Redis."),
        number(
            "Running since",
            f"(time() - min(redis_uptime_in_seconds{{{FI}}})) * 1000",
            "When Redis last started: a deployment, or it was killed.",
            AGO,
        ),
        number(
            "Memory in use",
            f"sum(redis_memory_used_bytes{{{FI}}})",
            "Memory of keys, clients and buffers.",
            BYTES,
        ),
        number("Keys now", f"sum(redis_db_keys{{{FI}}})", "Keys of all databases."),
    ]


def _commands(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Commands",
            Query(f"topk(10, sum by (cmd) (rate(redis_commands_total{{{FI}}}[5m])))", "{{cmd}}"),
            "Commands a second, over 5 minutes; the ten most frequent.",
            OPERATIONS,
        ),
        chart(
            "Command duration",
            Query(f"instance:redis_command_seconds:mean5m{{{FI}}}", ONE),
            "How long Redis was at work for a command, on average over 5 minutes; nobody else is served meanwhile.",
            SECONDS,
            Limits(warning=shown.limit("RedisLatencyHigh")),
        ),
        chart(
            "Slow commands",
            Query(f"increase(redis_slowlog_last_id{{{FI}}}[10m])", "in 10 minutes"),
            "Commands that took longer than slowlog-log-slower-than, which is 10 ms by default.",
            SHORT,
            Limits(warning=shown.limit("RedisSlowCommands")),
        ),
    ]


def _memory(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Memory",
            [
                Query(f"sum(redis_memory_used_bytes{{{FI}}})", "in use"),
                Query(f"sum(redis_memory_used_rss_bytes{{{FI}}})", "taken from the system"),
                Query(f"sum(redis_memory_max_bytes{{{FI}}}) > 0", "maxmemory"),
            ],
            "What the data need, what the process takes for it, and the limit where one is set.",
            BYTES,
        ),
        chart(
            "Share of maxmemory",
            Query(
                f"instance:redis_memory:ratio{{{FI}}} * on (product, environment, job, instance)"
                # Just after a restart there are two of them: each run has an id among its labels.
                " group_left (maxmemory_policy) max by (product, environment, job, instance, maxmemory_policy)"
                f" (redis_instance_info{{{FI}}})",
                "{{maxmemory_policy}}",
            ),
            "A cache (allkeys-…) is meant to be full; with noeviction a full Redis refuses writes.",
            RATIO,
            Limits(warning=shown.limit("RedisMemoryHigh")),
        ),
        chart(
            "Evictions and expiries",
            [
                Query(f"sum(rate(redis_evicted_keys_total{{{FI}}}[5m]))", "dropped to make room"),
                Query(f"sum(rate(redis_expired_keys_total{{{FI}}}[5m]))", "expired"),
            ],
            "Keys a second that went, over 5 minutes.",
            OPERATIONS,
            Limits(warning=shown.limit("RedisEvictionsHigh")),
        ),
    ]


def _keys(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Hit ratio",
            Query(f"instance:redis_hits:ratio_rate5m{{{FI}}}", ONE),
            "Share of the look-ups that found a key, over 5 minutes. Of a queue it says nothing.",
            RATIO,
            Limits(warning=shown.limit("RedisHitRateLow"), falling=True),
        ),
        chart(
            "Look-ups",
            [
                Query(f"sum(rate(redis_keyspace_hits_total{{{FI}}}[5m]))", "found"),
                Query(f"sum(rate(redis_keyspace_misses_total{{{FI}}}[5m]))", "not found"),
            ],
            "Look-ups of keys a second, over 5 minutes.",
            OPERATIONS,
            stacked=True,
        ),
        chart(
            "Keys",
            [
                Query(f"sum(redis_db_keys{{{FI}}})", "all"),
                Query(f"sum(redis_db_keys_expiring{{{FI}}})", "with an expiry"),
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
                Query(f"sum(redis_connected_clients{{{FI}}})", "connected"),
                Query(f"sum(redis_blocked_clients{{{FI}}})", "waiting in a blocking command"),
                Query(f"sum(increase(redis_rejected_connections_total{{{FI}}}[5m]))", "turned away in 5 minutes"),
            ],
            "Workers of a queue wait in a blocking command by design.",
            SHORT,
        ),
        chart(
            "Errors",
            Query(f"sum by (err) (increase(redis_errors_total{{{FI}}}[5m]))", "{{err}}"),
            "Errors that commands were answered with in 5 minutes. OOM: full, and it refuses writes.",
            SHORT,
        ),
        chart(
            "Writing to disk",
            [
                Query(f"min(redis_rdb_last_bgsave_status{{{FI}}})", "snapshot"),
                Query(f"min(redis_aof_last_write_status{{{FI}}})", "append-only file"),
                Query(f"min(redis_aof_last_bgrewrite_status{{{FI}}})", "its rewrite"),
            ],
            "1 where the last one went well, 0 where it failed.",
            SHORT,
        ),
    ]

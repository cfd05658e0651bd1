"""Bull queues: depth, duration, successes and failures, the last completion (love-parser.txt), and payments."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

QUEUE = f'{p.STACK}, queue=~"$queue"'
"""Selector of the board's queries, with the variable `queue`."""

QUEUE_LEGEND = "{{queue}}"


def named(metric: str, selected: str = QUEUE) -> str:
    """Return the selector of one of the product's metrics, with any prefix in its name."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {selected}}}'


def queues(ctx: DashboardContext) -> Dashboard | None:
    """Build the board of the queues; None where the product has none."""
    if "queues" not in ctx.boards:
        return None
    board = Board(ctx, "queues", "Queues (Bull)", "is the work in the background done?")
    board.variable("queue", f"label_values(queue:bull_queue_waiting:max{{{p.STACK}}}, queue)")
    board.row(7, _now(ctx))
    board.row(7, _depth(ctx))
    board.row(7, _outcome(ctx))
    board.row(7, _pace(ctx))
    board.section("Payments")
    board.row(7, _payments(ctx))
    return board.build()


def _now(ctx: DashboardContext) -> list[p.Panel]:
    def by_queue(recorded: str) -> str:
        return f"max by (queue) (queue:{recorded}{{{QUEUE}}})"

    return [
        p.table(
            "Queues",
            {
                "Waiting": by_queue("bull_queue_waiting:max"),
                "Active": by_queue("bull_queue_active:sum"),
                "Delayed": by_queue("bull_queue_delayed:max"),
                "Oldest": by_queue("bull_queue_oldest_waiting_seconds:max"),
                "Failing": by_queue("bull_jobs_failed:ratio_rate5m"),
            },
            "Every queue now: jobs that wait, that are under way and that are put off, how long the first of them has"
            " waited, and the share that fails.",
            {"queue": "Queue"},
            {"Waiting": p.SHORT, "Active": p.SHORT, "Delayed": p.SHORT, "Oldest": p.SECONDS, "Failing": p.RATIO},
            {
                "Waiting": p.Thresholds(warning=ctx.limit("QueueDepthHigh")),
                "Oldest": p.Thresholds(warning=ctx.limit("OldestJobTooOld")),
                "Failing": p.Thresholds(warning=ctx.limit("JobFailureRateHigh")),
            },
        ),
        p.stat(
            "Last completion",
            p.Query(f"max by (queue) ({named('bull_queue_last_completed_timestamp_seconds')}) * 1000", QUEUE_LEGEND),
            "When a job of each queue last succeeded.",
            p.TIME_AGO,
        ),
    ]


def _depth(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Jobs waiting",
            p.Query(f"queue:bull_queue_waiting:max{{{QUEUE}}}", QUEUE_LEGEND),
            "Jobs that nobody has begun yet.",
            p.SHORT,
            p.Thresholds(warning=ctx.limit("QueueDepthHigh")),
        ),
        p.chart(
            "Oldest waiting job",
            p.Query(f"queue:bull_queue_oldest_waiting_seconds:max{{{QUEUE}}}", QUEUE_LEGEND),
            "How long the job at the head of the queue has waited.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("OldestJobTooOld")),
        ),
        p.chart(
            "Jobs delayed",
            p.Query(f"queue:bull_queue_delayed:max{{{QUEUE}}}", QUEUE_LEGEND),
            "Jobs that are planned, or failed and are tried again later.",
            p.SHORT,
            p.Thresholds(warning=ctx.limit("DelayedJobsPilingUp")),
        ),
    ]


def _outcome(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Successes and failures",
            [
                p.Query(f"queue:bull_jobs_completed:rate5m{{{QUEUE}}}", f"{QUEUE_LEGEND} succeed"),
                p.Query(f"queue:bull_jobs_failed:rate5m{{{QUEUE}}}", f"{QUEUE_LEGEND} fail"),
            ],
            "Jobs a second, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Failure rate",
            p.Query(f"queue:bull_jobs_failed:ratio_rate5m{{{QUEUE}}}", QUEUE_LEGEND),
            "Share of the jobs that fail, over 5 minutes.",
            p.RATIO,
            p.Thresholds(warning=ctx.limit("JobFailureRateHigh")),
        ),
        p.chart(
            "Job duration",
            p.Query(f"queue:bull_job_duration_seconds:p95_rate5m{{{QUEUE}}}", QUEUE_LEGEND),
            "95 % of the jobs take less than this, over 5 minutes.",
            p.SECONDS,
            p.Thresholds(warning=ctx.limit("JobsSlow")),
        ),
    ]


def _pace(ctx: DashboardContext) -> list[p.Panel]:
    jobs_by_duration = f"sum by (le) (rate({named('bull_job_duration_seconds_bucket')}[5m]))"
    return [
        p.chart(
            "Jobs active",
            p.Query(f"queue:bull_queue_active:sum{{{QUEUE}}}", QUEUE_LEGEND),
            "Jobs that are under way, in all instances.",
            p.SHORT,
        ),
        p.chart(
            "Workers",
            p.Query(f"queue:bull_queue_workers:sum{{{QUEUE}}}", QUEUE_LEGEND),
            "Workers that take jobs of the queue, in all instances.",
            p.SHORT,
        ),
        p.chart(
            "Jobs by duration",
            p.Query(jobs_by_duration, "up to {{le}} s"),
            "Jobs a second that took no longer than each bound of the histogram, over 5 minutes.",
            p.OPERATIONS,
        ),
    ]


def _payments(ctx: DashboardContext) -> list[p.Panel]:
    return [
        p.chart(
            "Payment callbacks",
            p.Query(f"job:payment_callbacks_received:rate5m{{{p.STACK}}}", "{{job}}"),
            "Callbacks of the payment provider a second, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Payment callbacks failed",
            p.Query(
                f"sum by (reason) (increase({named('payment_callbacks_failed_total', p.STACK)}[15m]))", "{{reason}}"
            ),
            "Callbacks that failed within 15 minutes, by reason; the alert counts all reasons together.",
            p.SHORT,
            p.Thresholds(critical=ctx.limit("PaymentCallbackFailures")),
        ),
        p.chart(
            "Payments",
            [
                p.Query(f"sum(rate({named('payments_succeeded_total', p.STACK)}[5m]))", "succeed"),
                p.Query(f"sum(rate({named('payments_failed_total', p.STACK)}[5m]))", "fail"),
            ],
            "Payments a second, over 5 minutes.",
            p.OPERATIONS,
        ),
    ]

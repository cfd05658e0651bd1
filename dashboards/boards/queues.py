"""Bull queues: depth, duration, successes and failures, the last completion (love-parser.txt), and payments."""

from __future__ import annotations

from dashboards import panels as p
from dashboards.board import Board
from dashboards.context import DashboardContext

QUEUE_LABELS = f'{p.STACK_LABELS}, queue=~"$queue"'
QUEUE = f"{{{QUEUE_LABELS}}}"
"""Selector of the board's queries, with the variable `queue`."""

QUEUE_LEGEND = "{{queue}}"


def named(metric: str, labels: str = QUEUE_LABELS) -> str:
    """Return the selector of one of the product's metrics, with any prefix in its name."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {labels}}}'


def queues(ctx: DashboardContext) -> Board | None:
    """Build the board of the queues; None where the product has none."""
    if "queues" not in ctx.boards:
        return None
    board = Board(ctx, "queues", "Queues (Bull)", "is the work in the background done?")
    board.variable("queue", f"label_values(queue:bull_queue_waiting:max{p.STACK}, queue)")

    def by_queue(recorded: str) -> str:
        return f"max by (queue) (queue:{recorded}{QUEUE})"

    depth_limits, age_limits, failure_limits = (
        ctx.limits(warning=alert) for alert in ("QueueDepthHigh", "OldestJobTooOld", "JobFailureRateHigh")
    )
    board.row(
        7,
        p.table(
            "Queues",
            [
                p.Column("Waiting", by_queue("bull_queue_waiting:max"), thresholds=depth_limits),
                p.Column("Active", by_queue("bull_queue_active:sum")),
                p.Column("Delayed", by_queue("bull_queue_delayed:max")),
                p.Column("Oldest", by_queue("bull_queue_oldest_waiting_seconds:max"), p.SECONDS, age_limits),
                p.Column("Failing", by_queue("bull_jobs_failed:ratio_rate5m"), p.RATIO, failure_limits),
            ],
            "Every queue now: jobs that wait, that are under way and that are put off, how long the first of them has"
            " waited, and the share that fails.",
            {"queue": "Queue"},
        ),
        p.stat(
            "Last completion",
            {QUEUE_LEGEND: f"max by (queue) ({named('bull_queue_last_completed_timestamp_seconds')}) * 1000"},
            "When a job of each queue last succeeded.",
            p.TIME_AGO,
        ),
    )
    _jobs(board, ctx)
    _payments(board, ctx)
    return board


def _jobs(board: Board, ctx: DashboardContext) -> None:
    board.row(
        7,
        p.chart(
            "Jobs waiting",
            {QUEUE_LEGEND: f"queue:bull_queue_waiting:max{QUEUE}"},
            "Jobs that nobody has begun yet.",
            thresholds=ctx.limits(warning="QueueDepthHigh"),
        ),
        p.chart(
            "Oldest waiting job",
            {QUEUE_LEGEND: f"queue:bull_queue_oldest_waiting_seconds:max{QUEUE}"},
            "How long the job at the head of the queue has waited.",
            p.SECONDS,
            ctx.limits(warning="OldestJobTooOld"),
        ),
        p.chart(
            "Jobs delayed",
            {QUEUE_LEGEND: f"queue:bull_queue_delayed:max{QUEUE}"},
            "Jobs that are planned, or failed and are tried again later.",
            thresholds=ctx.limits(warning="DelayedJobsPilingUp"),
        ),
    )
    board.row(
        7,
        p.chart(
            "Successes and failures",
            {
                f"{QUEUE_LEGEND} succeed": f"queue:bull_jobs_completed:rate5m{QUEUE}",
                f"{QUEUE_LEGEND} fail": f"queue:bull_jobs_failed:rate5m{QUEUE}",
            },
            "Jobs a second, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Failure rate",
            {QUEUE_LEGEND: f"queue:bull_jobs_failed:ratio_rate5m{QUEUE}"},
            "Share of the jobs that fail, over 5 minutes.",
            p.RATIO,
            ctx.limits(warning="JobFailureRateHigh"),
        ),
        p.chart(
            "Job duration",
            {QUEUE_LEGEND: f"queue:bull_job_duration_seconds:p95_rate5m{QUEUE}"},
            "95 % of the jobs take less than this, over 5 minutes.",
            p.SECONDS,
            ctx.limits(warning="JobsSlow"),
        ),
    )
    jobs_by_duration = f"sum by (le) (rate({named('bull_job_duration_seconds_bucket')}[5m]))"
    board.row(
        7,
        p.chart(
            "Jobs active",
            {QUEUE_LEGEND: f"queue:bull_queue_active:sum{QUEUE}"},
            "Jobs that are under way, in all instances.",
        ),
        p.chart(
            "Workers",
            {QUEUE_LEGEND: f"queue:bull_queue_workers:sum{QUEUE}"},
            "Workers that take jobs of the queue, in all instances.",
        ),
        p.chart(
            "Jobs by duration",
            {"up to {{le}} s": jobs_by_duration},
            "Jobs a second that took no longer than each bound of the histogram, over 5 minutes.",
            p.OPERATIONS,
        ),
    )


def _payments(board: Board, ctx: DashboardContext) -> None:
    board.section("Payments")
    failed = named("payment_callbacks_failed_total", p.STACK_LABELS)
    board.row(
        7,
        p.chart(
            "Payment callbacks",
            {"{{job}}": f"job:payment_callbacks_received:rate5m{p.STACK}"},
            "Callbacks of the payment provider a second, over 5 minutes.",
            p.OPERATIONS,
        ),
        p.chart(
            "Payment callbacks failed",
            {"{{reason}}": f"sum by (reason) (increase({failed}[15m]))"},
            "Callbacks that failed within 15 minutes, by reason; the alert counts all reasons together.",
            thresholds=ctx.limits(critical="PaymentCallbackFailures"),
        ),
        p.chart(
            "Payments",
            {
                "succeed": f"sum(rate({named('payments_succeeded_total', p.STACK_LABELS)}[5m]))",
                "fail": f"sum(rate({named('payments_failed_total', p.STACK_LABELS)}[5m]))",
            },
            "Payments a second, over 5 minutes.",
            p.OPERATIONS,
        ),
    )

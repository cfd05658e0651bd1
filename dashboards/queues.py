"""Bull queues: depth, duration, successes and failures, the last completion (love-parser.txt), and payments."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.board import Board
from dashboards.panels import AGO, OPERATIONS, RATIO, SECONDS, SHORT, F, Limits, Panel, Query, chart, number, rows_of
from dashboards.shown import Shown

FQ = f'{F}, queue=~"$queue"'
"""What is selected by: the board's variables."""

EACH = "{{queue}}"


def named(metric: str, selected: str = FQ) -> str:
    """Return the selector of one of the product's own metrics, which may have any prefix."""
    return f'{{__name__=~"(.+_)?{metric}", tier="app", {selected}}}'


def queues(shown: Shown) -> Dashboard | None:
    """Make the board of the queues; none where the product has none."""
    if "queues" not in shown.boards:
        return None
    board = Board(shown, "queues", "Queues (Bull)", "is the work in the background done?")
    board.variable("queue", f"label_values(queue:bull_queue_waiting:max{{{F}}}, queue)")
    board.row(7, _now(shown))
    board.row(7, _depth(shown))
    board.row(7, _outcome(shown))
    board.row(7, _pace(shown))
    board.section("Payments")
    board.row(7, _payments(shown))
    return board.build()


def _now(shown: Shown) -> list[Panel]:
    def by_queue(recorded: str) -> str:
        return f"max by (queue) (queue:{recorded}{{{FQ}}})"

    return [
        rows_of(
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
            {"Waiting": SHORT, "Active": SHORT, "Delayed": SHORT, "Oldest": SECONDS, "Failing": RATIO},
            {
                "Waiting": Limits(warning=shown.limit("QueueDepthHigh")),
                "Oldest": Limits(warning=shown.limit("OldestJobTooOld")),
                "Failing": Limits(warning=shown.limit("JobFailureRateHigh")),
            },
        ),
        number(
            "Last completion",
            Query(f"max by (queue) ({named('bull_queue_last_completed_timestamp_seconds')}) * 1000", EACH),
            "When a job of each queue last succeeded.",
            AGO,
        ),
    ]


def _depth(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Jobs waiting",
            Query(f"queue:bull_queue_waiting:max{{{FQ}}}", EACH),
            "Jobs that nobody has begun yet.",
            SHORT,
            Limits(warning=shown.limit("QueueDepthHigh")),
        ),
        chart(
            "Oldest waiting job",
            Query(f"queue:bull_queue_oldest_waiting_seconds:max{{{FQ}}}", EACH),
            "How long the job at the head of the queue has waited.",
            SECONDS,
            Limits(warning=shown.limit("OldestJobTooOld")),
        ),
        chart(
            "Jobs delayed",
            Query(f"queue:bull_queue_delayed:max{{{FQ}}}", EACH),
            "Jobs that are planned, or failed and are tried again later.",
            SHORT,
            Limits(warning=shown.limit("DelayedJobsPilingUp")),
        ),
    ]


def _outcome(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Successes and failures",
            [
                Query(f"queue:bull_jobs_completed:rate5m{{{FQ}}}", f"{EACH} succeed"),
                Query(f"queue:bull_jobs_failed:rate5m{{{FQ}}}", f"{EACH} fail"),
            ],
            "Jobs a second, over 5 minutes.",
            OPERATIONS,
        ),
        chart(
            "Failure rate",
            Query(f"queue:bull_jobs_failed:ratio_rate5m{{{FQ}}}", EACH),
            "Share of the jobs that fail, over 5 minutes.",
            RATIO,
            Limits(warning=shown.limit("JobFailureRateHigh")),
        ),
        chart(
            "Job duration",
            Query(f"queue:bull_job_duration_seconds:p95_rate5m{{{FQ}}}", EACH),
            "95 % of the jobs take less than this, over 5 minutes.",
            SECONDS,
            Limits(warning=shown.limit("JobsSlow")),
        ),
    ]


def _pace(shown: Shown) -> list[Panel]:
    taken = f"sum by (le) (rate({named('bull_job_duration_seconds_bucket')}[5m]))"
    return [
        chart(
            "Jobs active",
            Query(f"queue:bull_queue_active:sum{{{FQ}}}", EACH),
            "Jobs that are under way, in all instances.",
            SHORT,
        ),
        chart(
            "Workers",
            Query(f"queue:bull_queue_workers:sum{{{FQ}}}", EACH),
            "Workers that take jobs of the queue, in all instances.",
            SHORT,
        ),
        chart(
            "Jobs by duration",
            Query(taken, "up to {{le}} s"),
            "Jobs a second that took no longer than each bound of the histogram, over 5 minutes.",
            OPERATIONS,
        ),
    ]


def _payments(shown: Shown) -> list[Panel]:
    return [
        chart(
            "Payment callbacks",
            Query(f"job:payment_callbacks_received:rate5m{{{F}}}", "{{job}}"),
            "Callbacks of the payment provider a second, over 5 minutes.",
            OPERATIONS,
        ),
        chart(
            "Payment callbacks failed",
            Query(f"sum by (reason) (increase({named('payment_callbacks_failed_total', F)}[15m]))", "{{reason}}"),
            "Callbacks that failed within 15 minutes, by reason; the alert counts all reasons together.",
            SHORT,
            Limits(critical=shown.limit("PaymentCallbackFailures")),
        ),
        chart(
            "Payments",
            [
                Query(f"sum(rate({named('payments_succeeded_total', F)}[5m]))", "succeed"),
                Query(f"sum(rate({named('payments_failed_total', F)}[5m]))", "fail"),
            ],
            "Payments a second, over 5 minutes.",
            OPERATIONS,
        ),
    ]

"""Findings and report of `doctor`, printed as tables or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from machine.progress import format_seconds

PASSED, FAILED, UNKNOWN = 0, 1, 2
"""Exit codes."""

Status = Literal["ok", "note", "warning", "failed", "untold"]
"""`warning` does not fail the command; `untold` means that the check could not be completed."""

STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "failed": "bold red", "untold": "magenta"}
ORDER = ("failed", "untold", "warning", "note", "ok")

CIS_STYLES = {**STYLES, "passed": "green", "waived": "yellow"}
CisStatus = Literal["passed", "waived", "failed", "untold", "not applicable", "level 2, not met"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    topic: str
    status: Status
    found: str
    remedy: str = ""
    """What to do about it; every failure has a remedy."""


def graded(topic: str, message: str, remedy: str, *, failed: bool = False, warning: bool = False) -> Finding:
    """Return a finding that failed, warns, or is ok; in the last case nothing has to be done."""
    status: Status = "failed" if failed else "warning" if warning else "ok"
    return Finding(topic, status, message, "" if status == "ok" else remedy)


@dataclass(frozen=True)
class ItemResult:
    """The result of one item of the benchmark."""

    id: str
    title: str
    status: CisStatus
    offenders: dict[str, str] = field(default_factory=dict)
    """Service (or `engine`) → how it violates the item."""

    reason: str = ""
    """Reasons of the waivers that were applied."""

    remedy: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """All findings and the scorecard of one stack."""

    stack: str
    seconds: float
    findings: Sequence[Finding]
    scored: Sequence[ItemResult] = ()
    containers: int = 0

    @property
    def code(self) -> int:
        """The exit code: a failure takes precedence over checks that could not be completed."""
        states = {item.status for item in self.findings} | {item.status for item in self.scored}
        if "failed" in states:
            return FAILED
        return UNKNOWN if "untold" in states else PASSED

    def counted(self, status: str) -> int:
        """Return how many items of the benchmark have a status."""
        return sum(item.status == status for item in self.scored)

    def print(self, console: Console) -> None:
        """Print the report as tables, failures first."""
        table = _table(f"{self.stack}: prerequisites", "", "check", "result", "remedy")
        for finding in sorted(self.findings, key=lambda finding: ORDER.index(finding.status)):
            status = Text(finding.status, STYLES[finding.status])
            # `Text`, so that brackets in a value are not markup.
            table.add_row(status, finding.topic, Text(finding.found), Text(finding.remedy))
        console.print(table)
        if self.scored:
            console.print(self._scorecard())
        console.print(self._summary(), markup=False)

    def _scorecard(self) -> Table:
        title = f"{self.stack}: CIS Docker Benchmark v1.6, {self.containers} running containers"
        table = _table(title, "id", "item", "", "services and reasons")
        for item in self.scored:
            where = "; ".join(
                f"{services}: {reason}" for services, reason in sorted(group_by_reason(item.offenders).items())
            )
            text = "\n".join(part for part in (where, item.reason or item.remedy) if part)
            table.add_row(item.id, item.title, Text(item.status, CIS_STYLES.get(item.status, "dim")), Text(text))
        return table

    def _summary(self) -> str:
        counts = Counter(finding.status for finding in self.findings)
        summary = f"{counts['failed']} failed, {counts['warning']} warnings, {counts['untold']} unknown"
        cis = ", ".join(f"{self.counted(status)} {status}" for status in ("passed", "waived", "failed"))
        return f"{self.stack}: {summary}; CIS: {cis if self.scored else 'not checked'} ({format_seconds(self.seconds)})"

    def as_json(self) -> str:
        """Return the report as JSON."""
        report = {
            "stack": self.stack,
            "seconds": round(self.seconds, 1),
            "findings": [vars(finding) for finding in self.findings],
            "cis": {
                "benchmark": "CIS Docker Benchmark v1.6.0",
                "containers": self.containers,
                **{status: self.counted(status) for status in ("passed", "waived", "failed")},
                "items": [vars(item) for item in self.scored],
            },
            "exit_code": self.code,
        }
        return json.dumps(report, indent=2, ensure_ascii=False)


def group_by_reason(offenders: dict[str, str]) -> dict[str, str]:
    """Group services with the same reason: `a, b` → reason."""
    services: dict[str, list[str]] = {}
    for service, reason in offenders.items():
        services.setdefault(reason, []).append(service)
    return {", ".join(sorted(group)): reason for reason, group in services.items()}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

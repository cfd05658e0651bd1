"""Findings and report of `doctor`, printed as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table

from machine.progress import format_seconds

WELL, FAILED, UNTOLD = 0, 1, 2
"""Exit codes."""

Status = Literal["ok", "note", "warning", "failed", "untold"]
"""`warning` does not fail the command; `untold` means that the check could not be completed."""

STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "failed": "bold red", "untold": "magenta"}
ORDER = ("failed", "untold", "warning", "note", "ok")

CisStatus = Literal["passed", "waived", "failed", "untold", "not applicable", "level 2, not met"]
CIS_STYLES = {"passed": "green", "waived": "yellow", "failed": "bold red", "untold": "magenta"}


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    topic: str
    status: Status
    found: str
    remedy: str = ""
    """What to do about it; every failure has a remedy."""


@dataclass(frozen=True)
class Scored:
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
    scored: Sequence[Scored] = ()
    containers: int = 0

    @property
    def code(self) -> int:
        """The exit code: a failure takes precedence over checks that could not be completed."""
        states = {item.status for item in self.findings} | {item.status for item in self.scored}
        if "failed" in states:
            return FAILED
        return UNTOLD if "untold" in states else WELL

    def counted(self, status: str) -> int:
        """Return how many items of the benchmark have a status."""
        return sum(item.status == status for item in self.scored)

    def print(self, console: Console) -> None:
        """Print the report as tables, failures first."""
        table = Table(title=f"{self.stack}: prerequisites", title_justify="left", title_style="bold")
        for column in ("", "what", "found", "remedy"):
            table.add_column(column, overflow="fold")
        for finding in sorted(self.findings, key=lambda finding: ORDER.index(finding.status)):
            style = STYLES[finding.status]
            table.add_row(
                f"[{style}]{finding.status}[/{style}]", finding.topic, _plain(finding.found), _plain(finding.remedy)
            )
        console.print(table)
        if self.scored:
            console.print(self._scorecard())
        console.print(self._summary(), markup=False)

    def _scorecard(self) -> Table:
        title = f"{self.stack}: CIS Docker Benchmark v1.6, {self.containers} running containers"
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in ("id", "item", "", "where, and why"):
            table.add_column(column, overflow="fold")
        for item in self.scored:
            style = CIS_STYLES.get(item.status, "dim")
            where = "; ".join(f"{service}: {reason}" for service, reason in sorted(together(item.offenders).items()))
            text = "\n".join(part for part in (where, item.reason or item.remedy) if part)
            table.add_row(item.id, item.title, f"[{style}]{item.status}[/{style}]", _plain(text))
        return table

    def _summary(self) -> str:
        counts = {status: sum(finding.status == status for finding in self.findings) for status in ORDER}
        summary = f"{counts['failed']} failed, {counts['warning']} warnings, {counts['untold']} could not be told"
        cis = ", ".join(f"{self.counted(status)} {status}" for status in ("passed", "waived", "failed"))
        return (
            f"{self.stack}: {summary}; CIS: {cis if self.scored else 'not looked at'} ({format_seconds(self.seconds)})"
        )

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


def together(offenders: dict[str, str]) -> dict[str, str]:
    """Group services with the same reason: `a, b` → reason."""
    services: dict[str, list[str]] = {}
    for service, reason in offenders.items():
        services.setdefault(reason, []).append(service)
    return {", ".join(sorted(group)): reason for reason, group in services.items()}


def _plain(text: str) -> str:
    """Escape brackets, which rich would read as markup."""
    return text.replace("[", "\\[")

"""What an examination came to, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table

from toolchain.progress import spell_seconds

WELL, FAILED, UNTOLD = 0, 1, 2
"""Exit codes."""

Status = Literal["ok", "note", "warning", "failed", "untold"]
"""A warning is worth a look and no reason to stop; `untold` is what could not be looked at."""

STYLES = {"ok": "green", "note": "dim", "warning": "yellow", "failed": "bold red", "untold": "magenta"}
ORDER = ("failed", "untold", "warning", "note", "ok")

CisStatus = Literal["passed", "waived", "failed", "untold", "not applicable", "level 2, not met"]
CIS_STYLES = {"passed": "green", "waived": "yellow", "failed": "bold red", "untold": "magenta"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    status: Status
    found: str
    remedy: str = ""
    """What to do; whatever failed has one."""


@dataclass(frozen=True)
class Scored:
    """One item of the benchmark."""

    id: str
    title: str
    status: CisStatus
    offenders: dict[str, str] = field(default_factory=dict)
    """Service (or `engine`) → what it does against the item."""

    reason: str = ""
    """Of the waivers."""

    remedy: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """All of it."""

    stack: str
    seconds: float
    findings: Sequence[Finding]
    scored: Sequence[Scored] = ()
    containers: int = 0

    @property
    def code(self) -> int:
        """The exit code: what failed counts, even where something could not be told."""
        states = {item.status for item in self.findings} | {item.status for item in self.scored}
        if "failed" in states:
            return FAILED
        return UNTOLD if "untold" in states else WELL

    def counted(self, status: str) -> int:
        """Return how many items of the benchmark are so."""
        return sum(item.status == status for item in self.scored)

    def print(self, console: Console) -> None:
        """Print it for a person: what is not well first."""
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
            where = "; ".join(f"{service}: {why}" for service, why in sorted(together(item.offenders).items()))
            text = "\n".join(part for part in (where, item.reason or item.remedy) if part)
            table.add_row(item.id, item.title, f"[{style}]{item.status}[/{style}]", _plain(text))
        return table

    def _summary(self) -> str:
        counts = {status: sum(finding.status == status for finding in self.findings) for status in ORDER}
        summary = f"{counts['failed']} failed, {counts['warning']} warnings, {counts['untold']} could not be told"
        cis = ", ".join(f"{self.counted(status)} {status}" for status in ("passed", "waived", "failed"))
        return (
            f"{self.stack}: {summary}; CIS: {cis if self.scored else 'not looked at'} ({spell_seconds(self.seconds)})"
        )

    def as_json(self) -> str:
        """Return it for a program."""
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
    """Return services that do the same as one: `a, b` → why."""
    services: dict[str, list[str]] = {}
    for service, why in offenders.items():
        services.setdefault(why, []).append(service)
    return {", ".join(sorted(group)): why for why, group in services.items()}


def _plain(text: str) -> str:
    """Keep brackets of a message from being read as rich's markup."""
    return text.replace("[", "\\[")

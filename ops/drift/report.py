"""The report of a comparison, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from machine.progress import format_seconds
from ops.drift.findings import Finding

CLEAN, DRIFTED, UNKNOWN = 0, 1, 2
"""Exit codes."""


@dataclass(frozen=True)
class DriftReport:
    """Findings of one stack, pending changes, and the parts that could not be compared."""

    stack: str
    resources: int
    """Number of resources compared."""

    when: datetime
    seconds: float
    findings: Sequence[Finding] = field(default=())
    pending: Sequence[str] = field(default=())
    """Changes of files, program or secrets that no `up` has deployed yet; they are not drift."""

    unknown: Sequence[str] = field(default=())
    """Parts that could not be compared, with the reasons."""

    @property
    def drifted(self) -> int:
        """Number of resources that are not as declared, including undeclared ones."""
        return len({finding.resource for finding in self.findings})

    @property
    def code(self) -> int:
        """The exit code: findings take precedence over an incomplete comparison."""
        if self.findings:
            return DRIFTED
        return UNKNOWN if self.unknown else CLEAN

    def lines(self) -> Iterator[str]:
        """Yield the report as text, one line per finding."""
        took = format_seconds(self.seconds)
        if self.findings:
            many = "1 resource is" if self.drifted == 1 else f"{self.drifted} resources are"
            yield f"{self.stack}: {many} not as declared ({self.resources} compared in {took})"
        elif not self.unknown:
            yield f"{self.stack}: no drift, {self.resources} resources are as declared ({took})"
        for finding in self.findings:
            difference = f"declared {finding.declared}, found {finding.actual}"
            yield f"  {finding.resource}: {finding.field}: {difference} → {finding.remedy}"
        if self.pending:
            yield f"Changed but not deployed yet, no drift (./dockyard up {self.stack}):"
            yield from (f"  {line}" for line in self.pending)
        if self.unknown:
            yield f"{self.stack}: not compared:"
            yield from (f"  {line}" for reason in self.unknown for line in reason.splitlines())

    def as_json(self) -> str:
        """Return the report as JSON."""
        report = {
            "stack": self.stack,
            "checked": self.when.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "compared": self.resources,
            "drifted": self.drifted,
            "findings": [
                {
                    "resource": finding.resource,
                    "urn": finding.urn,
                    "field": finding.field,
                    "declared": finding.declared,
                    "found": finding.actual,
                    "repair": finding.remedy,
                }
                for finding in self.findings
            ],
            "pending": list(self.pending),
            "untold": list(self.unknown),
            "exit_code": self.code,
        }
        return json.dumps(report, indent=2, ensure_ascii=False)

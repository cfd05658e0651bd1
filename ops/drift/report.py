"""What a comparison came to, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ops.drift.findings import Finding
from toolchain.progress import spell_seconds

CLEAN, DRIFTED, UNKNOWN = 0, 1, 2
"""Exit codes."""


@dataclass(frozen=True)
class DriftReport:
    """What was found of one stack, and what could not be told."""

    stack: str
    resources: int
    """How many were compared."""

    when: datetime
    seconds: float
    findings: Sequence[Finding] = field(default=())
    pending: Sequence[str] = field(default=())
    """What the files, the program or the secrets say by now, and no `up` has brought up: no drift."""

    unknown: Sequence[str] = field(default=())
    """What could not be looked at, and why."""

    @property
    def drifted(self) -> int:
        """How many resources are not as declared, those that nobody declared among them."""
        return len({finding.resource for finding in self.findings})

    @property
    def code(self) -> int:
        """The exit code: what was found counts, even where not everything could be looked at."""
        if self.findings:
            return DRIFTED
        return UNKNOWN if self.unknown else CLEAN

    def lines(self) -> Iterator[str]:
        """Return it for a person: one line a finding."""
        took = spell_seconds(self.seconds)
        if self.findings:
            many = "1 resource is" if self.drifted == 1 else f"{self.drifted} resources are"
            yield f"{self.stack}: {many} not as declared ({self.resources} compared in {took})"
        elif not self.unknown:
            yield f"{self.stack}: no drift, {self.resources} resources are as declared ({took})"
        for finding in self.findings:
            difference = f"declared {finding.declared}, found {finding.actual}"
            yield f"  {finding.resource}: {finding.field}: {difference} → {finding.remedy}"
        if self.pending:
            yield f"Changed and not brought up yet, no drift (./dockyard up {self.stack}):"
            yield from (f"  {line}" for line in self.pending)
        if self.unknown:
            yield f"{self.stack}: could not tell:"
            yield from (f"  {line}" for reason in self.unknown for line in reason.splitlines())

    def as_json(self) -> str:
        """Return it for a program."""
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

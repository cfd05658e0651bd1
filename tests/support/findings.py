"""What the tests of `doctor` share."""

from collections.abc import Iterable

from ops.doctor.findings import Finding


def by_status(findings: Iterable[Finding]) -> dict[str, str]:
    """Return status → text of the findings, after a check that whatever is not well has a remedy."""
    findings = list(findings)
    for finding in findings:
        assert finding.remedy or finding.status in ("ok", "note"), finding
    return {finding.status: finding.found for finding in findings}

"""The policy pack: `pulumi preview --policy-pack policy` refuses resources that violate rules.py."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

# Pulumi runs the pack by its path, not as a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from policy.rules import RULES, Rule
from runtime.pulumi_state import Resource


def known_values(value: Any) -> Any:
    """Return inputs as plain values, without those unknown during a preview, which raise when they are read."""
    if isinstance(value, Mapping):
        return {key: known_values(inner) for key, inner in _known_items(value, list(value))}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [known_values(inner) for _, inner in _known_items(value, range(len(value)))]
    return value


def _known_items(value: Any, keys: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    for key in keys:
        try:
            yield key, value[key]
        except UnknownValueError:
            continue


def policy_of(rule: Rule) -> ResourceValidationPolicy:
    """Wrap a rule as a Pulumi policy; one that the runtime does not guarantee only warns that it is not checked."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type != rule.type:
            return
        resource = Resource(args.resource_type, args.urn, known_values(args.props), protect=args.opts.protect)
        report_violation: Callable[..., None] = report
        for message in rule.violations(resource):
            report_violation(message)

    level = EnforcementLevel.MANDATORY if rule.is_checked() else EnforcementLevel.ADVISORY
    return ResourceValidationPolicy(rule.name, rule.title, validate, enforcement_level=level)


# Serves Pulumi's requests until it disconnects.
PolicyPack("dockyard", policies=[policy_of(rule) for rule in RULES])

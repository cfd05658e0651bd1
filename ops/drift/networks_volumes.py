"""Compares networks and volumes with their declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.drift.expected import Declared, named
from ops.drift.findings import UNSET, Finding, Repair, format_value
from settings.names import DATA, KIND_LABEL

Values = Mapping[str, Any]

DATA_LOST = "restore it from a backup: nothing else brings its data back; `up` makes an empty one"
DATA_KEPT = "--fix leaves it: a new volume would be an empty one"


@dataclass(frozen=True)
class ResourceField:
    """One field of a network or a volume; mappings are compared key by key."""

    name: str
    inputs: tuple[str, ...]
    declared: Callable[[Values], Any]
    actual: Callable[[Values], Any]


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (values or {}).items()}


def _subnets(entries: Any, name: str) -> frozenset[str]:
    return frozenset(entry[name] for entry in entries or () if entry.get(name))


def _declared_subnets(inputs: Values, inspected: Values) -> Any:
    """Return the declared subnets, or the actual ones: the Docker engine chooses where none is declared."""
    return _subnets(inputs.get("ipamConfigs"), "subnet") or _subnets(_ipam(inspected), "Subnet")


def _ipam(inspected: Values) -> Any:
    return (inspected.get("IPAM") or {}).get("Config")


NETWORK: tuple[ResourceField, ...] = (
    ResourceField("driver", ("driver",), lambda i: i.get("driver") or "bridge", lambda f: f["Driver"]),
    ResourceField("internal", ("internal",), lambda i: bool(i.get("internal")), lambda f: bool(f.get("Internal"))),
    ResourceField(
        "attachable", ("attachable",), lambda i: bool(i.get("attachable")), lambda f: bool(f.get("Attachable"))
    ),
    ResourceField("ingress", ("ingress",), lambda i: bool(i.get("ingress")), lambda f: bool(f.get("Ingress"))),
    ResourceField("ipv6", ("ipv6",), lambda i: bool(i.get("ipv6")), lambda f: bool(f.get("EnableIPv6"))),
    ResourceField("labels", ("labels",), lambda i: named(i.get("labels"), "label"), lambda f: f.get("Labels") or {}),
    ResourceField("options", ("options",), lambda i: _texts(i.get("options")), lambda f: _texts(f.get("Options"))),
    ResourceField(
        "ipam.driver",
        ("ipamDriver",),
        lambda i: i.get("ipamDriver") or "default",
        lambda f: (f.get("IPAM") or {}).get("Driver") or "default",
    ),
    ResourceField(
        "ipam.options",
        ("ipamOptions",),
        lambda i: _texts(i.get("ipamOptions")),
        lambda f: _texts((f.get("IPAM") or {}).get("Options")),
    ),
)

VOLUME: tuple[ResourceField, ...] = (
    ResourceField("driver", ("driver",), lambda i: i.get("driver") or "local", lambda f: f["Driver"]),
    ResourceField("labels", ("labels",), lambda i: named(i.get("labels"), "label"), lambda f: f.get("Labels") or {}),
    ResourceField(
        "options", ("driverOpts",), lambda i: _texts(i.get("driverOpts")), lambda f: _texts(f.get("Options"))
    ),
)


def network(
    declared: Declared, networks: Mapping[str, Values], networks_by_name: Mapping[str, Values]
) -> Iterator[Finding]:
    """Compare a network; `networks` are the Docker engine's networks by id, `networks_by_name` the same by name."""
    inspected = networks.get(declared.identity)
    if inspected is None:
        namesake = networks_by_name.get(declared.name)
        # Containers may use a network of the same name that was created by hand; the declared one is still missing.
        message = f"gone; another of its name is there ({namesake['Id'][:12]})" if namesake else "gone"
        yield Finding(declared.label, "network", "there", message, Repair.UPDATE, declared.urn)
    inspected = inspected or networks_by_name.get(declared.name)
    if inspected is None:
        return
    yield from _differences(declared, NETWORK, inspected)
    expected = _declared_subnets(declared.inputs, inspected)
    if expected != (actual := _subnets(_ipam(inspected), "Subnet")):
        yield Finding(
            declared.label, "ipam.subnets", format_value(expected), format_value(actual), Repair.REPLACE, declared.urn
        )


def volume(declared: Declared, volumes: Mapping[str, Values]) -> Iterator[Finding]:
    """Compare a volume; `volumes` are the Docker engine's by name. A data volume is reported but never replaced."""
    data = is_data(declared)
    inspected = volumes.get(declared.identity)
    if inspected is None:
        repair, advice = (Repair.MANUAL, DATA_LOST) if data else (Repair.UPDATE, "")
        yield Finding(declared.label, "volume", "there", "gone", repair, declared.urn, advice)
        return
    yield from _differences(declared, VOLUME, inspected, holds_data=data)


def is_data(declared: Declared) -> bool:
    """Return whether a volume holds data that cannot be regenerated."""
    return declared.labels.get(KIND_LABEL) == DATA


def _differences(
    declared: Declared, fields: tuple[ResourceField, ...], inspected: Values, *, holds_data: bool = False
) -> Iterator[Finding]:
    repair, advice = (Repair.MANUAL, DATA_KEPT) if holds_data else (Repair.REPLACE, "")
    for field in fields:
        expected, actual = field.declared(declared.inputs), field.actual(inspected)
        if isinstance(expected, Mapping):
            for name in sorted({*expected, *actual}):
                if expected.get(name) != actual.get(name):
                    yield Finding(
                        declared.label,
                        f"{field.name}.{name}",
                        format_value(expected[name]) if name in expected else UNSET,
                        format_value(actual[name]) if name in actual else UNSET,
                        repair,
                        declared.urn,
                        advice,
                    )
        elif expected != actual:
            yield Finding(
                declared.label, field.name, format_value(expected), format_value(actual), repair, declared.urn, advice
            )

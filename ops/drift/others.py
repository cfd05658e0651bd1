"""Compares networks and volumes with what was declared of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.drift.declared import Declared, named
from ops.drift.findings import UNSET, Finding, Repair, spelled
from settings.names import DATA, KIND_LABEL

Values = Mapping[str, Any]

LOST = "restore it from a backup: nothing else brings its data back; `up` makes an empty one"
KEPT = "--fix leaves it: a new volume would be an empty one"


@dataclass(frozen=True)
class Field:
    """One field of a network or a volume; maps are compared key by key."""

    name: str
    inputs: tuple[str, ...]
    declared: Callable[[Values], Any]
    found: Callable[[Values], Any]


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (values or {}).items()}


def _subnets(entries: Any, name: str) -> frozenset[str]:
    return frozenset(one[name] for one in entries or () if one.get(name))


def _declared_subnets(inputs: Values, found: Values) -> Any:
    """The engine chooses where nothing is declared."""
    return _subnets(inputs.get("ipamConfigs"), "subnet") or _subnets(_ipam(found), "Subnet")


def _ipam(found: Values) -> Any:
    return (found.get("IPAM") or {}).get("Config")


NETWORK: tuple[Field, ...] = (
    Field("driver", ("driver",), lambda i: i.get("driver") or "bridge", lambda f: f["Driver"]),
    Field("internal", ("internal",), lambda i: bool(i.get("internal")), lambda f: bool(f.get("Internal"))),
    Field("attachable", ("attachable",), lambda i: bool(i.get("attachable")), lambda f: bool(f.get("Attachable"))),
    Field("ingress", ("ingress",), lambda i: bool(i.get("ingress")), lambda f: bool(f.get("Ingress"))),
    Field("ipv6", ("ipv6",), lambda i: bool(i.get("ipv6")), lambda f: bool(f.get("EnableIPv6"))),
    Field("labels", ("labels",), lambda i: named(i.get("labels"), "label"), lambda f: f.get("Labels") or {}),
    Field("options", ("options",), lambda i: _texts(i.get("options")), lambda f: _texts(f.get("Options"))),
    Field(
        "ipam.driver",
        ("ipamDriver",),
        lambda i: i.get("ipamDriver") or "default",
        lambda f: (f.get("IPAM") or {}).get("Driver") or "default",
    ),
    Field(
        "ipam.options",
        ("ipamOptions",),
        lambda i: _texts(i.get("ipamOptions")),
        lambda f: _texts((f.get("IPAM") or {}).get("Options")),
    ),
)

VOLUME: tuple[Field, ...] = (
    Field("driver", ("driver",), lambda i: i.get("driver") or "local", lambda f: f["Driver"]),
    Field("labels", ("labels",), lambda i: named(i.get("labels"), "label"), lambda f: f.get("Labels") or {}),
    Field("options", ("driverOpts",), lambda i: _texts(i.get("driverOpts")), lambda f: _texts(f.get("Options"))),
)


def network(declared: Declared, found: Mapping[str, Values], names: Mapping[str, Values]) -> Iterator[Finding]:
    """Compare a network; `found` are the engine's networks by id, `names` the same by name."""
    real = found.get(declared.identity)
    if real is None:
        told = names.get(declared.name)
        # One of its name that somebody made has its containers; the state's own is gone all the same.
        what = f"gone; another of its name is there ({told['Id'][:12]})" if told else "gone"
        yield Finding(declared.label, "network", "there", what, Repair.UPDATE, declared.urn)
    real = real or names.get(declared.name)
    if real is None:
        return
    yield from _differences(declared, NETWORK, real)
    given = _declared_subnets(declared.inputs, real)
    if given != (there := _subnets(_ipam(real), "Subnet")):
        yield Finding(declared.label, "ipam.subnets", spelled(given), spelled(there), Repair.REPLACE, declared.urn)


def volume(declared: Declared, found: Mapping[str, Values]) -> Iterator[Finding]:
    """Compare a volume; `found` are the engine's volumes by name. What holds data is told, and never made anew."""
    data = is_data(declared)
    real = found.get(declared.identity)
    if real is None:
        repair, advice = (Repair.NOBODY, LOST) if data else (Repair.UPDATE, "")
        yield Finding(declared.label, "volume", "there", "gone", repair, declared.urn, advice)
        return
    yield from _differences(declared, VOLUME, real, kept=data)


def is_data(declared: Declared) -> bool:
    """Tell whether a volume's content cannot be made again."""
    return declared.labels.get(KIND_LABEL) == DATA


def _differences(
    declared: Declared, fields: tuple[Field, ...], real: Values, *, kept: bool = False
) -> Iterator[Finding]:
    repair, advice = (Repair.NOBODY, KEPT) if kept else (Repair.REPLACE, "")
    for field in fields:
        said, found = field.declared(declared.inputs), field.found(real)
        if isinstance(said, Mapping):
            for name in sorted({*said, *found}):
                if said.get(name) != found.get(name):
                    yield Finding(
                        declared.label,
                        f"{field.name}.{name}",
                        spelled(said[name]) if name in said else UNSET,
                        spelled(found[name]) if name in found else UNSET,
                        repair,
                        declared.urn,
                        advice,
                    )
        elif said != found:
            yield Finding(declared.label, field.name, spelled(said), spelled(found), repair, declared.urn, advice)

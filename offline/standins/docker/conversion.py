"""Convert objects between the provider's properties and the Docker API's JSON, as `schema.json` maps them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from offline.standins.docker.api import failed
from offline.standins.docker.durations import format_duration, parse_duration
from offline.standins.docker.schema import Field
from offline.standins.values import Properties

MEGABYTE = 1024 * 1024
NANO = 1_000_000_000


def to_api(fields: Mapping[str, Field], values: Mapping[str, Any]) -> Properties:
    """Return the API object of these properties; leave out what is empty, unless that differs from absent in the API.

    Raises ProviderError for a value that the official plugin rejects only at this point.
    """
    result: Properties = {}
    for name, entry in fields.items():
        if not entry.api or (entry.mount_type and entry.mount_type != values.get("type")):
            continue
        value = values.get(name)
        if entry.type == "string":
            value = value or values.get(entry.fallback) or entry.default
        if value is not None:
            value = _value_to_api(entry, value)
        if value or (entry.pointer and value is not None):
            _put(result, entry.api, value)
    return result


def _value_to_api(entry: Field, value: Any) -> Any:
    if converter := _converter(entry):
        return converter.to_api(value)
    if entry.single:
        return to_api(entry.fields, value)
    if entry.fields:
        return [to_api(entry.fields, item) for item in value]
    return value


def _put(target: Properties, path: str, value: Any) -> None:
    """Set a value in nested objects; join it with an object that is there already."""
    *parents, leaf = path.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
    if isinstance(value, dict):
        value = target.get(leaf, {}) | value
    target[leaf] = value


def from_api(
    fields: Mapping[str, Field], document: Mapping[str, Any], prior: Mapping[str, Any] | None = None
) -> Properties:
    """Return the properties that a read sets. `prior` is the state so far, for what is read only if declared."""
    return {
        name: _value_from_api(entry, _get(document, entry.api))
        for name, entry in fields.items()
        if entry.api and (entry.read == "always" or (entry.read == "declared" and (prior or {}).get(name)))
    }


def _get(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = (document or {}).get(key)
    return document


def _value_from_api(entry: Field, value: Any) -> Any:
    if converter := _converter(entry):
        return converter.from_api(value)
    if entry.single:
        absent = value is None if entry.pointer else not value
        return None if absent else from_api(entry.fields, value)
    if entry.fields:
        return [from_api(entry.fields, item) for item in value or []]
    return value or entry.empty


@dataclass(frozen=True)
class Converter:
    """The two directions of a property whose form differs. `from_api` receives None when the API lacks the value."""

    to_api: Callable[[Any], Any]
    from_api: Callable[[Any], Any]


def _converter(entry: Field) -> Converter | None:
    return CONVERTERS[entry.convert] if entry.convert else CONVERTERS.get(entry.check.get("form", ""))


def label_list(by_name: Mapping[str, str] | None) -> list[Properties]:
    """Return labels as a list, the form in the state."""
    return [{"label": key, "value": value} for key, value in sorted((by_name or {}).items())]


def _parse_cpus(cores: str) -> int:
    try:
        nano = Fraction(cores) * NANO
    except ValueError as error:
        raise failed(f"Error setting cpus: failed to parse {cores} as a rational number") from error
    if nano.denominator != 1:
        raise failed("Error setting cpus: value is too precise")
    return int(nano)


def format_cpus(nano: int) -> str:
    """Format billionths of a core as the official plugin does, including its rounding of some values.

    1 core is `1.0`, half a core `0.5`; 0.05 becomes `0.1`, 10 becomes `10.`: such inputs show a change in every plan,
    as with the official plugin.
    """
    exact = f"{nano // NANO}.{nano % NANO:09d}"
    if exact.count("0") == 9:
        tenths = Fraction(nano * 10, NANO)
        rounded = (2 * tenths.numerator + tenths.denominator) // (2 * tenths.denominator)
        return f"{rounded // 10}.{rounded % 10}"
    return exact.rstrip("0")


def _ratio(share: float) -> str:
    text = repr(float(share))
    return text if "e" not in text else f"{share:f}".rstrip("0")


def _assignments(values: Mapping[str, str] | None) -> list[str]:
    return [f"{key}={value}" for key, value in (values or {}).items()]


def _assigned(texts: list[str] | None) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts or [] if "=" in text)


def _generic_resources(specs: Mapping[str, Any]) -> list[Properties]:
    named = [text.split("=", 1) for text in specs.get("namedResourcesSpecs") or []]
    discrete = [text.split("=", 1) for text in specs.get("discreteResourcesSpecs") or []]
    return [{"NamedResourceSpec": {"Kind": kind, "Value": value}} for kind, value in named] + [
        {"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}} for kind, value in discrete
    ]


def _generic_resource_specs(entries: list[Mapping[str, Any]] | None) -> Properties | None:
    if not entries:
        return None
    return {
        f"{kind}ResourcesSpecs": [f"{spec['Kind']}={spec['Value']}" for entry in entries if (spec := entry.get(key))]
        for kind, key in (("named", "NamedResourceSpec"), ("discrete", "DiscreteResourceSpec"))
    }


def _extra_host(text: str) -> Properties:
    """Split an extra host like the official plugin, which takes the part between the first two colons as address."""
    host, address, *_ = text.split(":")
    return {"host": host, "ip": address}


def _parse_optional(text: str) -> int | None:
    return parse_duration(text) if text else None


CONVERTERS: Mapping[str, Converter] = {
    "assignments": Converter(_assigned, _assignments),
    "cpus": Converter(_parse_cpus, lambda nano: format_cpus(nano) if nano else ""),
    "duration": Converter(_parse_optional, lambda nano: format_duration(nano or 0)),
    "environment": Converter(lambda values: _assignments(dict(sorted(values.items()))), _assigned),
    "extraHosts": Converter(
        lambda hosts: [f"{entry['host']}:{entry['ip']}" for entry in hosts],
        lambda texts: [_extra_host(text) for text in texts or []],
    ),
    "genericResources": Converter(_generic_resources, _generic_resource_specs),
    "hosts": Converter(
        lambda hosts: [f"{entry['ip']} {entry['host']}" for entry in hosts],
        lambda texts: [dict(zip(("ip", "host"), text.split(), strict=False)) for text in texts or []],
    ),
    # Swarm adds the digest to the reference.
    "imageReference": Converter(str, lambda reference: reference.split("@")[0]),
    "labels": Converter(lambda entries: {entry["label"]: entry["value"] for entry in entries}, label_list),
    "megabytes": Converter(lambda size: size * MEGABYTE, lambda size: (size or 0) // MEGABYTE),
    "nested": Converter(lambda items: [items], lambda lists: (lists or [[]])[0]),
    "optionalDuration": Converter(_parse_optional, lambda nano: "" if nano is None else format_duration(nano)),
    "ratio": Converter(float, lambda share: _ratio(share or 0)),
    "spreads": Converter(
        lambda texts: [{"Spread": {"SpreadDescriptor": text}} for text in texts],
        lambda entries: [entry["Spread"]["SpreadDescriptor"] for entry in entries or []],
    ),
    # -1 means unlimited.
    "swap": Converter(
        lambda size: size * MEGABYTE if size > 0 else size,
        lambda size: size // MEGABYTE if size and size > 0 else size or 0,
    ),
}
"""Name in `schema.json` (`convert`, or the form that `check` demands) → converter."""

"""Normalizes values that the Docker engine and the Pulumi state write differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runtime.pulumi_state import Secret

MIB = 1 << 20
NANO = 10**9
DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""Name of an anonymous volume."""

SIGNALS = {"2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM", "28": "WINCH"}


def seconds(text: str | None) -> float:
    """Return a Go duration (`1m30s`) in seconds."""
    return sum(float(amount) * UNITS[unit] for amount, unit in DURATION.findall(text or ""))


def capabilities(names: Iterable[str] | None) -> frozenset[str]:
    """Return capabilities in upper case, without `CAP_`."""
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())


def security(options: Iterable[str] | None) -> frozenset[str]:
    """Return security options: `no-new-privileges` is `no-new-privileges:true`, `=` is `:`.

    Without `systempaths=unconfined`, which the engine shows as paths that are not masked.
    """
    options = [option for option in options or () if option != "systempaths=unconfined"]
    spelled = (option.replace("=", ":", 1) if ":" not in option else option for option in options)
    return frozenset("no-new-privileges:true" if option == "no-new-privileges" else option for option in spelled)


def cpu_set(text: str | None) -> frozenset[int]:
    """Return the numbers of processors: `0-2` is `0,1,2`."""
    numbers: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def cores(nano: int | None, quota: int | None, period: int | None) -> float:
    """Return the limit of cores, given in nano-CPUs or as quota and period; 0 means no limit."""
    if nano:
        return nano / NANO
    return quota / (period or 100_000) if quota and quota > 0 else 0.0


def mebibytes(size: int | None) -> str:
    """Return a size in bytes as text in MiB."""
    return f"{size / MIB:g} MiB" if size and size > 0 else "unlimited"


def restart(policy: str | None, retries: int | None) -> str:
    """Return a restart policy: `unless-stopped`, `on-failure:3`."""
    return f"{policy}:{retries}" if policy == "on-failure" and retries else policy or "no"


def texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Return values as strings, as the Docker engine reports them."""
    return {name: str(value) for name, value in (values or {}).items()}


def ulimits(limits: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return name → soft and hard limit."""
    return {limit["name"]: f"{limit['soft']}:{limit['hard']}" for limit in _lower(limits)}


def rates(devices: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return device → limit of its rate."""
    return {device["path"]: device["rate"] for device in _lower(devices)}


def subnets(configs: Iterable[Mapping[str, Any]] | None) -> frozenset[str]:
    """Return the address ranges of a network."""
    return frozenset(config["subnet"] for config in _lower(configs) if config.get("subnet"))


def _lower(entries: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return entries with lower-case keys: inputs have `path` where inspections have `Path`."""
    return [{key.lower(): value for key, value in entry.items()} for entry in entries or ()]


def signal(name: str | None) -> str:
    """Return a stop signal by its short name: `15`, `SIGTERM` and None become `TERM`."""
    short_name = (name or "TERM").upper().removeprefix("SIG")
    return SIGNALS.get(short_name, short_name)


def declared_ports(ports: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return container port → host addresses and ports, or None where the Docker engine chooses the host port."""
    offers: dict[str, Any] = {}
    for port in ports or ():
        offered = _offered(port.get("ip") or "", port.get("external")) if port.get("external") else None
        offers.setdefault(f"{port['internal']}/{port.get('protocol') or 'tcp'}", set()).add(offered)
    return {port: None if None in offered else frozenset(offered) for port, offered in offers.items()}


def actual_ports(bindings: Mapping[str, Any] | None) -> dict[str, frozenset[str]]:
    """Return container port → host addresses and ports, from an inspection."""
    return {
        port: frozenset(_offered(binding.get("HostIp") or "", binding.get("HostPort")) for binding in offered)
        for port, offered in (bindings or {}).items()
        if offered
    }


def _offered(address: str, port: Any) -> str:
    return f"{'*' if address in ANYWHERE else address}:{port}"


def declared_mounts(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return target → kind, source and access of each declared mount."""
    mounts = {
        entry["target"]: _mount(entry["type"], entry.get("source") or "", read_only=bool(entry.get("readOnly")))
        for entry in inputs.get("mounts") or ()
    }
    for entry in inputs.get("volumes") or ():
        if target := entry.get("containerPath"):
            source = entry.get("hostPath") or entry.get("volumeName") or ""
            kind = "bind" if entry.get("hostPath") else "volume"
            mounts[target] = _mount(kind, source, read_only=bool(entry.get("readOnly")))
    return mounts


def actual_mounts(mounts: Iterable[Mapping[str, Any]] | None, of_image: Iterable[str] | None) -> dict[str, str]:
    """Return target → kind, source and access from an inspection, without the anonymous volumes of the image.

    `of_image` are the targets of those volumes, or None where the image is unknown.
    """
    targets = {}
    for mount in mounts or ():
        kind, target = mount["Type"], mount["Destination"]
        source = {"volume": mount.get("Name"), "bind": mount.get("Source")}.get(kind) or ""
        nameless = kind == "volume" and ANONYMOUS.fullmatch(source)
        if nameless and (of_image is None or target in of_image):
            continue
        targets[target] = _mount(kind, "" if nameless else source, read_only=not mount["RW"])
    return targets


def _mount(kind: str, source: str, *, read_only: bool) -> str:
    return " ".join(filter(None, (kind, source, "read-only" if read_only else "writable")))


def health_check(check: Mapping[str, Any] | None, of_image: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a declared health check; missing values come from the image, else from the Docker engine's defaults."""
    declared = check or {}
    times = {
        "Interval": "interval",
        "Timeout": "timeout",
        "StartPeriod": "startPeriod",
        "StartInterval": "startInterval",
    }
    engine = {
        "Test": declared.get("tests"),
        "Retries": declared.get("retries"),
        **{key: seconds(declared.get(name)) * NANO for key, name in times.items()},
    }
    values = [*(of_image or {}).items(), *engine.items()]
    return actual_health_check({key: value for key, value in values if value})


def actual_health_check(check: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the health check of an inspection, with times in seconds."""
    inspected = check or {}
    if not inspected.get("Test"):
        return {}
    return {
        "test": tuple(inspected["Test"]),
        "interval": (inspected.get("Interval") or 30 * NANO) / NANO,
        "timeout": (inspected.get("Timeout") or 30 * NANO) / NANO,
        "start_period": (inspected.get("StartPeriod") or 0) / NANO,
        "start_interval": (inspected.get("StartInterval") or 0) / NANO,
        "retries": inspected.get("Retries") or 3,
    }


def named(entries: Any, name: str, value: str = "value", default: Any = None) -> dict[str, Any]:
    """Return entries such as `{label, value}` as a mapping."""
    return {entry[name]: entry.get(value, default) for entry in entries or ()}


def variables(entries: Any) -> dict[str, str]:
    """Return `NAME=value` entries as a mapping; values of secret entries stay Secrets."""
    parts = [(entry, *entry.partition("=")) for entry in entries or ()]
    return {str(name): Secret(value) if isinstance(entry, Secret) else value for entry, name, _, value in parts}

"""Values that the engine spells otherwise than the state, brought to one form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MIB = 1 << 20
NANO = 10**9
DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""The name of a volume that nobody named."""

SIGNALS = {"2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM", "28": "WINCH"}


def seconds(text: str | int | None) -> float:
    """Return a duration in seconds: Go's spelling (`1m30s`) as the state has it, or the engine's nanoseconds."""
    if isinstance(text, int):
        return text / NANO
    return sum(float(amount) * UNITS[unit] for amount, unit in DURATION.findall(text or ""))


def capabilities(names: Iterable[str] | None) -> frozenset[str]:
    """Return capabilities as the kernel spells them, without CAP_."""
    return frozenset(name.upper().removeprefix("CAP_") for name in names or ())


def security(options: Iterable[str] | None) -> frozenset[str]:
    """Return security options: `no-new-privileges` is `no-new-privileges:true`, `=` is `:`."""
    said = (option.replace("=", ":", 1) if ":" not in option else option for option in options or ())
    return frozenset("no-new-privileges:true" if option == "no-new-privileges" else option for option in said)


def cpu_set(text: str | None) -> frozenset[int]:
    """Return the numbers of processors: `0-2` is `0,1,2`."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def cores(nano: int | None, quota: int | None, period: int | None) -> float:
    """Return the limit of cores, however it was given; 0 is none."""
    if nano:
        return nano / NANO
    return quota / (period or 100_000) if quota and quota > 0 else 0.0


def mebibytes(size: int | None, *, unlimited: bool = True) -> str:
    """Return bytes as the settings count them."""
    if not size or size < 0:
        return "unlimited" if unlimited else "none"
    return f"{size / MIB:g} MiB"


def signal(name: str | None) -> str:
    """Return a stop signal: `15`, `SIGTERM` and nothing are `TERM`."""
    said = (name or "TERM").upper().removeprefix("SIG")
    return SIGNALS.get(said, said)


def declared_ports(ports: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return port → where the host offers it; None for a port that the engine chooses."""
    found: dict[str, Any] = {}
    for port in ports or ():
        offered = _offered(port.get("ip") or "", port.get("external")) if port.get("external") else None
        found.setdefault(f"{port['internal']}/{port.get('protocol') or 'tcp'}", set()).add(offered)
    return {port: None if None in offered else frozenset(offered) for port, offered in found.items()}


def found_ports(bindings: Mapping[str, Any] | None) -> dict[str, frozenset[str]]:
    """Return port → where the host offers it, of what the engine says."""
    return {
        port: frozenset(_offered(one.get("HostIp") or "", one.get("HostPort")) for one in offered)
        for port, offered in (bindings or {}).items()
        if offered
    }


def _offered(address: str, port: Any) -> str:
    return f"{'*' if address in ANYWHERE else address}:{port}"


def declared_mounts(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return target → what is mounted there and how."""
    found = {
        entry["target"]: _mount(entry["type"], entry.get("source") or "", read_only=bool(entry.get("readOnly")))
        for entry in inputs.get("mounts") or ()
    }
    for entry in inputs.get("volumes") or ():
        if target := entry.get("containerPath"):
            source = entry.get("hostPath") or entry.get("volumeName") or ""
            kind = "bind" if entry.get("hostPath") else "volume"
            found[target] = _mount(kind, source, read_only=bool(entry.get("readOnly")))
    return found


def found_mounts(mounts: Iterable[Mapping[str, Any]] | None, of_image: Iterable[str] | None) -> dict[str, str]:
    """Return the same of what the engine says, without the nameless volumes that an image asks for by itself.

    `of_image` are their targets, None where nobody knows.
    """
    found = {}
    for one in mounts or ():
        kind, target = one["Type"], one["Destination"]
        source = {"volume": one.get("Name"), "bind": one.get("Source")}.get(kind) or ""
        nameless = kind == "volume" and ANONYMOUS.fullmatch(source)
        if nameless and (of_image is None or target in of_image):
            continue
        found[target] = _mount(kind, "" if nameless else source, read_only=not one["RW"])
    return found


def _mount(kind: str, source: str, *, read_only: bool) -> str:
    return " ".join(filter(None, (kind, source, "read-only" if read_only else "writable")))


def health_check(check: Mapping[str, Any] | None, of_image: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a declared health check; what it leaves open is the image's, else the engine's own default."""
    said = check or {}
    engine = {
        "Test": said.get("tests"),
        "Interval": seconds(said.get("interval")) * NANO,
        "Timeout": seconds(said.get("timeout")) * NANO,
        "StartPeriod": seconds(said.get("startPeriod")) * NANO,
        "StartInterval": seconds(said.get("startInterval")) * NANO,
        "Retries": said.get("retries"),
    }
    given = {key: value for key, value in engine.items() if value}
    return found_health_check({**{key: value for key, value in (of_image or {}).items() if value}, **given})


def found_health_check(check: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a health check as the engine says it; times in seconds."""
    said = check or {}
    if not said.get("Test"):
        return {}
    return {
        "test": tuple(said["Test"]),
        "interval": (said.get("Interval") or 30 * NANO) / NANO,
        "timeout": (said.get("Timeout") or 30 * NANO) / NANO,
        "start_period": (said.get("StartPeriod") or 0) / NANO,
        "start_interval": (said.get("StartInterval") or 0) / NANO,
        "retries": said.get("Retries") or 3,
    }

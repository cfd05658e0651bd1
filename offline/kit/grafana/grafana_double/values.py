"""Format a panel's values by unit and value mappings, as far as a table needs them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
SUFFIXES = {"percent": "%", "reqps": " req/s", "ops": " ops/s", "ms": " ms"}


def format_value(value: float | str, defaults: Mapping[str, Any]) -> str:
    """Format a value by the `fieldConfig.defaults` of its panel: first its mappings, then its unit."""
    if isinstance(value, str):
        return value
    if mapped := _mapped(value, defaults.get("mappings") or []):
        return mapped
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}∞"
    unit = str(defaults.get("unit") or "")
    return UNITS[unit](value) if unit in UNITS else _plain(value) + SUFFIXES.get(unit, "")


def _plain(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10000 else f"{value:,.0f}"


def _ratio(value: float) -> str:
    return f"{value * 100:.3g}%"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"


def _bytes(value: float) -> str:
    size = 0
    while abs(value) >= 1024 and size < len(SIZES) - 1:
        value /= 1024
        size += 1
    return f"{value:.3g} {SIZES[size]}"


UNITS = {"percentunit": _ratio, "bytes": _bytes, "s": _seconds}


def _mapped(value: float, mappings: list[Any]) -> str | None:
    for mapping in mappings:
        options = mapping.get("options") or {}
        if mapping.get("type") == "value":
            result = options.get(f"{value:g}")
        elif mapping.get("type") == "range":
            low, high = options.get("from"), options.get("to")
            inside = (low is None or value >= low) and (high is None or value <= high)
            result = options.get("result") if inside else None
        else:
            continue
        if result and result.get("text"):
            return str(result["text"])
    return None

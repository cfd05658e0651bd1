"""Settings with which a stack scrapes, evaluates rules and sends messages every few seconds; all else is as shipped."""

from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.stack import Stack

PACE = {"wait": "1s", "interval": "2s", "repeat": "4h"}

QUICK: Mapping[str, Any] = {
    "dockyard:docker": {"health_interval": "20s", "health_start_interval": "1s"},
    "dockyard:monitoring": {
        "prometheus": {"scrape_interval": "3s", "infrastructure_interval": "10s", "rule_interval": "6s"},
        "probes": {"interval": "5s", "timeout": "5s"},
    },
    "dockyard:alerts": {"critical": PACE, "rest": PACE},
}
"""Two samples, which every rate needs, are there 12 s after a target is up. cAdvisor works hard for each scrape, and
VictoriaLogs for each evaluation of a rule."""


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `more` on top; mappings are merged at every depth."""
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def configure(stack: Stack, *settings: Mapping[str, Any]) -> None:
    """Merge settings into the stack file. Comments of the file are lost."""
    config: Mapping[str, Any] = yaml.safe_load(stack.stack_file.read_text())["config"]
    for more in settings:
        config = merged(config, more)
    stack.stack_file.write_text(yaml.safe_dump({"config": dict(config)}, sort_keys=False))

"""The log pipeline: sizes and times."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from settings.base import Model
from settings.container import Limits
from settings.units import Duration


def _pattern(said: str) -> str:
    try:
        re.compile(said)
    except re.error as error:
        raise ValueError(f"a regular expression ({error})") from error
    return said


class Loki(Model):
    """Loki. Retention and limits: the dating app's."""

    retention: Duration = 30 * 86400
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "512MB"}))


class Collector(Model):
    """What reads the containers' logs. Limits: the dating app's for Promtail."""

    limits: Limits = Field(default_factory=lambda: Limits.model_validate({"memory": "256MB", "cpus": 0.5}))


class Logs(Model):
    """Logs of every container, to be searched in Grafana."""

    enabled: bool = True
    loki: Loki = Loki()
    collector: Collector = Collector()
    redact: list[Annotated[str, AfterValidator(_pattern)]] = []
    """Regular expressions (RE2) of what must not be kept, besides passwords, tokens, cookies and authorization headers,
    which never are: `['\\d{3}-\\d{2}-\\d{4}']`."""

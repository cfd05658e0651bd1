"""The log pipeline: sizes and times."""

from __future__ import annotations

from pydantic import Field

from settings.base import Model
from settings.container import Limits
from settings.units import Duration


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

"""Probes: the addresses that are checked from outside, and how often."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints, model_validator

from settings.base import Model
from settings.units import Duration

Url = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:\d+)?(/[^\s#]*)?$")]
"""An address without a password, since it appears in metrics and alerts."""


class Probes(Model):
    """Probes of health addresses, routes and Grafana's public name at the tunnel, as a visitor would request them.

    The prober's limits are those of the exporter, `exporters.blackbox`.
    """

    enabled: bool = True
    interval: Duration = 30
    timeout: Duration = 10
    """Probe timeout."""

    urls: list[Url] = []
    """Further addresses that must answer 2xx, such as external services that the product depends on."""

    @model_validator(mode="after")
    def _timeout_fits(self) -> Probes:
        if self.timeout > self.interval:
            raise ValueError("a timeout within the interval: Prometheus asks one question at a time")
        return self

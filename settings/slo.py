"""Service level objectives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from settings.base import Model

Percent = Annotated[float, Field(gt=0, lt=100)]


class LatencyObjective(Model):
    """How many of the requests are answered fast."""

    threshold: Annotated[float, Field(gt=0)]
    """Seconds. It must be the bound of a bucket of the service's `…http_request_duration_seconds` histogram: what is
    between two bounds cannot be told."""

    target: Percent = 95
    """Percent of the requests that are answered within it."""

    @property
    def bound(self) -> str:
        """The bucket's label `le`, as Prometheus 3 spells it whatever the service wrote: `0.5`, `1.0`."""
        return str(float(self.threshold))


class Slo(Model):
    """Objectives over 30 days. Alerts tell when the errors that they allow are used up too fast."""

    availability: Percent | None = None
    """Percent of the requests that do not end in a 5xx: 99.9."""

    latency: LatencyObjective | None = None

    @model_validator(mode="after")
    def _any(self) -> Slo:
        if self.availability is None and self.latency is None:
            raise ValueError("availability or latency, or both")
        return self

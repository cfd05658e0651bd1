"""Service level objectives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from settings.base import Model

Percent = Annotated[float, Field(gt=0, lt=100)]


class LatencyObjective(Model):
    """Objective for the share of requests that are answered fast."""

    threshold: Annotated[float, Field(gt=0)]
    """Seconds. It must be a bucket bound of the service's `…http_request_duration_seconds` histogram, which cannot
    resolve values between two bounds."""

    target: Percent = 95
    """Percentage of the requests that must be answered within the threshold."""

    @property
    def bound(self) -> str:
        """The bucket's label `le`, as Prometheus 3 spells it whatever the service wrote: `0.5`, `1.0`."""
        return str(float(self.threshold))


class Slo(Model):
    """Objectives over 30 days. Alerts fire when the error budget is used up too fast."""

    availability: Percent | None = None
    """Percentage of the requests that must not end in a 5xx: 99.9."""

    latency: LatencyObjective | None = None

    @model_validator(mode="after")
    def _any(self) -> Slo:
        if self.availability is None and self.latency is None:
            raise ValueError("availability or latency, or both")
        return self

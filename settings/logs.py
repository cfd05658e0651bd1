"""The log pipeline: sizes and times."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from settings.base import Model, Regex
from settings.container import Limits
from settings.units import Duration, Memory

LogStore = Literal["loki", "victorialogs"]
"""The database that stores log lines and answers queries."""

DAY = 86400


def _at_least_a_day(seconds: int) -> int:
    if seconds < DAY:
        raise ValueError("1d or more: VictoriaLogs keeps and deletes whole days")
    return seconds


class Loki(Model):
    """Loki. Retention and limits are the dating app's."""

    retention: Duration = 30 * DAY
    limits: Limits = Limits.of("512MB")


class VictoriaLogs(Model):
    """VictoriaLogs. Retention and limits are those of Loki, the size on disk is that of Prometheus."""

    retention: Annotated[Duration, AfterValidator(_at_least_a_day)] = 30 * DAY
    retention_size: Memory = 10 * 1024
    """Disk space for log lines. Beyond it the oldest days are deleted, so that logs cannot fill a disk."""

    limits: Limits = Limits.of("512MB")


class Vmalert(Model):
    """vmalert, which evaluates the alert rules on logs where VictoriaLogs stores them."""

    limits: Limits = Limits.of("128MB", cpus=0.5)


class Collector(Model):
    """The collector of the containers' logs. The limits are the dating app's for Promtail."""

    limits: Limits = Limits.of("256MB", cpus=0.5)


class Logs(Model):
    """Logs of all containers, searchable in Grafana."""

    enabled: bool = True
    store: LogStore = "victorialogs"
    """The log store: VictoriaLogs (Apache 2.0, queried in LogsQL), or Loki (AGPL, queried in LogQL): docs/logs.md."""

    loki: Loki = Loki()
    """Used where `store` is `loki`."""

    victorialogs: VictoriaLogs = VictoriaLogs()
    """Used where `store` is `victorialogs`."""

    vmalert: Vmalert = Vmalert()
    collector: Collector = Collector()
    redact: list[Regex] = []
    """Regular expressions (RE2) of text to redact, in addition to passwords, tokens, cookies and authorization headers,
    which are always redacted: `['\\d{3}-\\d{2}-\\d{4}']`."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The images that run: keys of components/images.yaml."""
        stores = {"loki": ("loki",), "victorialogs": ("victorialogs", "vmalert")}
        return (*stores[self.store], "otel-collector")

    def on(self, store: LogStore) -> Logs:
        """Return these settings with another store, which takes over the retention and limits of the configured one."""
        if store == self.store:
            return self
        configured: Loki | VictoriaLogs = self.loki if self.store == "loki" else self.victorialogs
        carried_over = {"retention": max(configured.retention, DAY), "limits": configured.limits}
        return self.model_copy(update={"store": store, store: getattr(self, store).model_copy(update=carried_over)})

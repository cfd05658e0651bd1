"""The definition of a product, the same in every environment: products/<name>.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from settings.alerts import Alerts
from settings.backups import Backups
from settings.base import Model, Name, duplicates
from settings.container import Docker, Port
from settings.edge import Edge
from settings.monitoring import Monitoring
from settings.stores import AnyPostgres, AnyRedis, Postgres, Redis
from settings.workload import Job, Service, Workload

NetworkName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Kpi(Model):
    """A key figure of the product's business, shown on its dashboards."""

    title: Annotated[str, StringConstraints(min_length=1)]
    query: Annotated[str, StringConstraints(min_length=1)]
    """PromQL over the product's metrics."""

    unit: str = "short"
    """A unit of Grafana: `short`, `percentunit`, `s`, `bytes` …"""


class Shared(Model):
    """Sections of the product file, for all environments. A stack file may override them, key by key."""

    publish: dict[Name, Port] = {}
    """Service, store or tool → port on the host's loopback address. All others are not published."""

    networks: dict[NetworkName, list[Name]] = {}
    """Existing network, not created by Dockyard (Tumulte's `dokploy-network`) → services and tools that join it."""

    monitoring: Monitoring = Monitoring()
    alerts: Alerts = Alerts()
    edge: Edge = Edge()
    docker: Docker = Docker()
    backups: Backups = Backups()


SHARED = tuple(Shared.model_fields)


class Product(Shared):
    """A product: its services, its jobs and its data stores."""

    name: Name
    services: dict[Name, Service] = Field(min_length=1)
    jobs: dict[Name, Job] = {}
    postgres: AnyPostgres | None = None
    redis: AnyRedis | None = None
    kpis: list[Kpi] = []

    @model_validator(mode="after")
    def _kpis_by_title(self) -> Product:
        if twice := duplicates(kpi.title for kpi in self.kpis):
            raise ValueError(f"a unique title for each of kpis: {', '.join(twice)} is used twice")
        return self

    @property
    def workloads(self) -> dict[str, Workload]:
        """Services and jobs by name."""
        return {**self.services, **self.jobs}

    @property
    def routed(self) -> bool:
        """Whether the edge proxy has a route to any service or tool, and so needs its HTTP and HTTPS ports."""
        return bool(self.edge.tools) or any(service.routes for service in self.services.values())

    @property
    def dumps_database(self) -> bool:
        """Whether the product's own Postgres is dumped before any of its workloads."""
        before = [job.dumps_before for job in self.jobs.values()]
        before += [service.dump_before for service in self.services.values()]
        return self.own_postgres is not None and any(before)

    @property
    def secrets(self) -> list[str]:
        """Names of the secrets that the product's workloads require, sorted."""
        return sorted({secret for workload in self.workloads.values() for secret in workload.secrets})

    @property
    def optional_secrets(self) -> list[str]:
        """Names of the secrets that no workload requires and some use where they are set, sorted."""
        names = {secret for workload in self.workloads.values() for secret in workload.optional_secrets}
        return sorted(names - set(self.secrets))

    @property
    def own_postgres(self) -> Postgres | None:
        """Postgres, unless it is external or absent."""
        return self.postgres if isinstance(self.postgres, Postgres) else None

    @property
    def own_redis(self) -> Redis | None:
        """Redis, unless it is external or absent."""
        return self.redis if isinstance(self.redis, Redis) else None

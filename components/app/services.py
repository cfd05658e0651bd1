"""AppServices: the product itself. Data stores, jobs and services start in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

import pulumi

from components.app.workloads import Dependency, prepare_workload
from components.common import replica_roles
from components.edge.proxy import EdgeProxy
from components.secret import secret
from components.stores.connection import Connection
from components.stores.dumps import Dumps
from components.stores.external import external_postgres, external_redis
from components.stores.pgbackrest import PointInTimeBackups
from components.stores.postgres import run_postgres
from components.stores.redis import run_redis
from runtime.base import Instance, all_ready
from runtime.context import ScrapeTarget, StackContext
from runtime.spec import ContainerSpec
from settings.backups import PITR_KEY_SECRET
from settings.names import POINT_IN_TIME
from settings.product import Product
from settings.stores import ExternalPostgres, ExternalRedis, Postgres
from settings.workload import Job, Service


class AppServices(pulumi.ComponentResource):
    """Runs a product: its data stores, jobs and services, each once its dependencies are healthy or have exited with 0.

    A new release of a service is created beside the old one and receives its requests once it is healthy; then the old
    one is deleted. No port is published here: that is the task of the edge proxy, which is None where no service has a
    port. With `skip_jobs`, as in a rollback, one-shot jobs are left unchanged, except those of `rerun_jobs`.
    """

    connections: dict[str, Connection]
    containers: dict[str, Instance]
    dumps: Dumps | None
    """Dumps before releases; None where no workload migrates a database of the product's own."""

    secrets: dict[str, pulumi.Output[str]]
    """Secrets of the product's workloads, configured or generated."""

    targets: list[ScrapeTarget]

    def __init__(
        self,
        name: str,
        context: StackContext,
        *,
        product: Product,
        edge: EdgeProxy | None,
        skip_jobs: bool = False,
        rerun_jobs: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("dockyard:app_services:AppServices", name, None, opts)
        self._name, self._context, self._product, self._edge = name, context, product, edge
        self._skipped = {*product.workloads} - {*rerun_jobs} if skip_jobs else set()
        self.containers, self.targets, self.secrets = {}, [], {}
        self.connections = self._data_stores()
        self.secrets |= {key: secret(key, f"{name}-{key}", self) for key in product.secrets}
        config = pulumi.Config("dockyard")
        self.secrets |= {key: value for key in product.optional_secrets if (value := config.get_secret(key))}
        self.dumps = None
        if product.own_postgres and product.dumps_database:
            image = context.image(product.own_postgres.image)
            self.dumps = Dumps(f"{name}-postgres", context, self.connections["postgres"], image, self)
        self._completed: dict[str, Dependency] = {}
        workloads: dict[str, Service | Job] = {**product.jobs, **product.services}
        after = {key: workload.after for key, workload in workloads.items()}
        for key in TopologicalSorter(after).static_order():
            workload = workloads[key]
            if isinstance(workload, Job):
                self._run_job(key, workload)
            else:
                self._run_service(key, workload)
        self.register_outputs({"services": sorted(self.containers)})

    def _data_stores(self) -> dict[str, Connection]:
        product = self._product
        stores: dict[str, Connection] = {}
        if isinstance(product.postgres, ExternalPostgres):
            stores["postgres"] = external_postgres(product.postgres)
        elif product.postgres:
            stores["postgres"] = self._postgres(product.postgres)
        if isinstance(product.redis, ExternalRedis):
            stores["redis"] = external_redis(product.redis)
        elif product.redis:
            stores["redis"] = run_redis(f"{self._name}-redis", self._context, product.redis, self)
        return stores

    def _postgres(self, postgres: Postgres) -> Connection:
        name, settings = f"{self._name}-postgres", self._product.backups
        if postgres.point_in_time is None:
            return run_postgres(name, self._context, postgres, self)
        backups = PointInTimeBackups(name, self._context, postgres, self, s3=settings.s3 if settings.on else None)
        store = run_postgres(name, self._context, postgres, self, backups.archive)
        self.containers[POINT_IN_TIME] = backups.run(store)
        self.secrets[PITR_KEY_SECRET] = backups.key
        return store

    def _run_job(self, name: str, job: Job) -> None:
        spec, options = self._prepare(name, job, dumps=job.dumps_before)
        if job.schedule:
            self.containers[name] = self._context.service(f"{self._name}-{name}", spec, options)
            return
        one_shot = self._context.job(f"{self._name}-{name}", spec, options, skip=name in self._skipped)
        self._completed[name] = one_shot.done

    def _run_service(self, name: str, service: Service) -> None:
        spec, options = self._prepare(name, service, dumps=service.dump_before)
        instances = []
        for role in replica_roles(name, service.replicas):
            container = self._context.service(f"{self._name}-{role}", replace(spec, role=role), options)
            instances.append(container)
            self.containers[role] = container
            if service.metrics:
                address = pulumi.Output.concat(container.address, f":{service.port}")
                self.targets.append(
                    ScrapeTarget(name, address, service.metrics, instance=f"{role}:{service.port}", is_app=True)
                )
        if service.port is not None and self._edge:
            self._completed[name] = self._edge.set_servers(name, [instance.address for instance in instances])
        else:
            self._completed[name] = [instance.resource for instance in instances]

    def _prepare(
        self, name: str, workload: Service | Job, *, dumps: bool
    ) -> tuple[ContainerSpec, pulumi.ResourceOptions]:
        """Write a workload's files; return its spec, and options that wait for files, stores, dumps, other workloads.

        The database is dumped before a new image of a workload that migrates it.
        """
        image = self._context.image(workload.image_name(self._product.name, name))
        spec, ready = prepare_workload(
            name,
            self._context,
            workload=workload,
            image=image,
            resource_name=f"{self._name}-{name}",
            connections=self.connections,
            secrets=self.secrets,
            parent=self,
        )
        if dumps and self.dumps:
            ready.append(self.dumps.before(name, image, skip=name in self._skipped).done)
        ready += [self._completed[dependency] for dependency in workload.after]
        return spec, pulumi.ResourceOptions(parent=self, depends_on=all_ready(*ready))

"""AppServices: the product itself. Data stores, jobs and services start in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

import pulumi

from components.app.workloads import Dependency, WorkloadContext, prepare
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
from settings.workload import Job, Service, Workload


@dataclass(frozen=True)
class AppServicesArgs:
    """Arguments of AppServices."""

    product: Product
    context: StackContext

    edge: EdgeProxy | None
    """The proxy in front of the services; None where no service has a port."""

    skip_jobs: bool = False
    """Leave one-shot jobs unchanged, as in a rollback to an earlier release."""

    rerun_jobs: Sequence[str] = ()
    """Workloads whose one-shot jobs run even with `skip_jobs`."""

    def skips_jobs(self, workload: str) -> bool:
        """Whether the one-shot jobs of a workload are left unchanged."""
        return self.skip_jobs and workload not in self.rerun_jobs


class AppServices(pulumi.ComponentResource):
    """Runs a product: its data stores, jobs and services, each once its dependencies are healthy or have exited with 0.

    A new release of a service is created beside the old one and receives its requests once it is healthy; then the old
    one is deleted. No port is published here: that is the task of the edge proxy.
    """

    connections: dict[str, Connection]
    containers: dict[str, Instance]
    secrets: dict[str, pulumi.Output[str]]
    """Secrets of the product's workloads, configured or generated."""

    targets: list[ScrapeTarget]

    def __init__(self, name: str, args: AppServicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:app_services:AppServices", name, None, opts)
        self._name, self._args = name, args
        product = args.product
        self.containers = {}
        self.targets = []
        self.secrets = {}
        self.connections = self._data_stores()
        self.secrets |= {
            secret_name: secret(secret_name, f"{name}-{secret_name}", self) for secret_name in product.secrets
        }
        stack_config = pulumi.Config("dockyard")
        self.secrets |= {
            secret_name: value
            for secret_name in product.optional_secrets
            if (value := stack_config.get_secret(secret_name))
        }
        self._workload_context = WorkloadContext(
            name, args.context, self, args.context.image("busybox"), self.connections, self.secrets
        )
        self.dumps = self._dumps_volume()
        self._completed: dict[str, Dependency] = {}
        after = {name: job.after for name, job in product.jobs.items()}
        after |= {name: service.after for name, service in product.services.items()}
        for workload_name in TopologicalSorter(after).static_order():
            if workload_name in product.jobs:
                self._run_job(workload_name, product.jobs[workload_name])
            else:
                self._run_service(workload_name, product.services[workload_name])
        self.register_outputs({"services": sorted(self.containers)})

    def _data_stores(self) -> dict[str, Connection]:
        args, product = self._args, self._args.product
        stores: dict[str, Connection] = {}
        if isinstance(product.postgres, ExternalPostgres):
            stores["postgres"] = external_postgres(product.postgres)
        elif product.postgres:
            stores["postgres"] = self._postgres(product.postgres)
        if isinstance(product.redis, ExternalRedis):
            stores["redis"] = external_redis(product.redis)
        elif product.redis:
            stores["redis"] = run_redis(
                f"{self._name}-redis",
                product.redis,
                image=args.context.image(product.redis.image),
                context=args.context,
                parent=self,
            )
        return stores

    def _postgres(self, postgres: Postgres) -> Connection:
        name, context = f"{self._name}-postgres", self._args.context
        image = self._args.context.image(postgres.run_image)
        if postgres.point_in_time is None:
            return run_postgres(name, postgres, image=image, context=context, parent=self)
        settings = self._args.product.backups
        s3 = settings.s3 if settings.on else None
        backups = PointInTimeBackups(name, postgres, image=image, context=context, parent=self, s3=s3)
        store = run_postgres(name, postgres, image=image, context=context, parent=self, archive=backups.archive)
        self.containers[POINT_IN_TIME] = backups.run(store)
        self.secrets[PITR_KEY_SECRET] = backups.key
        return store

    def _dumps_volume(self) -> Dumps | None:
        """Return the store of dumps, None where no workload migrates a database of the product's own."""
        product = self._args.product
        if product.own_postgres is None or not product.dumps_database:
            return None
        image = self._args.context.image(product.own_postgres.image)
        return Dumps(
            f"{self._name}-postgres",
            self.connections["postgres"],
            image=image,
            context=self._args.context,
            parent=self,
        )

    def _run_job(self, name: str, job: Job) -> None:
        prepared = prepare(name, job, self._image(name, job), self._workload_context)
        options = self._options([*prepared.ready, *self._dump(name, job.dumps_before), *self._dependencies(job.after)])
        if job.schedule:
            self.containers[name] = self._run(name, prepared.spec, options)
            return
        skip = self._args.skips_jobs(name)
        job_done = self._args.context.job(f"{self._name}-{name}", prepared.spec, options, skip=skip).done
        self._completed[name] = job_done

    def _run_service(self, name: str, service: Service) -> None:
        prepared = prepare(name, service, self._image(name, service), self._workload_context)
        options = self._options(
            [*prepared.ready, *self._dump(name, service.dump_before), *self._dependencies(service.after)]
        )
        instances = []
        for number in range(1, service.replicas + 1):
            role = name if number == 1 else f"{name}-{number}"
            container = self._run(role, replace(prepared.spec, role=role), options)
            instances.append(container)
            self.containers[role] = container
            if service.metrics:
                address = pulumi.Output.concat(container.address, f":{service.port}")
                self.targets.append(
                    ScrapeTarget(name, address, service.metrics, instance=f"{role}:{service.port}", is_app=True)
                )
        edge = self._args.edge
        if service.port is not None and edge:
            self._completed[name] = edge.set_servers(name, [instance.address for instance in instances])
        else:
            self._completed[name] = [instance.resource for instance in instances]

    def _run(self, role: str, spec: ContainerSpec, options: pulumi.ResourceOptions) -> Instance:
        return self._args.context.service(f"{self._name}-{role}", spec, options)

    def _image(self, name: str, workload: Workload) -> str:
        return self._args.context.image(workload.image_name(self._args.product.name, name))

    def _dump(self, name: str, enabled: bool) -> list[Dependency]:
        """Dump the database before a new image of a workload that migrates it; return the dependency on that dump."""
        if not enabled or self.dumps is None:
            return []
        image = self._image(name, self._args.product.workloads[name])
        return [self.dumps.before(name, image, skip=self._args.skips_jobs(name)).done]

    def _dependencies(self, names: Sequence[str]) -> list[Dependency]:
        return [self._completed[name] for name in names]

    def _options(self, dependencies: Sequence[Dependency]) -> pulumi.ResourceOptions:
        """Return resource options that wait for all dependencies: files, data stores, dumps, other workloads."""
        return pulumi.ResourceOptions(parent=self, depends_on=all_ready(*dependencies))

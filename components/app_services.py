"""AppServices: the product itself. Data stores, then jobs, then services, each after what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import pulumi
import pulumi_docker as docker

from components.config_volume import ConfigVolume
from components.connection import SECRETS_FOLDER, Connection, file_variables
from components.container import run_service
from components.context import ScrapeTarget, StackContext
from components.data_stores import run_postgres, run_redis
from components.health import health_check
from components.job import OneShotJob
from components.secret import secret
from components.spec import Attachment, ContainerSpec, Mount, Publication
from settings.product import Product
from settings.workload import Service, Workload


@dataclass(frozen=True)
class AppServicesConfig:
    """What AppServices is made from."""

    product: Product
    context: StackContext
    image: Callable[[str], str]
    """Image name → the reference to run."""

    port: Callable[[str], int | None]
    """Service or store → its port on the host, None where it is not published."""


class AppServices(pulumi.ComponentResource):
    """Runs a product: its data stores, its one-shot jobs and its services, gated on health and exit codes.

    It makes no proxy and publishes nothing that the stack does not name.
    """

    connections: dict[str, Connection]
    containers: dict[str, docker.Container]
    targets: list[ScrapeTarget]

    def __init__(self, name: str, config: AppServicesConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dockyard:app_services:AppServices", name, None, opts)
        self._name, self._config = name, config
        self.connections = self._data_stores()
        self.containers = {}
        self.targets = []
        self._secrets = {wanted: secret(wanted, f"{name}-{wanted}", self) for wanted in config.product.secrets}
        self._done: dict[str, pulumi.Input[Sequence[pulumi.Resource]]] = {}
        for job in config.product.jobs:
            self._run_job(job)
        order = TopologicalSorter(
            {service: set(found.after) - config.product.jobs.keys() for service, found in self._services.items()}
        )
        for service in order.static_order():
            self._run_service(service, self._services[service])
        self.register_outputs({"services": sorted(self.containers)})

    @property
    def _services(self) -> dict[str, Service]:
        return dict(self._config.product.services)

    def _data_stores(self) -> dict[str, Connection]:
        config, product = self._config, self._config.product
        stores = {}
        if product.postgres:
            stores["postgres"] = run_postgres(
                f"{self._name}-postgres",
                product.postgres,
                image=config.image("postgres"),
                port=config.port("postgres"),
                context=config.context,
                parent=self,
            )
        if product.redis:
            stores["redis"] = run_redis(
                f"{self._name}-redis",
                product.redis,
                image=config.image("redis"),
                port=config.port("redis"),
                context=config.context,
                parent=self,
            )
        return stores

    def _run_job(self, name: str) -> None:
        job = self._config.product.jobs[name]
        spec, ready = self._spec(name, job)
        done = OneShotJob(f"{self._name}-{name}", spec, self._config.context, self._after(ready, job.needs)).done
        self._done[name] = done

    def _run_service(self, name: str, service: Service) -> None:
        spec, ready = self._spec(name, service)
        container = run_service(
            f"{self._name}-{name}",
            spec,
            self._config.context,
            self._after(ready, service.needs, service.after),
        )
        self.containers[name] = container
        self._done[name] = [container]
        if service.metrics:
            self.targets.append(ScrapeTarget(name, f"{name}:{service.port}", service.metrics))

    def _spec(
        self, name: str, workload: Workload
    ) -> tuple[ContainerSpec, list[pulumi.Input[Sequence[pulumi.Resource]]]]:
        """Return the workload's spec, and what must be there before it starts."""
        context = self._config.context
        stores = [self.connections[store] for store in workload.needs]
        files = {wanted: self._secrets[wanted] for wanted in workload.secrets}
        env: dict[str, str] = {}
        for store in stores:
            files.update(store.files)
            env.update(store.env)
        mounts: tuple[Mount, ...] = ()
        ready: list[pulumi.Input[Sequence[pulumi.Resource]]] = []
        if files:
            volume = ConfigVolume(
                f"{self._name}-{name}-secrets",
                files=files,
                owner=workload.user,
                image=self._config.image("busybox"),
                context=context,
                parent=self,
            )
            mounts, ready = (volume.mounted_at(SECRETS_FOLDER),), [volume.ready]
        service = workload if isinstance(workload, Service) else None
        port = self._config.port(name) if service else None
        watched = service is not None and service.metrics is not None
        networks = [Attachment(context.app_network, (name,))]
        if watched:
            networks.append(Attachment(context.monitoring_network, (name,)))
        spec = ContainerSpec(
            role=name,
            image=self._config.image(workload.image_name(self._config.product.name, name)),
            command=tuple(workload.command or ()),
            env={**env, **file_variables(files), **workload.env},
            user=workload.user,
            read_only=workload.read_only,
            limits=workload.limits,
            networks=tuple(networks),
            mounts=mounts,
            tmpfs=("/tmp",) if workload.read_only else (),
            health=health_check(service.health, service.port) if service else None,
            publish=(Publication(service.port, port),) if service and port else (),
        )
        return spec, ready

    def _after(
        self,
        ready: list[pulumi.Input[Sequence[pulumi.Resource]]],
        needs: Sequence[str],
        after: Sequence[str] = (),
    ) -> pulumi.ResourceOptions:
        """Return options that wait for secret files, data stores, and whatever else comes first."""
        gates = [
            *ready,
            *([self.connections[store].ready] for store in needs),
            *(self._done[before] for before in after),
        ]
        return pulumi.ResourceOptions(parent=self, depends_on=all_of(gates))


def all_of(
    gates: Sequence[pulumi.Input[Sequence[pulumi.Resource]]],
) -> pulumi.Output[list[pulumi.Resource]]:
    """Return every resource behind the gates once all of them are open; a failed gate fails it."""
    return pulumi.Output.all(*gates).apply(lambda groups: [one for group in groups for one in group])

"""The seam between components and Docker: the context through which they create containers, volumes and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pulumi

from runtime.base import Files, Instance, Job
from runtime.guarantees import Guarantee
from runtime.labels import stack_labels
from runtime.manifest import StagedFiles
from runtime.spec import Attachment, ContainerSpec, FileSet, Volume
from settings.container import Docker


class Runtime(ABC):
    """Creates networks, instances, jobs, volumes and files. `runtime/docker.py` does so on a single Docker host."""

    guarantees: ClassVar[frozenset[Guarantee]]
    """The protections that it applies to every container that asks for them."""

    @staticmethod
    @abstractmethod
    def network(name: str, labels: Mapping[str, str]) -> pulumi.Output[str]:
        """Create a network; return its name."""

    @abstractmethod
    def service(self, name: str, spec: ContainerSpec, opts: pulumi.ResourceOptions) -> Instance:
        """Run a long-lived container and wait until it is healthy."""

    @abstractmethod
    def job(
        self,
        name: str,
        spec: ContainerSpec,
        opts: pulumi.ResourceOptions,
        files: StagedFiles | None = None,
        *,
        skip: bool = False,
    ) -> Job:
        """Run a container to completion, once for each change of its inputs; with `skip` leave it as it is."""

    @abstractmethod
    def data_volume(self, name: str, parent: pulumi.Resource) -> Volume:
        """Create a volume for content that cannot be recreated: protected outside development."""

    @abstractmethod
    def config_volume(self, name: str, parent: pulumi.Resource | None) -> Volume:
        """Create a volume for files that the program renders."""

    @abstractmethod
    def files(self, name: str, file_set: FileSet, parent: pulumi.Resource) -> Files:
        """Write files for containers to mount."""


@dataclass(frozen=True)
class MetricsFolder:
    """The volume for textfile metrics, see runtime/textfile.py."""

    volume: pulumi.Output[str]
    ready: pulumi.Output[Sequence[pulumi.Resource]]
    """For `depends_on`: resolves once every user may write into it."""


@dataclass(frozen=True)
class StackContext(Runtime):
    """Names, conventions and networks that the components of one stack share, and the runtime that they use."""

    product: str
    environment: str
    docker: Docker
    protects_data: bool
    app_network: pulumi.Output[str]
    """Network of the product's services and data stores."""

    monitoring_network: pulumi.Output[str]
    """Network of the monitoring."""

    image: Callable[[str], str]
    """Image name → the reference to run."""

    metrics: MetricsFolder | None = None
    """Volume in which one-shot jobs report their outcome; None without monitoring."""

    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """External networks, which this stack does not create → the services and tools that join them."""

    manifest: dict[str, Any] = field(default_factory=dict)
    """`script_digest` of each writer → its `StagedFiles.manifest`, for drift. Complete at the end of the program."""

    def external_networks(self, member: str) -> tuple[Attachment, ...]:
        """Return the external networks that a service or tool joins.

        Its alias there begins with the product's name (`tumulte-grafana`): a bare `grafana` may already be in use.
        """
        return tuple(
            Attachment(network, (f"{self.product}-{member}",))
            for network, members in sorted(self.networks.items())
            if member in members
        )

    @property
    def labels(self) -> dict[str, str]:
        """Labels that every container, network and volume of the stack carries."""
        return stack_labels(self.product, self.environment, pulumi.get_stack())


@dataclass(frozen=True)
class ScrapeTarget:
    """An address that Prometheus scrapes."""

    job: str
    address: pulumi.Input[str]
    path: str = "/metrics"
    instance: str | None = None
    """Label `instance` of its series, where the address reveals too much or changes with each release."""

    is_app: bool = False
    """Whether it is a service of the product, scraped at the services' interval."""

    honor_labels: bool = False
    """`honor_labels`: keep the `service` label of textfile metrics instead of the exporter's."""

    prober: str | None = None
    """The exporter that probes the address, which has no metrics itself."""

    params: Mapping[str, str] = field(default_factory=dict)
    """Further parameters for that exporter."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of its series, beside those that every series has."""

    interval: int | None = None
    timeout: int | None = None
    """In seconds, like `interval`. Each is set for all targets of a job, or for none."""

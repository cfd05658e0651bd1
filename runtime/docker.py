"""The runtime of a single Docker host."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from runtime.base import Instance
from runtime.config_files import ConfigVolume
from runtime.container import run_service
from runtime.context import StackContext
from runtime.job import OneShotJob
from runtime.spec import ContainerSpec, FileSet, Volume
from runtime.volume import config_volume, data_volume


class DockerRuntime:
    """Creates containers, volumes and bridge networks on one Docker engine. It implements `runtime.context.Runtime`."""

    def network(self, name: str, labels: Mapping[str, str]) -> pulumi.Output[str]:
        """Create a bridge network; return its name."""
        label_args = [docker.NetworkLabelArgs(label=label, value=value) for label, value in sorted(labels.items())]
        return docker.Network(name, driver="bridge", labels=label_args).name

    def service(self, context: StackContext, name: str, spec: ContainerSpec, opts: pulumi.ResourceOptions) -> Instance:
        """Run a long-lived container: `runtime.container.run_service`."""
        return run_service(name, spec, context, opts)

    def job(
        self,
        context: StackContext,
        name: str,
        spec: ContainerSpec,
        opts: pulumi.ResourceOptions,
        uploads: Mapping[str, pulumi.Input[str]] | None,
        *,
        skip: bool,
    ) -> OneShotJob:
        """Run a container to completion: `runtime.job.OneShotJob`."""
        return OneShotJob(name, spec, context, opts, uploads, skip)

    def data_volume(self, context: StackContext, name: str, parent: pulumi.Resource) -> Volume:
        """Create a protected volume: `runtime.volume.data_volume`."""
        return data_volume(name, context, parent)

    def config_volume(self, context: StackContext, name: str, parent: pulumi.Resource | None) -> Volume:
        """Create a volume for rendered files: `runtime.volume.config_volume`."""
        return config_volume(name, context, parent)

    def files(self, context: StackContext, name: str, file_set: FileSet, parent: pulumi.Resource) -> ConfigVolume:
        """Write files: `runtime.config_files.ConfigVolume`."""
        return ConfigVolume(name, file_set, context, parent)

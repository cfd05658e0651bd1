"""Volumes: those with data are protected, those with rendered files can be recreated."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from runtime.context import StackContext
from runtime.spec import Volume
from settings.names import DATA, KIND_LABEL

CONFIG = "config"


def _labels(context: StackContext, kind: str) -> list[docker.VolumeLabelArgs]:
    labels = {**context.labels, KIND_LABEL: kind}
    return [docker.VolumeLabelArgs(label=name, value=value) for name, value in sorted(labels.items())]


def data_volume(name: str, context: StackContext, parent: pulumi.Resource) -> Volume:
    """Create a volume for content that cannot be recreated.

    No change in the program replaces it, since a replaced volume is empty. Outside development it is protected, and
    stays on the host even when it is removed from the state.
    """
    volume = docker.Volume(
        name,
        labels=_labels(context, DATA),
        opts=pulumi.ResourceOptions(
            parent=parent,
            ignore_changes=["labels", "name", "driver", "driverOpts"],
            protect=context.protects_data,
            retain_on_delete=context.protects_data,
        ),
    )
    return Volume(volume.name)


def config_volume(name: str, context: StackContext, parent: pulumi.Resource | None) -> Volume:
    """Create a volume for files that the program renders."""
    volume = docker.Volume(name, labels=_labels(context, CONFIG), opts=pulumi.ResourceOptions(parent=parent))
    return Volume(volume.name)

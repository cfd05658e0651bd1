"""One-shot jobs: containers that run to their end, and whose failure stops what comes after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_docker as docker

from components.container import common_args
from components.context import StackContext
from components.spec import ContainerSpec

LAST_LINES = 15


class OneShotJob:
    """A container that runs once, for each change of its inputs.

    The provider takes any exit code for success. `done` is what dependents put into `depends_on`: it fails,
    with the job's last log lines, unless the exit code was 0.
    """

    def __init__(
        self,
        name: str,
        spec: ContainerSpec,
        context: StackContext,
        opts: pulumi.ResourceOptions,
        uploads: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> None:
        self.name = name
        self.container = docker.Container(
            name,
            **common_args(spec, context),
            restart="no",
            must_run=False,
            attach=True,
            logs=True,
            uploads=[
                docker.ContainerUploadArgs(file=path, content=content)
                for path, content in sorted((uploads or {}).items())
            ]
            or None,
            opts=opts,
        )
        self.done: pulumi.Output[Sequence[pulumi.Resource]] = pulumi.Output.all(
            self.container.exit_code, self.container.container_logs
        ).apply(self._succeeded)

    def _succeeded(self, results: Sequence[object]) -> Sequence[pulumi.Resource]:
        exit_code, logs = results
        if exit_code:
            shown = "\n".join(f"    {line}" for line in str(logs or "").strip().splitlines()[-LAST_LINES:])
            raise pulumi.RunError(
                f"the job {self.name} ended with exit code {exit_code}; what depends on it was left as it was.\n"
                f"  Its last lines:\n{shown}\n"
                f"  Mend the cause, then run ./dockyard up {pulumi.get_stack()}: it runs failed jobs again."
            )
        return [self.container]

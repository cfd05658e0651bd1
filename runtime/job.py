"""One-shot jobs: containers that run to completion, and whose failure stops their dependents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_docker as docker

from runtime.container import common_args
from runtime.context import StackContext
from runtime.spec import ContainerSpec

LAST_LINES = 15


class OneShotJob:
    """A container that runs once for each change of its inputs.

    The provider treats any exit code as success. Dependents use `done` in `depends_on`: it fails, with the job's last
    log lines, unless the exit code was 0.

    With `skip` the container is left unchanged whatever its spec is, and its exit code is not checked: a rollback must
    not run the migrations of an earlier release.
    """

    def __init__(
        self,
        name: str,
        spec: ContainerSpec,
        context: StackContext,
        opts: pulumi.ResourceOptions,
        uploads: Mapping[str, pulumi.Input[str]] | None = None,
        skip: bool = False,
    ) -> None:
        self.name = name
        inputs = {
            **common_args(spec, context),
            "uploads": [
                docker.ContainerUploadArgs(file=path, content=content)
                for path, content in sorted((uploads or {}).items())
            ]
            or None,
        }
        self.container = docker.Container(
            name,
            **inputs,
            restart="no",
            must_run=False,
            attach=True,
            logs=True,
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(ignore_changes=[_camel(key) for key in inputs] if skip else None)
            ),
        )
        self.done: pulumi.Output[Sequence[pulumi.Resource]] = pulumi.Output.all(
            self.container.exit_code, self.container.container_logs
        ).apply(lambda results: [self.container] if skip else self._succeeded(results))

    def _succeeded(self, results: Sequence[object]) -> Sequence[pulumi.Resource]:
        exit_code, logs = results
        if exit_code:
            tail = "\n".join(f"    {line}" for line in str(logs or "").strip().splitlines()[-LAST_LINES:])
            raise pulumi.RunError(
                f"the job {self.name} ended with exit code {exit_code}; what depends on it was left as it was.\n"
                f"  Its last lines:\n{tail}\n"
                f"  Mend the cause, then run ./dockyard up {pulumi.get_stack()}: it runs failed jobs again."
            )
        return [self.container]


def _camel(name: str) -> str:
    """Return an input's name in Pulumi's spelling: `memory_swap` becomes memorySwap."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)

"""A Docker plugin that makes nothing and says so of everything that it succeeded: for programs beside which no engine
runs, whose containers are not what is tested. `python -m tests.contract.echo` is the plugin process."""

from collections.abc import Sequence

from offline.standins.cloudflare.names import differences
from offline.standins.install import VERSIONS
from offline.standins.launch import launch
from offline.standins.provider import Changes, Checked, Naming, Provider, State, Target, serve
from offline.standins.values import UNKNOWN, Properties, without_secrets


class Echo(Provider):
    """Resources are what their inputs say, with a name and, of one-shot jobs, the exit code 0."""

    package = "docker"
    version = VERSIONS["docker"]

    def announcement(self) -> str:
        return "the Docker plugin is an echo: nothing is made"

    def check_config(self, news: Properties) -> Checked:
        return Checked(news)

    def configure(self, args: Properties) -> None:
        """Take anything."""

    def check(self, target: Target, olds: Properties, news: Properties, naming: Naming) -> Checked:
        return Checked(news)

    def diff(
        self, target: Target, olds: Properties, old_inputs: Properties, news: Properties, ignore: Sequence[str]
    ) -> Changes:
        """Replace whatever changes."""
        names = sorted({path.split(".")[0].split("[")[0] for path in _changed(old_inputs, news)})
        return Changes(diffs=names, replaces=names)

    def create(self, target: Target, inputs: Properties, *, preview: bool, timeout: float) -> State:
        said = without_secrets(inputs)
        made = {"name": UNKNOWN if preview else f"{target.name}-0a1b2c3", "exitCode": 0, "containerLogs": ""}
        return State("" if preview else f"{target.name}-id", made | said)

    def read(self, target: Target, outputs: Properties, inputs: Properties) -> State | None:
        return State(target.identity, outputs, inputs)

    def update(
        self, target: Target, olds: Properties, old_inputs: Properties, news: Properties, *, preview: bool
    ) -> Properties:
        """Never asked: whatever changes is replaced."""
        raise NotImplementedError

    def delete(self, target: Target, outputs: Properties, old_inputs: Properties) -> None:
        """Delete nothing."""


def _changed(old: Properties, new: Properties) -> list[str]:
    return list(differences(without_secrets(old), without_secrets(new), ""))


def main() -> None:
    serve(Echo())


if __name__ == "__main__":
    launch("tests.contract.echo")

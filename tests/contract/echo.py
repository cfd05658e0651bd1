"""A Docker plugin that makes nothing and says so of everything that it succeeded: for programs beside which no engine
runs, whose containers are not what is tested. `python -m tests.contract.echo` is the plugin process."""

from offline.standins.cloudflare.names import differences
from offline.standins.install import VERSIONS
from offline.standins.launch import launch
from offline.standins.provider import Changes, Checked, Kind, Provider, Request, State
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

    def check(self, request: Request) -> Checked:
        return Checked(request.inputs)

    def diff(self, request: Request) -> Changes:
        """Replace whatever changes."""
        changed = differences(without_secrets(request.old_inputs), without_secrets(request.inputs))
        return Changes(dict.fromkeys(changed, Kind.UPDATE_REPLACE))

    def create(self, request: Request) -> State:
        name = UNKNOWN if request.preview else f"{request.name}-0a1b2c3"
        outputs = {"name": name, "exitCode": 0, "containerLogs": ""} | without_secrets(request.inputs)
        return State("" if request.preview else f"{request.name}-id", outputs)

    def read(self, request: Request) -> State | None:
        return State(request.identity, request.state, request.inputs)

    def update(self, request: Request) -> Properties:
        """Never asked: whatever changes is replaced."""
        raise NotImplementedError

    def delete(self, request: Request) -> None:
        """Delete nothing."""


if __name__ == "__main__":
    launch("tests.contract.echo", "Echo")

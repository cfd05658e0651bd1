"""A checkout whose state is kept in S3, for a team: a small program, and what a person does with it."""

import json
import subprocess
from typing import Any

import boto3
from typer.testing import CliRunner, Result

from machine.workdir import WorkDir
from ops import state_commands as verbs
from ops.pulumi_cli import PulumiCli
from ops.state.locks import lock_prefix, wait_for_locks
from ops.state.store import S3Store, store_at
from settings.release import Release
from tests.support.progress import Words
from toolchain.environment import full_environment
from toolchain.stacks import ensure_stack

PROGRAM = """\
import json, pathlib, time
import pulumi
from pulumi.dynamic import Resource, ResourceProvider, CreateResult

here = pathlib.Path(__file__).parent

class Provider(ResourceProvider):
    def create(self, props):
        if props["slow"]:
            pathlib.Path(props["begun"]).touch()
            time.sleep(60)
        return CreateResult("it", {**props, "value": "made once"})

class Thing(Resource):
    def __init__(self, name, **props):
        super().__init__(Provider(), name, {**props, "value": None})

Thing("first", slow=False, begun="")
if (here / "slow").exists():
    Thing("second", slow=True, begun=str(here / "begun"))
pulumi.export("password", pulumi.Output.secret("hush-hush-hush"))
pulumi.export("release", json.loads((here / "release.json").read_text()))
"""
STACK_FILE = "# What differs in dev.\nconfig:\n  dockyard:color: blue\n"
BUCKET = "team-state"


class Team:
    def __init__(self, work: WorkDir, words: Words, endpoint: str, bucket: str) -> None:
        self.work, self.words, self.endpoint, self.bucket = work, words, endpoint, bucket
        self.url = f"s3://{bucket}/dockyard?region=eu-west-3&endpoint={endpoint}&s3ForcePathStyle=true"

    def share(self) -> None:
        """Say in Pulumi.yaml that the state is kept in S3."""
        file = self.work.checkout / "Pulumi.yaml"
        file.write_text(f'name: dockyard\nruntime: python\nbackend:\n  url: "{self.url}"\n')

    def keep_here(self) -> None:
        (self.work.checkout / "Pulumi.yaml").write_text("name: dockyard\nruntime: python\n")

    @property
    def store(self) -> S3Store:
        found = store_at(self.url)
        assert isinstance(found, S3Store)
        return found

    @property
    def engine(self) -> PulumiCli:
        env = full_environment(self.work)
        ensure_stack(self.work, "dev", env)
        return PulumiCli(self.work, "dev", env)

    def release(self, text: str) -> Release:
        return Release(stack={"text": text}, product={}, images={})

    def up(self, text: str = "one") -> dict[str, int]:
        """Bring the stack up with a release; return what changed."""
        (self.work.checkout / "release.json").write_text(json.dumps(self.release(text).model_dump()))
        engine = self.engine
        wait_for_locks(self.work, "dev", self.words.progress)
        code, outcome = engine.change("up", ["--refresh"], self.words.progress)
        assert code == 0, (self.work.logs / "up-dev.log").read_text()
        return dict(outcome.changes)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive"]
        env = full_environment(self.work)
        return subprocess.run(command, cwd=self.work.checkout, env=env, capture_output=True, text=True)

    def verb(self, *arguments: str, said: str = "") -> Result:
        return CliRunner().invoke(verbs.app, arguments, input=said)


def client(aws: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=aws, region_name="eu-west-3", aws_access_key_id="key", aws_secret_access_key="secret"
    )


def lock_of_ann(team: Team) -> str:
    key = f"{lock_prefix('dev')}of-ann.json"
    holder = {"pid": 12, "username": "ann", "hostname": "elsewhere", "timestamp": "2026-01-02T03:04:05.123456789Z"}
    team.store.write(key, json.dumps(holder).encode())
    return key

"""What a dump and a release write down for Prometheus, and the folder that they write it into."""

import io
import os
import subprocess
import tarfile
from collections import Counter

import pytest
import requests
from docker.errors import APIError, NotFound

from components.stores import dumps
from components.stores.connection import Connection
from components.stores.dumps import Dumps
from ops.deploy.history import short_name
from ops.deploy.metrics import archive, exposition, record_deploy
from ops.events import RunOutcome
from settings.release import Release
from tests.support import states
from tests.support.recording import record
from tests.support.shells import shells

STORE = Connection({"DATABASE_HOST": "postgres", "DATABASE_USER": "shop", "DATABASE_NAME": "shop"}, {})


def test_a_database_is_dumped_without_a_folder_for_metrics_too(make_context):
    def program():
        made = Dumps("app-postgres", make_context(), STORE, "postgres:17", parent=None)
        made.before("api", "registry/api:1", skip=False)

    mounts = record(program)["app-postgres-dump-before-api"].inputs["mounts"]
    assert [mount["target"] for mount in mounts] == ["/var/lib/postgresql/data"]


@pytest.mark.parametrize("shell", shells().values(), ids=shells())
class TestDump:
    """The script of a dump, with a pg_dump that does what the test says."""

    @pytest.fixture
    def dump(self, shell, tmp_path):
        for folder in ("data", "metrics", "bin"):
            (tmp_path / folder).mkdir()
        script = dumps._SCRIPT.replace(dumps.METRICS_FOLDER, f"{tmp_path}/metrics")
        script = script.replace(dumps.FOLDER, f"{tmp_path}/data")

        def run(pg_dump, workload="api"):
            program = tmp_path / "bin/pg_dump"
            program.write_text(f"#!/bin/sh\n{pg_dump}\n")
            program.chmod(0o755)
            env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "WORKLOAD": workload, "PGDATABASE": "shop"}
            return subprocess.run([*shell, "-c", script], env=env, capture_output=True, text=True, check=False)

        run.file = tmp_path / "metrics/backup-postgres-before-release.prom"
        run.folder = tmp_path / "metrics"
        return run

    def told(self, dump):
        lines = [line.rsplit(" ", 1) for line in dump.file.read_text().splitlines()]
        assert all(said.endswith('{kind="before-release",store="postgres"}') for said, _ in lines)
        return {said.split("{")[0].removeprefix("dockyard_backup_"): float(value) for said, value in lines}

    GOOD = 'printf 12345 > "$3"'

    def test_a_good_dump_writes_its_time_and_size(self, dump):
        assert dump(self.GOOD).returncode == 0
        told = self.told(dump)
        assert told["success"] == 1
        assert told["size_bytes"] == 5
        assert told["last_attempt_timestamp_seconds"] == told["last_success_timestamp_seconds"] > 1.7e9
        assert 0 <= told["duration_seconds"] < 60

    def test_a_failed_dump_ends_with_its_exit_code_and_keeps_what_is_known_of_the_last_good_one(self, dump):
        assert dump("exit 3").returncode == 3
        assert self.told(dump)["success"] == 0
        assert not {"size_bytes", "last_success_timestamp_seconds"} & self.told(dump).keys()
        dump(self.GOOD)
        good = self.told(dump)
        dump('printf 1 > "$3"; exit 1')
        failed = self.told(dump)
        assert (failed["success"], failed["size_bytes"]) == (0, 5)
        assert failed["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]

    def test_dumps_before_two_workloads_share_one_file_and_leave_no_other(self, dump):
        dump(self.GOOD, "api")
        dump(self.GOOD, "migrate")
        assert [file.name for file in dump.folder.iterdir()] == [dump.file.name]

    def test_metrics_that_cannot_be_written_fail_no_dump(self, dump):
        (in_the_way := dump.file.with_name(f"{dump.file.name}.api")).mkdir()
        done = dump(self.GOOD)
        assert done.returncode == 0
        assert "its metrics could not be written" in done.stderr
        in_the_way.rmdir()
        dump.folder.rmdir()
        assert dump(self.GOOD).returncode == 0


RELEASE = Release(stack={}, product={"name": "shop"}, images={"api": "registry/api:1@sha256:aa"})


def state(*, writer: bool = True):
    outputs = states.stack_outputs(release=RELEASE.model_dump())
    return states.state(outputs, *([states.container("metrics-writer", must_run=False)] if writer else []))


class TestDeploy:
    @pytest.fixture
    def docker(self, docker):
        docker.add_container("metrics-writer", status="exited")
        return docker

    @pytest.fixture
    def tell(self, docker, progress, printed):
        operations = Counter({"create": 3, "create-replacement": 2, "delete-replaced": 2, "delete": 1})

        def run(resources=None, *, succeeded=True):
            outcome = RunOutcome(operations=operations)
            record_deploy(resources or state(), docker, outcome, progress, seconds=12.5, succeeded=succeeded)
            return printed.getvalue()

        return run

    def unpacked(self, docker, folder):
        with tarfile.open(fileobj=io.BytesIO(docker.api.archives["metrics-writer", "/metrics/written"])) as tar:
            assert all(member.uid == 65534 for member in tar)
            tar.extractall(folder, filter="tar")
        return {file.name: file.read_text() for file in folder.glob("*.prom")}

    def test_a_good_deploy_writes_its_changes_and_that_nothing_has_drifted(self, docker, tell, tmp_path):
        assert tell() == ""
        files = self.unpacked(docker, tmp_path)
        assert "dockyard_last_deploy_success 1.0\n" in files["deploy.prom"]
        assert "dockyard_last_deploy_duration_seconds 12.5\n" in files["deploy.prom"]
        for kind, number in {"created": 3, "updated": 0, "deleted": 1, "replaced": 2}.items():
            assert f'dockyard_last_deploy_changes{{kind="{kind}"}} {number}.0\n' in files["deploy.prom"]
        assert "dockyard_drift_resources 0.0\n" in files["standing.prom"]
        assert f'dockyard_release_info{{release="{short_name(RELEASE)}"}} 1.0\n' in files["standing.prom"]
        assert files["deploy.prom"].count("# TYPE dockyard_last_deploy_changes gauge") == 1

    def test_a_failed_deploy_writes_nothing_of_drift_or_release(self, docker, tell, tmp_path):
        tell(succeeded=False)
        files = self.unpacked(docker, tmp_path)
        assert list(files) == ["deploy.prom"]
        assert "dockyard_last_deploy_success 0.0\n" in files["deploy.prom"]

    def test_a_file_that_is_there_is_replaced_whole(self, tmp_path):
        for text in ("one\n", "two\n"):
            with tarfile.open(fileobj=io.BytesIO(archive({"deploy.prom": text}, 0))) as tar:
                # As the engine does: what is in the way goes first.
                for member in tar:
                    (tmp_path / member.name).unlink(missing_ok=True)
                    tar.extract(member, tmp_path, filter="tar")
            assert (tmp_path / "deploy.prom").read_text() == text

    @pytest.mark.parametrize("error", [NotFound("gone"), APIError("no room"), requests.ConnectionError("refused")])
    def test_metrics_that_cannot_be_written_are_a_warning(self, error, docker, tell):
        docker.api.failures["put_archive", "metrics-writer"] = error
        assert "the metrics of this run were not written" in tell()

    def test_a_run_that_made_no_folder_writes_nothing(self, docker, tell):
        assert tell(state(writer=False)) == ""
        assert not docker.api.archives

    def test_a_time_keeps_its_milliseconds(self):
        assert exposition({"t": ("Time.", 1795276308.125)}).endswith("t 1.795276308125e+09\n")


def test_two_releases_that_run_the_same_have_one_name():
    same = RELEASE.model_copy(update={"images": {"api": "mirror/api:latest@sha256:aa"}})
    other = RELEASE.model_copy(update={"images": {"api": "registry/api:1@sha256:bb"}})
    assert short_name(same) == short_name(RELEASE) != short_name(other)
    assert len(short_name(RELEASE)) == 8

"""Drills: the latest backup is restored into a throwaway server, compared, and nothing is left of it."""

import pytest

from tests.backups.backup_stage import BackupStage
from tests.backups.repository import Repository
from tests.support.containers import succeeded
from tests.support.waiting import wait_until


@pytest.fixture
def repository(stage: BackupStage) -> Repository:
    """The product's own repository: a drill only reads it."""
    return stage.shared("postgres")


def test_a_drill_restores_compares_reports_and_leaves_nothing(stage: BackupStage, repository: Repository):
    output = succeeded(repository.drill(DRILL_RTO="600"))
    assert "equal to its source" in output
    assert "within the limit of 600 s" in output
    metrics = repository.drill_metrics()
    assert metrics["drill_success"] == 1
    assert 0 < metrics["drill_duration_seconds"] < metrics["drill_limit_seconds"] == 600
    verified = repository.verified_metrics()["last_verified_restore_timestamp_seconds"]
    assert abs(verified - metrics["drill_last_attempt_timestamp_seconds"]) <= 1
    assert stage.databases() == {"shop"}
    assert stage.remains_of_restores() == ""


@pytest.mark.parametrize("megabytes", [20, pytest.param(1_000, marks=pytest.mark.soak)])
def test_a_drill_of_much_data_restores_every_row(stage: BackupStage, megabytes: int):
    rows = megabytes * 1_000
    stage.sql("create database large", "postgres")
    # Random, so that no program on the way makes it small: 28 UUIDs are 1,008 bytes.
    content = "(select string_agg(gen_random_uuid()::text, '') from generate_series(1, 28) where n = n)"
    stage.sql("create table blocks (id int, content text)", "large")
    stage.sql(f"insert into blocks select n, {content} from generate_series(1, {rows}) n", "large")  # noqa: S608 - numbers
    repository = stage.repository("postgres")
    succeeded(repository.back_up(PGDATABASE="large"))
    assert repository.metrics("scheduled")["size_bytes"] > megabytes * 1_000_000
    output = succeeded(repository.drill(PGDATABASE="large"))
    assert f"equal to its source: 1 tables, {rows} rows" in output
    assert stage.remains_of_restores() == ""


def test_a_drill_reports_a_check_that_is_false_and_a_limit_that_is_exceeded(repository: Repository):
    repository.inside("mkdir -p /tmp/checks; echo 'select count(*) > 9000 from b.child' >/tmp/checks/many.sql")
    before = repository.verified_metrics()
    code, output = repository.drill(CHECKS="/tmp/checks")
    assert code == 1
    assert "the check many answered f" in output
    assert repository.verified_metrics() == before
    code, output = repository.drill(DRILL_RTO="1")
    assert code == 1
    assert "may take 1 s" in output
    assert repository.drill_metrics()["drill_success"] == 1, "it is slow, not bad"


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_drill_that_is_ended_leaves_no_server_behind(stage: BackupStage, repository: Repository, signal: str):
    holder = stage.run["backup-postgres"]
    holder.exec_run(["sh", "-c", "echo $$ >/tmp/drill; exec sh /run/backup/drill-postgres.sh"], detach=True)
    wait_until(lambda: repository.inside("pidof postgres")[0] == 0, "the throwaway server runs")
    repository.inside(f'kill -{signal} -- "-$(cat /tmp/drill)"')
    if signal == "KILL":
        # Nobody is left to clear up; the next drill does.
        succeeded(repository.drill())
    wait_until(lambda: stage.remains_of_restores() == "", "the drill has cleared up", details=stage.remains_of_restores)

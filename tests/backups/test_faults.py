"""Faults of data: what was good stays succeeded, and nothing that is not good is reported as good."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.backups.backup_stage import BackupStage
from tests.backups.repository import Repository
from tests.backups.s3 import s3_proxy
from tests.support.containers import succeeded
from tests.support.ports import free_port

BACKUP = "sh /run/backup/backup-postgres.sh"
KILL_REST = "pkill -KILL '^(restic|pg_dump|psql|pg_restore)$'"  # what a killed backup has started goes on for a moment

OTHER_KEY = {"RESTIC_PASSWORD_FILE": "/tmp/other"}


@pytest.fixture
def repository(stage: BackupStage) -> Repository:
    """A copy of Postgres' repository, with one good backup and no copy in S3."""
    return stage.repository("postgres")


@contextmanager
def further_rows(stage: BackupStage, rows: int = 100) -> Iterator[None]:
    stage.sql(f"create table noise as select gen_random_uuid() as id from generate_series(1, {rows})")  # noqa: S608 - a number
    try:
        yield
    finally:
        stage.sql("drop table noise")


def test_a_dump_that_fails_leaves_the_backup_before(repository: Repository):
    before, ids = repository.metrics("scheduled"), repository.ids("postgres")
    assert repository.back_up(PGDATABASE="nowhere")[0] != 0
    after = repository.metrics("scheduled")
    assert after["success"] == 0
    for name in ("last_success_timestamp_seconds", "size_bytes"):
        assert after[name] == before[name]
    assert repository.ids("postgres") == ids


def test_a_backup_killed_while_it_waits_does_not_block_the_next(stage: BackupStage, repository: Repository):
    ids = repository.ids("postgres")
    # It cannot end: the table is locked against reading.
    code, output = repository.inside(
        "psql -Xqc 'begin; lock table b.child; select pg_sleep(60)' & sleep 1;"
        f" timeout -s KILL 2 {BACKUP}; code=$?; {KILL_REST}; exit $code"
    )
    assert code == 137, output
    assert repository.ids("postgres") == ids
    stage.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'shop'"
    )
    succeeded(repository.back_up())


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.soak)])
def test_a_backup_killed_at_any_moment_leaves_a_good_one(stage: BackupStage, repository: Repository, kills: int):
    began = time.monotonic()
    succeeded(repository.back_up())
    whole = time.monotonic() - began
    chance = random.Random()  # noqa: S311 - no secret
    with further_rows(stage):
        for kill in range(kills):
            stage.sql("insert into noise select gen_random_uuid() from generate_series(1, 100)")
            seconds = whole * (kill + chance.uniform(0.05, 0.95)) / kills
            _, output = repository.inside(f"timeout -s KILL {seconds:.2f} {BACKUP}")
            repository.inside(KILL_REST)
            # a backup that was killed when it was succeeded, before older ones went, leaves two.
            both = repository.runs("postgres") & repository.runs("manifest")
            assert both, f"killed after {seconds:.2f} s: {output}"
        succeeded(repository.restore("survivor"))
        succeeded(repository.back_up())
        assert "no errors were found" in repository.restic("check --read-data")
        succeeded(repository.restore("after"))
        assert stage.all_rows("after") == stage.all_rows("shop")


def test_two_backups_at_once_take_turns(repository: Repository):
    output = succeeded(repository.inside(f"{BACKUP} & {BACKUP}; code=$?; wait $! && exit $code"))
    assert "waits for the backup" in output
    assert output.count("event=good") == 2


def test_a_wrong_key_changes_no_repository_and_restores_nothing(stage: BackupStage, repository: Repository):
    ids = repository.ids("postgres")
    repository.inside("echo other >/tmp/other")
    code, output = repository.back_up(**OTHER_KEY)
    assert code != 0
    assert "wrong password" in output
    assert repository.metrics("scheduled")["success"] == 0
    assert repository.ids("postgres") == ids
    code, output = repository.restore("x", **OTHER_KEY)
    assert code == 1
    assert "wrong password" in output
    assert stage.databases() == {"shop"}


def test_a_backup_on_a_full_disk_fails_and_the_one_before_is_restored(stage: BackupStage):
    small = Repository(stage, "postgres", "/tmp/small")  # in the container's memory, of which there are 64 MB
    small.inside("rm -rf /tmp/small; cp -r /backups/postgres /tmp/small")
    ids = small.ids("postgres")
    with further_rows(stage, 50_000):
        small.inside("cat /dev/zero >/tmp/filler; truncate -s -300K /tmp/filler")
        try:
            code, output = small.inside(f"timeout 120 {BACKUP}")
            assert code != 0
            assert "no space left" in output.lower()
            assert small.metrics("scheduled")["success"] == 0
            small.inside("cat /dev/zero >>/tmp/filler")
            output = succeeded(small.restore("tight"))
            assert "equal to its source" in output
        finally:
            small.inside("rm /tmp/filler")
        assert small.ids("postgres") == ids
        succeeded(small.back_up())
    small.inside("rm -rf /tmp/small")


def test_a_damaged_pack_is_found_by_restore_and_drill(stage: BackupStage, repository: Repository):
    damage = (
        f"set -e; cd {repository.folder}/data; pack=$(ls -S */* | head -n 1); chmod u+w $pack;"
        "printf damaged | dd of=$pack bs=1 seek=$(($(wc -c <$pack) / 2)) conv=notrunc status=none"
    )
    succeeded(repository.inside(damage))
    before = repository.verified_metrics()
    code, output = repository.restore("bad")
    assert code == 1
    assert "cannot be read whole" in output
    assert repository.drill()[0] == 1
    assert repository.drill_metrics()["drill_success"] == 0
    assert repository.verified_metrics() == before
    # Where the next backup needs the damaged file it fails; where it does not, it is as good as it reports.
    code, output = repository.back_up()
    assert repository.metrics("scheduled")["success"] == (code == 0)
    assert (repository.restore("again")[0] == 0) == (code == 0), output
    assert stage.databases() - {"again"} == {"shop"}
    assert stage.remains_of_restores() == ""


def test_a_restore_that_differs_from_its_manifest_is_dropped(stage: BackupStage, repository: Repository):
    change = (
        'set -e; cd /tmp; restic() { /tools/restic --no-cache --quiet "$@"; };'
        'run=$(restic snapshots --json --tag manifest | sed \'s/.*"\\(at:[^"]*\\)".*/\\1/\');'
        "restic dump --tag manifest latest /manifest.tsv | sed 's/2000/2001/' >wrong; restic forget --tag manifest"
        " --group-by '' --unsafe-allow-remove-all;"
        ' restic backup --stdin --stdin-filename manifest.tsv --tag manifest --tag "$run" <wrong'
    )
    succeeded(repository.inside(change))
    code, output = repository.restore("less")
    assert code == 1
    assert "what was restored is not what was backed up" in output
    assert 'backup:   table\tOdd Schema.Tab"le\t2001' in output
    assert stage.databases() == {"shop"}


def test_an_s3_that_refuses_every_second_request_gets_a_whole_copy(stage: BackupStage):
    repository = stage.repository("postgres", s3=True)
    with further_rows(stage, 5_000), s3_proxy(stage.s3.port) as proxy:
        there = repository.s3_address(proxy.server_port)
        succeeded(repository.back_up(BACKUP_S3_REPOSITORY=there, BACKUP_S3_PAUSE="0"))
        assert repository.metrics("offsite")["success"] == 1
        assert proxy.refused > 10, "S3 was in no trouble"
        succeeded(repository.restore("from_s3", "--from s3"))
        assert stage.all_rows("from_s3") == stage.all_rows("shop")


def test_a_backup_without_s3_is_good_here_and_reported_as_missing_there(stage: BackupStage):
    repository = stage.repository("postgres", s3=True)
    port = free_port()
    there = repository.s3_address(port)
    before = repository.metrics("offsite")
    gone = {"BACKUP_S3_PATIENCE": "2", "BACKUP_S3_PAUSE": "0"}
    code, output = repository.back_up(BACKUP_S3_REPOSITORY=there, **gone)
    assert code != 0, output
    assert repository.metrics("scheduled")["success"] == 1
    metrics = repository.metrics("offsite")
    assert metrics["success"] == 0
    assert metrics["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    with s3_proxy(stage.s3.port, port, share=0):
        code, output = repository.back_up(BACKUP_S3_REPOSITORY=there)
    assert code == 0, output
    assert repository.metrics("offsite")["success"] == 1
    assert {copy.get("original") for copy in repository.snapshots("postgres", s3=True)} == {
        snapshot.get("original", snapshot["id"]) for snapshot in repository.snapshots("postgres")
    }


def test_a_backup_without_redis_fails_and_the_one_before_stays(stage: BackupStage):
    repository = stage.repository("redis")
    ids = repository.ids("redis")
    assert repository.back_up(REDIS_PORT="1")[0] != 0
    assert repository.metrics("scheduled")["success"] == 0
    assert repository.ids("redis") == ids


def test_a_backup_of_grafana_is_made_where_prometheus_is_out_of_reach(stage: BackupStage):
    repository = stage.repository("monitoring")
    code, output = repository.back_up(PROMETHEUS_URL="http://127.0.0.1:1")
    assert code != 0
    assert "store=grafana event=good" in output.replace('"', "")
    assert repository.metrics("scheduled", "grafana")["success"] == 1
    assert repository.metrics("scheduled", "prometheus")["success"] == 0

"""Backups of real stores: whole, encrypted, copied to S3, thinned, and never told as good where they are not."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from tests.images.backup_stage import BUCKET, IMAGES, BackupStage, running_backups
from tests.images.helpers import kit_images

S3 = "-r $BACKUP_S3_REPOSITORY"


@pytest.fixture(scope="module")
def stage(
    engine: docker.DockerClient, docker_host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackupStage]:
    with (
        kit_images(tmp_path_factory.mktemp("backups"), docker_host, IMAGES) as images,
        running_backups(engine, images) as made,
    ):
        made.sql("create table orders (id int primary key, note text)")
        made.sql("insert into orders select n, md5(n::text) from generate_series(1, 20000) n")
        made.sql("create table empty (it timestamptz)")
        yield made


class TestPostgres:
    def test_one_is_made_read_back_and_copied_to_s3(self, stage: BackupStage):
        expected = stage.metrics("postgres", "scheduled")
        assert set(expected) == {"expected_timestamp_seconds"}, "what is expected is told before the first one"
        code, said = stage.back_up("postgres")
        assert code == 0, said
        (dump,) = stage.snapshots("postgres", "postgres")
        (manifest,) = stage.snapshots("postgres", "manifest")
        assert f"of:{dump['id']}" in manifest["tags"]
        assert dump["time"][:19] == manifest["time"][:19]
        lines = stage.restic("postgres", f"dump {manifest['id']} /manifest.tsv").splitlines()
        tables = {line.split("\t")[1]: line.split("\t")[2:] for line in lines if line.startswith("table\t")}
        assert tables["public.orders"][0] == "20000"
        assert tables["public.empty"] == ["0", "0"]
        there = stage.snapshots("postgres", "postgres,manifest", S3) + stage.snapshots("postgres", "postgres", S3)
        assert {one.get("original") for one in there} >= {dump.get("original", dump["id"])}
        told = stage.metrics("postgres", "scheduled")
        assert told["success"] == 1
        assert told["size_bytes"] > 20000 * 32
        assert told["expected_timestamp_seconds"] == expected["expected_timestamp_seconds"]
        assert stage.metrics("postgres", "offsite")["success"] == 1

    def test_what_lies_in_s3_is_encrypted(self, stage: BackupStage):
        stage.sql("insert into orders values (0, 'a sentence that nobody else may read')")
        code, said = stage.back_up("postgres")
        assert code == 0, said
        objects = stage.s3().list_objects_v2(Bucket=BUCKET)["Contents"]
        assert any(one["Key"].startswith(f"shop/{stage.mark}/postgres/data/") for one in objects)
        for one in objects:
            content = stage.s3().get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
            assert b"a sentence that nobody" not in content
            assert b"PGDMP" not in content

    def test_only_what_is_to_be_kept_is_left_here_and_there(self, stage: BackupStage):
        code, said = stage.back_up("postgres")
        assert code == 0, said
        for where in ("", S3):
            assert len(stage.snapshots("postgres", "postgres", where)) == 1, where
            assert len(stage.snapshots("postgres", "manifest", where)) == 1, where
        assert stage.snapshots("postgres", "unverified") == []

    def test_a_dump_that_fails_is_none_and_the_one_before_stays(self, stage: BackupStage):
        before, (kept,) = stage.metrics("postgres", "scheduled"), stage.snapshots("postgres", "postgres")
        code, _ = stage.back_up("postgres", PGDATABASE="nowhere")
        assert code != 0
        told = stage.metrics("postgres", "scheduled")
        assert told["success"] == 0
        assert told["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
        assert told["size_bytes"] == before["size_bytes"]
        assert [one["id"] for one in stage.snapshots("postgres", "postgres")] == [kept["id"]]

    def test_one_that_is_killed_is_none_and_keeps_no_later_one_from_being_made(self, stage: BackupStage):
        (kept,) = stage.snapshots("postgres", "postgres")
        # It cannot end: the table is locked against reading.
        script = (
            "psql -Xqc 'begin; lock table orders; select pg_sleep(20)' & sleep 1;"
            " timeout -s KILL 3 sh /run/backup/backup-postgres.sh"
        )
        code, said = stage.inside("backup-postgres", script)
        assert code == 137, said
        assert [one["id"] for one in stage.snapshots("postgres", "postgres")] == [kept["id"]]
        stage.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'shop'"
        )
        code, said = stage.back_up("postgres")
        assert code == 0, said

    def test_two_at_once_take_turns(self, stage: BackupStage):
        one = "sh /run/backup/backup-postgres.sh"
        code, said = stage.inside("backup-postgres", f"{one} & {one}; code=$?; wait $! && exit $code")
        assert code == 0, said
        assert "waits for the backup" in said
        assert said.count("event=good") == 2

    def test_with_another_key_it_fails_and_the_repository_stays_as_it_is(self, stage: BackupStage):
        (kept,) = stage.snapshots("postgres", "postgres")
        code, said = stage.inside(
            "backup-postgres",
            "echo other > /tmp/other && RESTIC_PASSWORD_FILE=/tmp/other sh /run/backup/backup-postgres.sh",
        )
        assert code != 0
        assert "wrong password" in said
        assert stage.metrics("postgres", "scheduled")["success"] == 0
        assert [one["id"] for one in stage.snapshots("postgres", "postgres")] == [kept["id"]]

    def test_without_s3_it_is_good_here_and_told_as_failed_there(self, stage: BackupStage):
        before = stage.metrics("postgres", "offsite")
        stage.unserve()
        try:
            code, said = stage.back_up("postgres", BACKUP_S3_PATIENCE="2", BACKUP_S3_PAUSE="0")
        finally:
            stage.serve()
        assert code != 0, said
        assert stage.metrics("postgres", "scheduled")["success"] == 1
        told = stage.metrics("postgres", "offsite")
        assert told["success"] == 0
        assert told["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
        code, said = stage.back_up("postgres")
        assert code == 0, said
        assert stage.metrics("postgres", "offsite")["success"] == 1


class TestRedis:
    def test_one_is_made_and_holds_what_redis_held(self, stage: BackupStage):
        ask = 'REDISCLI_AUTH="$(cat /run/secrets/redis-password)" redis-cli -h redis'
        for number in range(3):
            code, said = stage.inside("backup-redis", f"{ask} set key-{number} {'value' * 20}")
            assert code == 0, said
        code, said = stage.back_up("redis")
        assert code == 0, said
        (found,) = stage.snapshots("redis", "redis")
        code, said = stage.inside(
            "backup-redis",
            f"/tools/restic --no-cache dump {found['id']} /dump.rdb > /tmp/it.rdb && redis-check-rdb /tmp/it.rdb",
        )
        assert code == 0, said
        assert "3 keys read" in said
        assert len(stage.snapshots("redis", "redis", S3)) == 1
        assert stage.metrics("redis", "scheduled")["success"] == 1

    def test_without_redis_there_is_none(self, stage: BackupStage):
        code, _ = stage.back_up("redis", REDIS_PORT="1")
        assert code != 0
        assert stage.metrics("redis", "scheduled")["success"] == 0
        assert len(stage.snapshots("redis", "redis")) == 1


class TestMonitoring:
    def test_grafanas_database_and_prometheus_data_are_kept(self, stage: BackupStage):
        code, said = stage.back_up("monitoring")
        assert code == 0, said
        code, said = stage.inside(
            "backup-monitoring",
            "restic --no-cache -q dump --tag grafana latest /grafana.db | cmp - /grafana/grafana.db",
        )
        assert code == 0, said
        listed = stage.restic("monitoring", "ls --tag prometheus latest")
        assert "/index" in listed
        code, said = stage.inside("backup-monitoring", "ls /prometheus/snapshots")
        assert (code, said) == (0, ""), "the snapshot stays on Prometheus' disk"
        for store in ("grafana", "prometheus"):
            assert stage.metrics(store, "scheduled")["success"] == 1
            assert stage.metrics(store, "offsite")["success"] == 1
            assert len(stage.snapshots("monitoring", store, S3)) == 1

    def test_one_that_fails_keeps_not_the_other_from_being_made(self, stage: BackupStage):
        code, said = stage.back_up("monitoring", PROMETHEUS_URL="http://127.0.0.1:1")
        assert code != 0
        assert "store=grafana event=good" in said.replace('"', "")
        assert stage.metrics("grafana", "scheduled")["success"] == 1
        assert stage.metrics("prometheus", "scheduled")["success"] == 0


def test_the_schedulers_are_well_and_the_key_is_seen_nowhere(stage: BackupStage):
    for store in ("postgres", "redis", "monitoring"):
        container = stage.run[f"backup-{store}"]
        code, said = stage.inside(f"backup-{store}", "sh /run/backup/schedule.sh --health")
        assert code == 0, said
        (_, key), shown = stage.inside(f"backup-{store}", "cat /run/secrets/backup-key"), str(container.attrs)
        assert key and key not in shown and key not in container.logs().decode()
        assert "the-key" not in shown

"""Backups of real stores: whole, encrypted, copied to S3, and thinned."""

import json

from tests.backups.backup_stage import STORES, BackupStage
from tests.backups.cheap_keys import CHEAP
from tests.support.containers import succeeded

SECRET = "a sentence that nobody else may read"


def test_a_backup_of_postgres_is_read_back_and_copied_to_s3(stage: BackupStage):
    repository = stage.repository("postgres", s3=True)
    expected = repository.metrics("scheduled")["expected_timestamp_seconds"]
    succeeded(repository.back_up())
    (dump,) = repository.snapshots("postgres")
    (manifest,) = repository.snapshots("manifest")
    assert f"of:{dump['id']}" in manifest["tags"]
    assert dump["time"][:19] == manifest["time"][:19]
    lines = repository.restic(f"dump {manifest['id']} /manifest.tsv").splitlines()
    tables = {line.split("\t")[1]: line.split("\t")[2:] for line in lines if line.startswith("table\t")}
    assert tables["b.child"][0] == "2000"
    assert tables["public.empty"] == ["0", "0"]
    copies = [copy.get("original") for copy in repository.snapshots("postgres", s3=True)]
    assert copies == [dump.get("original", dump["id"])], "what the rule does not keep has gone from S3 as well"
    assert len(repository.snapshots("manifest", s3=True)) == 1
    assert repository.snapshots("unverified") == []
    metrics = repository.metrics("scheduled")
    assert metrics["success"] == 1
    assert metrics["size_bytes"] > 2000 * 32
    assert metrics["expected_timestamp_seconds"] == expected
    assert repository.metrics("offsite")["success"] == 1


def test_a_backup_in_s3_is_encrypted(stage: BackupStage):
    stage.sql(f"create table secret as select '{SECRET}' as sentence")
    repository = stage.repository("postgres", s3=True)
    code, output = repository.back_up()
    stage.sql("drop table secret")
    assert code == 0, output
    dump = "/tools/restic --no-cache dump --tag postgres latest /shop.dump"
    succeeded(repository.inside(f"{dump} | grep -q '{SECRET}'"))
    objects = stage.s3.objects(repository.prefix)
    assert any(key.startswith(f"{repository.prefix}/data/") for key in objects)
    for content in objects.values():
        assert SECRET.encode()[:22] not in content
        assert b"PGDMP" not in content


def test_the_key_of_a_repository_costs_what_restic_deems_right(stage: BackupStage):
    for store in STORES:
        cost = stage.original_costs[store]
        assert cost["kdf"] == "scrypt"
        # restic chooses it by the speed that it finds: 8192 was seen on a busy machine.
        assert cost["N"] > CHEAP["N"]


def test_a_backup_of_redis_holds_what_redis_held(stage: BackupStage):
    repository = stage.repository("redis", s3=True)
    succeeded(repository.back_up())
    (snapshot,) = repository.snapshots("redis")
    output = succeeded(
        repository.inside(
            f"/tools/restic --no-cache dump {snapshot['id']} /dump.rdb > /tmp/dump.rdb && redis-check-rdb /tmp/dump.rdb"
        )
    )
    assert f"{stage.redis('dbsize')} keys read" in output
    assert len(repository.snapshots("redis", s3=True)) == 1
    assert repository.metrics("scheduled")["success"] == 1


def test_a_backup_of_monitoring_holds_both_databases(stage: BackupStage):
    repository = stage.repository("monitoring", s3=True)
    succeeded(repository.back_up())
    succeeded(
        repository.inside("restic --no-cache -q dump --tag grafana latest /grafana.db | cmp - /grafana/grafana.db")
    )
    assert "/index" in repository.restic("ls --tag prometheus latest")
    assert repository.inside("ls /prometheus/snapshots") == (0, ""), "the snapshot stays on Prometheus' disk"
    for store in ("grafana", "prometheus"):
        assert repository.metrics("scheduled", store)["success"] == 1
        assert repository.metrics("offsite", store)["success"] == 1
        assert len(repository.snapshots(store, s3=True)) == 1


def test_the_schedulers_are_healthy_and_print_no_key(stage: BackupStage):
    for store in STORES:
        container = stage.run[f"backup-{store}"]
        succeeded(stage.inside(f"backup-{store}", "sh /run/backup/schedule.sh --health"))
        (_, key), attributes = (
            stage.inside(f"backup-{store}", "cat /run/secrets/backup-key"),
            json.dumps(container.attrs),
        )
        assert key
        assert key not in attributes
        assert key not in container.logs().decode()
        assert "the-key" not in attributes

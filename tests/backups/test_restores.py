"""Restores of real databases by the verb: equal to their source or not there at all."""

import pytest

from machine.progress import SetupError
from ops.backups import command
from ops.backups.containers import BackupContainer
from ops.backups.listing import backups_of
from tests.backups.backup_stage import BackupStage
from tests.support.containers import succeeded
from tests.support.waiting import wait_until


def test_a_restored_database_equals_its_source_row_by_row(stage: BackupStage, restore, capsys):
    assert restore("latest", to="copy") == 0
    before = stage.all_rows("copy")
    assert before == stage.all_rows("shop")
    assert restore("latest", to="copy") == 1
    assert "there is a database copy already" in capsys.readouterr().err
    assert stage.all_rows("copy") == before, "a database that exists is never written into"
    assert stage.sql("select nextval('b.s')", "copy") == "13"
    large_objects = "select count(*), sum(length(lo_get(oid))) from pg_largeobject_metadata"
    assert stage.sql(large_objects, "copy") == "2|100004"
    # Foreign keys work: what refers to a row goes with it.
    stage.sql('delete from "Odd Schema"."Tab""le"', "copy")
    assert stage.sql("select count(*) from b.child", "copy") == "0"
    assert stage.sql("select count(*) from b.child") == "2000"
    assert stage.remains_of_restores() == ""


def test_a_restore_takes_a_name_an_id_or_a_local_dump_file(stage: BackupStage, restore, tmp_path, words):
    (backup,) = [
        backup
        for backup in backups_of(BackupContainer("postgres", stage.run["backup-postgres"]), words.progress)
        if backup.size
    ]
    assert backup.verified == "read back"
    file = tmp_path / "mine.dump"
    code, (dump, _) = stage.run["backup-postgres"].exec_run(["pg_dump", "-Fc"], demux=True)
    assert code == 0
    file.write_bytes(dump)
    source = stage.all_rows("shop")
    for name, what in {"by_name": backup.name, "by_id": backup.ids["volume"][:8], "by_file": str(file)}.items():
        assert restore(what, to=name) == 0
        assert stage.all_rows(name) == source
    file.write_bytes(dump[: len(dump) // 2])
    assert restore(str(file), to="by_half") == 1
    with pytest.raises(SetupError, match="neither a backup nor a file"):
        restore("nothing", to="by_nothing")
    assert stage.databases() == {"shop", "by_name", "by_id", "by_file"}
    assert stage.remains_of_restores() == ""


def test_a_swap_takes_name_settings_and_grants_and_keeps_the_old(stage: BackupStage, restore, monkeypatch):
    assert restore("latest", to="next") == 0
    stage.sql("create table since_the_backup as select 1 as number")
    stage.run["postgres"].exec_run(
        ["psql", "-h", "127.0.0.1", "-U", "shop", "-c", "select pg_sleep(100)", "shop"],
        environment={"PGPASSFILE": "/run/secrets/pgpass"},
        detach=True,
    )
    sleeping = "select count(*) from pg_stat_activity where query like '%pg_sleep(100)' and datname = 'shop'"
    wait_until(lambda: stage.sql(sleeping) == "1", "a session uses the database")
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: "wrong")
    with pytest.raises(SetupError, match="nothing was changed"):
        restore(None, to="next", swap=True)
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: "shop")
    assert restore(None, to="next", swap=True) == 0
    (old,) = stage.databases() - {"shop"}
    assert old.startswith("shop_before_")
    assert stage.sql("select to_regclass('since_the_backup') is null") == "t"
    assert stage.sql("select number from since_the_backup", old) == "1"
    assert stage.sql("show work_mem") == "7MB"
    assert stage.sql("select has_database_privilege('reader', 'shop', 'connect')") == "t"


def test_a_restored_redis_holds_what_it_held_and_stays_durable(stage: BackupStage, restore, words):
    stage.redis("flushall")
    stage.redis("set bad yes")
    container = BackupContainer("redis", stage.run["backup-redis"])
    before = {backup.name for backup in backups_of(container, words.progress)}
    assert restore("latest", store="redis", yes=True) == 0
    # What it held is backed up too, and that costs no other backup of the same day its place.
    assert before < {backup.name for backup in backups_of(container, words.progress)}
    wait_until(lambda: "yes" in stage.redis("get good"), "Redis has loaded the backup")
    assert stage.redis("llen list") == "3"
    assert stage.redis("exists bad") == "0"
    # The append-only files are in use again.
    stage.redis("set after yes")
    stage.run["redis"].restart()
    wait_until(lambda: stage.redis("get after") == "yes", "Redis has loaded its files", ignoring=(AssertionError,))
    assert stage.redis("get good") == "yes"
    succeeded(stage.inside("redis", "ls /data/before-*/appendonlydir"))

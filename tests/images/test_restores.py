"""Restores of real databases: equal to their source or not there at all, whatever happens to backup and machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from ops.backups import command
from ops.backups.inside import Inside
from ops.backups.listing import backups_of
from tests.images.backup_stage import BUCKET, IMAGES, BackupStage, running_backups
from tests.images.edge_stage import wait
from tests.images.flaky_proxy import flaky
from tests.images.helpers import kit_images
from tests.setup.helpers import Words
from toolchain.progress import SetupError
from toolchain.workdir import WorkDir

BACKUP = "sh /run/backup/backup-postgres.sh"
HERE = {"BACKUP_S3_REPOSITORY": ""}
SMALL = {**HERE, "RESTIC_REPOSITORY": "/tmp/small"}
"""A repository in the container's memory, of which there are 64 MB."""

ROWS = (
    "select string_agg(format('%s=%s', c.oid::regclass, md5(query_to_xml(format('select * from %s it order by"
    " it::text', c.oid::regclass), true, true, '')::text)), ' ' order by c.oid::regclass::text collate \"C\")"
    " from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm')"
    " and n.nspname !~ '^(pg_|information)'"
)
"""Every row of all tables and views: another way to compare than the manifest's."""


@pytest.fixture(scope="module")
def stage(
    engine: docker.DockerClient, docker_host: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackupStage]:
    with (
        kit_images(tmp_path_factory.mktemp("restores"), docker_host, IMAGES) as images,
        running_backups(engine, images) as made,
    ):
        made.sql((Path(__file__).parent / "odd.sql").read_text())
        code, said = made.back_up("postgres", **HERE)
        assert code == 0, said
        yield made


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def restore(stage: BackupStage, words: Words, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The verb, on the stage's containers."""
    found = {}
    for store in ("postgres", "redis"):
        stage.run[f"backup-{store}"].reload()
        found[store] = Inside(store, stage.run[f"backup-{store}"])
    settings = SimpleNamespace(stack=SimpleNamespace(environment="production"))
    ready = SimpleNamespace(settings=settings, docker_client=lambda: stage.engine)
    monkeypatch.setattr(command, "open_stack", lambda *_: (ready, found))
    monkeypatch.setattr(command, "of_role", lambda _, role: stage.run[role])
    return lambda what, **options: command.restore(WorkDir(), "shop", what, words.progress, **options)


def ask(stage: BackupStage, database: str, statement: str) -> str:
    code, said = stage.inside("backup-postgres", 'psql -XAtqc "$ASKED" ' + database, ASKED=statement)
    assert code == 0, said
    return said.strip()


def databases(stage: BackupStage) -> set[str]:
    return set(stage.sql("select datname from pg_database where not datistemplate").split()) - {"postgres"}


def drop(stage: BackupStage, *names: str) -> None:
    for name in names:
        stage.sql(f'drop database "{name}" with (force)')


def told(stage: BackupStage, file: str) -> dict[str, float]:
    code, text = stage.inside("backup-postgres", f"cat /metrics/written/{file}.prom")
    assert code == 0, text
    pairs = (line.rsplit(" ", 1) for line in text.splitlines())
    return {series.removesuffix('{store="postgres"}').removeprefix("dockyard_backup_"): float(n) for series, n in pairs}


def drill(stage: BackupStage, **env: str) -> tuple[int, str]:
    return stage.inside("backup-postgres", "sh /run/backup/drill-postgres.sh", **env)


def left_over(stage: BackupStage) -> str:
    code, said = stage.inside("backup-postgres", "ls -A /scratch; pidof postgres; true")
    assert code == 0
    return said


class TestRestore:
    def test_a_restored_database_equals_its_source_row_by_row(self, stage, restore):
        assert restore("latest", to="copy") == 0
        assert ask(stage, "copy", ROWS) == ask(stage, "shop", ROWS)
        assert ask(stage, "copy", "select nextval('b.s')") == "13"
        counted = "select count(*), sum(length(lo_get(oid))) from pg_largeobject_metadata"
        assert ask(stage, "copy", counted) == "2|100004"
        # Foreign keys work: what refers to a row goes with it.
        assert ask(stage, "copy", 'delete from "Odd Schema"."Tab""le"; select count(*) from b.child') == "0"
        assert ask(stage, "shop", "select count(*) from b.child") == "2000"
        assert left_over(stage) == ""

    def test_a_database_that_is_there_is_never_written_into(self, stage, restore, capsys):
        before = ask(stage, "copy", ROWS)
        assert restore("latest", to="copy") == 1
        assert "there is a database copy already" in capsys.readouterr().err
        assert ask(stage, "copy", ROWS) == before
        drop(stage, "copy")

    def test_it_takes_a_name_an_id_and_a_dump_file_of_this_machine(self, stage, restore, tmp_path, words):
        (one,) = [
            one for one in backups_of(Inside("postgres", stage.run["backup-postgres"]), words.progress) if one.size
        ]
        assert one.verified == "read back"
        file = tmp_path / "mine.dump"
        code, (said, _) = stage.run["backup-postgres"].exec_run(["pg_dump", "-Fc"], demux=True)
        assert code == 0
        file.write_bytes(said)
        for name, what in {"by_name": one.name, "by_id": one.ids["volume"][:8], "by_file": str(file)}.items():
            assert restore(what, to=name) == 0
            assert ask(stage, name, ROWS) == ask(stage, "shop", ROWS)
            drop(stage, name)
        file.write_bytes(said[: len(said) // 2])
        assert restore(str(file), to="by_half") == 1
        with pytest.raises(SetupError, match="no backup and no file"):
            restore("nothing", to="by_nothing")
        assert databases(stage) == {"shop"}
        assert left_over(stage) == ""

    def test_what_is_not_what_was_backed_up_is_not_kept(self, stage):
        """A manifest that says more than there is, in a repository of its own."""
        change = (
            'set -e; cp -r /backups/postgres /tmp/false; cd /tmp; restic() { /tools/restic --no-cache --quiet "$@"; };'
            'run=$(restic snapshots --json --tag manifest | sed \'s/.*"\\(at:[^"]*\\)".*/\\1/\');'
            "restic dump --tag manifest latest /manifest.tsv | sed 's/2000/2001/' >wrong; restic forget --tag manifest"
            " --group-by '' --unsafe-allow-remove-all;"
            ' restic backup --stdin --stdin-filename manifest.tsv --tag manifest --tag "$run" <wrong'
        )
        code, said = stage.inside("backup-postgres", change, RESTIC_REPOSITORY="/tmp/false")
        assert code == 0, said
        code, said = stage.inside(
            "backup-postgres",
            "sh /run/backup/restore-postgres.sh restore latest less; code=$?; rm -rf /tmp/false /tmp/wrong; exit $code",
            RESTIC_REPOSITORY="/tmp/false",
        )
        assert code == 1
        assert "what was restored is not what was backed up" in said
        assert 'backup:   table\tOdd Schema.Tab"le\t2001' in said
        assert databases(stage) == {"shop"}

    def test_a_swap_takes_name_settings_and_grants_and_keeps_the_old_one(self, stage, restore, monkeypatch):
        assert restore("latest", to="next") == 0
        stage.sql("create table since_the_backup as select 1 as it")
        session = stage.run["postgres"].exec_run(
            ["psql", "-h", "127.0.0.1", "-U", "shop", "-c", "select pg_sleep(100)", "shop"],
            environment={"PGPASSFILE": "/run/secrets/pgpass"},
            detach=True,
        )
        assert session
        monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: "wrong")
        with pytest.raises(SetupError, match="nothing was changed"):
            restore(None, to="next", swap=True)
        monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: "shop")
        assert restore(None, to="next", swap=True) == 0
        (old,) = databases(stage) - {"shop"}
        assert old.startswith("shop_before_")
        assert ask(stage, "shop", "select to_regclass('since_the_backup') is null") == "t"
        assert ask(stage, old, "select it from since_the_backup") == "1"
        assert ask(stage, "shop", "show work_mem") == "7MB"
        assert ask(stage, "shop", "select has_database_privilege('reader', 'shop', 'connect')") == "t"
        drop(stage, old)


class TestTrouble:
    """What was good stays good, and nothing else is told as good."""

    def test_killed_at_any_moment_it_leaves_what_was_good_and_nothing_else(self, stage, restore):
        began = time.monotonic()
        code, said = stage.back_up("postgres", **HERE)
        assert code == 0, said
        whole = time.monotonic() - began
        chance = random.Random()  # noqa: S311 - no secret
        for part in (0.1, 0.35, 0.6, 0.85):
            stage.sql("insert into g select count(*) from g")
            seconds = whole * (part + chance.uniform(0, 0.2))
            code, said = stage.inside("backup-postgres", f"timeout -s KILL {seconds:.2f} {BACKUP}", **HERE)
            stage.inside("backup-postgres", "pkill -KILL '^(restic|pg_dump|psql|pg_restore)$'")
            # One that was killed once it was good, before older ones went, leaves two.
            dumps, manifests = (runs(stage, tag) for tag in ("postgres", "manifest"))
            assert dumps & manifests, f"killed after {seconds:.2f} s: {said}"
        assert restore("latest", to="survivor") == 0
        drop(stage, "survivor")
        code, said = stage.back_up("postgres", **HERE)
        assert code == 0, said
        assert "no errors were found" in stage.restic("postgres", "check --read-data")
        assert restore("latest", to="after") == 0
        assert ask(stage, "after", ROWS) == ask(stage, "shop", ROWS)
        drop(stage, "after")

    def test_on_a_full_disk_it_fails_and_the_one_before_can_still_be_restored(self, stage):
        code, said = stage.back_up("postgres", **SMALL)
        assert code == 0, said
        kept = stage.restic("postgres", "-r /tmp/small snapshots --json --tag postgres")
        stage.sql("create table noise as select gen_random_uuid() as it from generate_series(1, 50000)")
        stage.inside("backup-postgres", "cat /dev/zero >/tmp/filler; truncate -s -300K /tmp/filler")
        code, said = stage.inside("backup-postgres", f"timeout 120 {BACKUP}", **SMALL)
        assert code != 0
        assert "no space left" in said.lower()
        assert stage.metrics("postgres", "scheduled")["success"] == 0
        stage.inside("backup-postgres", "cat /dev/zero >>/tmp/filler")
        code, said = stage.inside("backup-postgres", "sh /run/backup/restore-postgres.sh restore latest tight", **SMALL)
        assert code == 0, said
        assert "equal to its source" in said
        drop(stage, "tight")
        stage.inside("backup-postgres", "rm /tmp/filler")
        assert stage.restic("postgres", "-r /tmp/small snapshots --json --tag postgres") == kept
        code, said = stage.back_up("postgres", **SMALL)
        assert code == 0, said
        stage.sql("drop table noise")

    def test_a_damaged_file_is_found_by_restore_and_drill_and_never_passes_for_a_backup(self, stage):
        damage = (
            "set -e; rm -rf /tmp/small; cp -r /backups/postgres /tmp/small; cd /tmp/small/data;"
            "pack=$(ls -S */* | head -n 1); chmod u+w $pack;"
            "printf damaged | dd of=$pack bs=1 seek=$(($(wc -c <$pack) / 2)) conv=notrunc status=none"
        )
        code, said = stage.inside("backup-postgres", damage)
        assert code == 0, said
        before = told(stage, "backup-verified-postgres")
        code, said = stage.inside("backup-postgres", "sh /run/backup/restore-postgres.sh restore latest bad", **SMALL)
        assert code == 1
        assert "cannot be read whole" in said
        code, said = drill(stage, **SMALL)
        assert code == 1
        assert told(stage, "backup-drill-postgres")["drill_success"] == 0
        assert told(stage, "backup-verified-postgres") == before
        # Where it stands on the damaged file it fails; where it needs nothing of it, it is as good as it says.
        code, said = stage.back_up("postgres", **SMALL)
        assert stage.metrics("postgres", "scheduled")["success"] == (code == 0)
        again, _ = stage.inside("backup-postgres", "sh /run/backup/restore-postgres.sh restore latest again", **SMALL)
        assert (again == 0) == (code == 0), said
        stage.sql("drop database if exists again")
        assert databases(stage) == {"shop"}
        assert left_over(stage) == ""

    def test_with_another_key_nothing_is_made(self, stage):
        code, said = stage.inside(
            "backup-postgres",
            "echo other >/tmp/other; sh /run/backup/restore-postgres.sh restore latest x",
            RESTIC_PASSWORD_FILE="/tmp/other",
        )
        assert code == 1
        assert "wrong password" in said
        assert databases(stage) == {"shop"}

    def test_an_s3_that_refuses_every_second_request_ends_with_a_whole_copy(self, stage):
        with flaky(stage.port) as proxy:
            there = f"s3:http://host.docker.internal:{proxy.server_port}/{BUCKET}/flaky"
            code, said = stage.back_up("postgres", BACKUP_S3_REPOSITORY=there, BACKUP_S3_PAUSE="1")
            good = stage.metrics("postgres", "offsite")["success"] == 1
            assert (code == 0) == good, said
            assert good, said
            assert proxy.refused > 10, "it was no trouble at all"
        calm = f"s3:http://host.docker.internal:{stage.port}/{BUCKET}/flaky"
        restored = "sh /run/backup/restore-postgres.sh --from s3 restore latest from_s3"
        code, said = stage.inside("backup-postgres", restored, BACKUP_S3_REPOSITORY=calm)
        assert code == 0, said
        assert ask(stage, "from_s3", ROWS) == ask(stage, "shop", ROWS)
        drop(stage, "from_s3")


def runs(stage: BackupStage, tag: str) -> set[str]:
    found = stage.snapshots("postgres", tag)
    return {run for one in found for run in one["tags"] if run.startswith("at:")}


class TestDrill:
    def test_it_restores_compares_and_tells_and_leaves_nothing(self, stage):
        code, said = stage.back_up("postgres", **HERE)
        assert code == 0, said
        code, said = drill(stage, DRILL_RTO="600")
        assert code == 0, said
        assert "equal to its source" in said
        assert "within the limit of 600 s" in said
        found = told(stage, "backup-drill-postgres")
        assert found["drill_success"] == 1
        assert 0 < found["drill_duration_seconds"] < found["drill_limit_seconds"] == 600
        verified = told(stage, "backup-verified-postgres")["last_verified_restore_timestamp_seconds"]
        assert abs(verified - found["drill_last_attempt_timestamp_seconds"]) <= 1
        assert databases(stage) == {"shop"}
        assert left_over(stage) == ""

    def test_a_check_that_is_not_true_and_one_that_takes_too_long_are_told(self, stage):
        stage.inside(
            "backup-postgres", "mkdir -p /tmp/checks; echo 'select count(*) > 9000 from b.child' >/tmp/checks/many.sql"
        )
        before = told(stage, "backup-verified-postgres")
        code, said = drill(stage, CHECKS="/tmp/checks")
        assert code == 1
        assert "the check many answered f" in said
        assert told(stage, "backup-verified-postgres") == before
        code, said = drill(stage, DRILL_RTO="1")
        assert code == 1
        assert "may take 1 s" in said
        assert told(stage, "backup-drill-postgres")["drill_success"] == 1, "it is slow, not bad"

    def test_one_that_is_stopped_or_killed_leaves_no_server_behind(self, stage):
        holder = stage.run["backup-postgres"]
        for signal in ("TERM", "KILL"):
            holder.exec_run(["sh", "-c", "echo $$ >/tmp/one; exec sh /run/backup/drill-postgres.sh"], detach=True)
            wait(lambda: stage.inside("backup-postgres", "pidof postgres")[0] == 0, lambda: "no server came", 60)
            stage.inside("backup-postgres", f'kill -{signal} -- "-$(cat /tmp/one)"')
            if signal == "TERM":
                wait(lambda: left_over(stage) == "", lambda: left_over(stage), 60)
        code, said = drill(stage)
        assert code == 0, said
        assert left_over(stage) == ""


class TestRedis:
    def test_what_it_held_comes_back_and_what_it_holds_is_kept(self, stage, restore, words):
        def redis(asked: str) -> str:
            code, said = stage.inside("redis", f'REDISCLI_AUTH="$(cat /run/secrets/redis-password)" redis-cli {asked}')
            assert code == 0, said
            return said.strip()

        redis("set good yes")
        redis("rpush list a b c")
        code, said = stage.back_up("redis", **HERE)
        assert code == 0, said
        redis("flushall")
        redis("set bad yes")
        before = backups_of(Inside("redis", stage.run["backup-redis"]), words.progress)
        assert restore("latest", store="redis", yes=True) == 0
        # What it held is backed up too, and that costs no other backup of the same day its place.
        after = backups_of(Inside("redis", stage.run["backup-redis"]), words.progress)
        assert {one.name for one in before} < {one.name for one in after}
        wait(lambda: "yes" in redis("get good"), lambda: redis("info keyspace"))
        assert redis("llen list") == "3"
        assert redis("exists bad") == "0"
        # It goes on keeping what it is told: the append-only files are in use again.
        redis("set after yes")
        stage.run["redis"].restart()
        wait(lambda: redis("get after") == "yes", lambda: redis("info persistence"))
        assert redis("get good") == "yes"
        code, said = stage.inside("redis", "ls /data/before-*/appendonlydir")
        assert code == 0, said

"""Postgres brought back to a moment: base backups and the log's archive, switched on where a database is already."""

import re
import time
from datetime import UTC, datetime

import pytest

from tests.live.running import Running
from tests.live.test_1_up import wait_until

PRODUCT = "products/guestbook.yaml"
ARCHIVE_TIMEOUT = 5
ROWS = 5000


def sql(guestbook: Running, statement: str, database: str = "guestbook") -> str:
    command = ["psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "guestbook", "-d", database, "-c", statement]
    done = guestbook.containers["postgres"].exec_run(command)
    assert done.exit_code == 0, done.output
    return done.output.decode().strip()


def in_backup(guestbook: Running, script: str) -> tuple[int, str]:
    code, said = guestbook.containers["backup-pgbackrest"].exec_run(["sh", "-c", script])
    return code, said.decode()


def backups(guestbook: Running) -> list[str]:
    """Labels of the backups that pgBackRest takes for good, the oldest first."""
    code, said = in_backup(guestbook, "pgbackrest info")
    assert code == 0, said
    return re.findall(r"(?:full|diff) backup: (\S+)", said)


@pytest.fixture(scope="module")
def archived(guestbook: Running) -> Running:
    """The guest book with rows from before, and from now on with an archive."""
    sql(guestbook, "create table if not exists ledger (id int primary key, entry text)")
    fill = "insert into ledger select n, md5(n::text) from generate_series(1, %d) n on conflict do nothing"
    sql(guestbook, fill % ROWS)
    file = guestbook.checkout.folder / PRODUCT
    was = file.read_text()
    file.write_text(f"{was.rstrip()}\n  point_in_time: {{archive_timeout: {ARCHIVE_TIMEOUT}s}}\n")
    up = guestbook.checkout.dockyard("up", "guestbook")
    assert up.code == 0, up.output
    yield guestbook
    file.write_text(was)
    assert guestbook.checkout.dockyard("up", "guestbook").code == 0
    assert sql(guestbook, "drop table ledger; select 'kept'") == "kept"


def test_an_existing_database_keeps_its_rows_and_is_backed_up_and_restored_at_once(archived):
    assert sql(archived, "select count(*) from ledger") == str(ROWS)
    said = archived.containers["backup-pgbackrest"].logs
    wait_until(lambda: b"the newest backup can be restored and is whole" in said(), 180)
    assert len(backups(archived)) == 1


def test_a_preview_with_refresh_is_clean(archived):
    seen = archived.preview()
    assert seen.code == 0, seen.output


def test_a_change_is_in_the_archive_within_archive_timeout(archived):
    # What was written before goes along: else its segment could be the one that is seen.
    sql(archived, "select pg_switch_wal()")
    wait_until(
        lambda: (
            sql(archived, "select pg_walfile_name(pg_current_wal_lsn()) > last_archived_wal from pg_stat_archiver")
            == "t"
        ),
        60,
    )
    sql(archived, "update ledger set entry = 'changed' where id = 1")
    written, segment = time.monotonic(), sql(archived, "select pg_walfile_name(pg_current_wal_lsn())")
    wait_until(lambda: sql(archived, "select last_archived_wal from pg_stat_archiver") >= segment, 60)
    assert time.monotonic() - written < ARCHIVE_TIMEOUT * 4, "with a machine that has other things to do"
    assert sql(archived, "select failed_count from pg_stat_archiver") == "0"


def test_rows_that_were_deleted_come_back_beside_the_database_that_runs(archived):
    time.sleep(1)  # Moments are told apart by the clock alone.
    moment = datetime.now(UTC)
    time.sleep(1)
    sql(archived, "delete from ledger where id > 10")
    restored = archived.checkout.dockyard("restore", "guestbook", "--at", moment.isoformat(), "--to", "as_it_was")
    assert restored.code == 0, restored.output
    assert "equal by checksum" in restored.output
    assert sql(archived, "select count(*) from ledger", "as_it_was") == str(ROWS)
    assert sql(archived, "select count(*) from ledger") == "10", "what runs was not touched"
    assert in_backup(archived, "ls /var/lib/pgbackrest-scratch") == (0, ""), "nothing is left of the copy"
    again = archived.checkout.dockyard("restore", "guestbook", "--at", moment.isoformat(), "--to", "as_it_was")
    assert again.code != 0 and "there is a database as_it_was already" in again.output


def test_a_backup_that_is_killed_leaves_those_before_it_and_the_next_one_is_good(archived):
    before = backups(archived)
    killed = """
    seen=$(ls "$REPOSITORY/backup/main" | wc -l)
    pgbackrest --type=full --no-expire-auto backup & pid=$!
    while [ "$(ls "$REPOSITORY/backup/main" | wc -l)" -le "$seen" ] && kill -0 $pid; do :; done
    kill -9 $pid; wait $pid; echo "ended with $?"
    pgbackrest --output=text verify
    """
    _, said = in_backup(archived, killed)
    assert "ended with 137" in said and "status: error" not in said, said
    assert backups(archived) == before
    code, said = in_backup(archived, "sh /run/pgbackrest/base-backup.sh")
    assert code == 0, said
    assert backups(archived)[:-1] == before
    written = in_backup(archived, "cat /metrics/written/backup-postgres-base-scheduled.prom")[1]
    assert 'dockyard_backup_success{kind="scheduled",store="postgres-base"} 1' in written

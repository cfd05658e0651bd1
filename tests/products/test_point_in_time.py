"""Postgres is brought back to a moment: base backups and an archive of the log, switched on over existing rows."""

import re
import time
from datetime import UTC, datetime

import pytest

from tests.support.containers import inside, succeeded
from tests.support.stack import Stack
from tests.support.waiting import wait_until

METRICS = "/metrics/written/backup-postgres-base-scheduled.prom"
ROWS = 5000  # in the table `ledger`, which the fixture `guestbook` fills before point_in_time is set


def in_backup(guestbook: Stack, script: str) -> tuple[int, str]:
    return inside(guestbook.container("backup-pgbackrest"), script)


def backups(guestbook: Stack) -> list[str]:
    """Return the labels of the backups that pgBackRest takes for good, the oldest first."""
    output = succeeded(in_backup(guestbook, "pgbackrest info"))
    return re.findall(r"(?:full|diff) backup: (\S+)", output)


@pytest.fixture(scope="module")
def archived(guestbook: Stack) -> Stack:
    """The guest book once a base backup is proved; every row of the ledger is there."""
    container = guestbook.container("backup-pgbackrest")

    def is_backing_up() -> bool:
        commands = [process[-1] for process in container.top()["Processes"]]
        return any("base-backup.sh" in command and "schedule.sh" not in command for command in commands)

    wait_until(lambda: not is_backing_up(), "no base backup runs", 240, details=lambda: container.logs().decode())
    proved = f"grep -q 'dockyard_backup_success.* 1$' {METRICS} && test ! -e $REPOSITORY/restore-due"
    if in_backup(guestbook, proved)[0]:
        # Another test's repair has replaced the container during the proof: the next backup tries it again.
        succeeded(in_backup(guestbook, "sh /run/pgbackrest/base-backup.sh"))
    succeeded(in_backup(guestbook, proved))
    return guestbook


@pytest.fixture(autouse=True)
def _ledger_is_restored(archived: Stack) -> None:
    """Put every row back that an earlier test changed or deleted."""
    archived.sql(
        "insert into ledger select n, md5(n::text) from generate_series(1, 5000) n"
        " on conflict (id) do update set entry = excluded.entry",
    )


def test_an_existing_database_is_backed_up_and_the_backup_is_proved(archived: Stack) -> None:
    """The fixture `guestbook` asserts that the rows are kept when point_in_time is switched on."""
    assert len(backups(archived)) >= 1


def test_a_change_reaches_the_archive_by_itself(archived: Stack) -> None:
    archived.sql("checkpoint")  # A Postgres that has just started heeds archive_timeout from its first checkpoint on.
    archived.sql("select pg_switch_wal()")  # what was written before has a segment of its own
    # In one statement: a switch in between would name the segment after the one with the change.
    segment = archived.sql(
        "with changed as (update ledger set entry = 'changed' where id = 1 returning id)"
        " select pg_walfile_name(pg_current_wal_insert_lsn()) from changed"
    )
    # Nothing fills the segment: archive_timeout alone sends it.
    last = "select last_archived_wal from pg_stat_archiver"
    wait_until(lambda: archived.sql(last) >= segment, "the segment with the change is archived")
    assert archived.sql("select failed_count from pg_stat_archiver") == "0"


def test_deleted_rows_come_back_beside_the_running_database(archived: Stack) -> None:
    time.sleep(1)  # Moments are told apart by the clock alone.
    moment = datetime.now(UTC)
    time.sleep(1)
    archived.sql("delete from ledger where id > 10")
    restore = ("restore", "guestbook", "--at", moment.isoformat(), "--to", "as_it_was")
    restored = archived.checkout.dockyard(*restore).good()
    assert "equal by checksum" in restored.output
    assert archived.sql("select count(*) from ledger", "as_it_was") == str(ROWS)
    assert archived.sql("select count(*) from ledger") == "10", "the running database was not touched"
    assert in_backup(archived, "ls /var/lib/pgbackrest-scratch") == (0, ""), "nothing is left of the copy"
    again = archived.checkout.dockyard(*restore)
    assert again.code != 0 and "there is a database as_it_was already" in again.output


def test_a_killed_backup_leaves_the_others_and_the_next_one_is_good(archived: Stack) -> None:
    before = backups(archived)
    kill = """
    seen=$(ls "$REPOSITORY/backup/main" | wc -l)
    pgbackrest --type=full --no-expire-auto backup & pid=$!
    while [ "$(ls "$REPOSITORY/backup/main" | wc -l)" -le "$seen" ] && kill -0 $pid; do :; done
    kill -9 $pid; wait $pid; echo "ended with $?"
    pgbackrest --output=text verify
    """
    _, output = in_backup(archived, kill)
    assert "ended with 137" in output and "status: error" not in output, output
    assert backups(archived) == before
    succeeded(in_backup(archived, "sh /run/pgbackrest/base-backup.sh"))
    assert backups(archived)[:-1] == before
    metrics = in_backup(archived, f"cat {METRICS}")[1]
    assert 'dockyard_backup_success{kind="scheduled",store="postgres-base"} 1' in metrics

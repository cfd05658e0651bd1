"""The verbs of backups: what they list, which names they accept, and what they refuse before they do anything."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops.backups import command, listing
from ops.backups.listing import merge_snapshots
from ops.backups.point_in_time import parse_moment

RUN, LATER, HALF = "at:20261121T021500Z", "at:20261122T021500Z", "at:20261123T021500Z"


def snapshot(number: str, time: str, *tags: str, size: int = 1000) -> dict:
    summary = {"total_bytes_processed": size}
    return {"id": number * 64, "time": time, "paths": ["/shop.dump"], "tags": list(tags), "summary": summary}


VOLUME = [
    snapshot("a", "2026-11-21T02:15:00.123456789Z", "postgres", RUN),
    snapshot("b", "2026-11-21T02:15:00Z", "manifest", "of:aaaa", RUN),
    snapshot("c", "2026-11-22T03:15:00+01:00", "postgres", LATER),
    snapshot("d", "2026-11-22T02:15:00Z", "manifest", LATER),
    snapshot("e", "2026-11-23T02:15:00Z", "postgres", HALF),
    snapshot("f", "2026-11-24T02:15:00Z", "unverified", "at:20261124T021500Z"),
]
COPIES = [
    snapshot("1", "2026-11-21T02:15:00Z", "postgres", RUN),
    snapshot("2", "2026-11-21T02:15:00Z", "manifest", RUN),
]


@pytest.fixture
def listed():
    return sorted(merge_snapshots("postgres", {"volume": VOLUME, "s3": COPIES}), key=lambda backup: backup.created)


def test_a_backup_and_its_copy_are_one_line(listed):
    assert [(backup.name, sorted(backup.ids), backup.verified) for backup in listed] == [
        ("postgres-20261121T021500Z", ["s3", "volume"], "read back"),
        ("postgres-20261122T021500Z", ["volume"], "read back"),
        ("postgres-20261123T021500Z", ["volume"], "no manifest"),
    ]
    assert listed[0].size == 1000


def test_the_latest_backup_is_the_latest_with_a_manifest_in_its_place(listed):
    assert command._find_backup(listed, "latest", "volume", "shop").ids["volume"] == "c" * 64
    assert command._find_backup(listed, "latest", "s3", "shop").ids["s3"] == "1" * 64
    with pytest.raises(SetupError, match=r"s3 has no good backup.*backup shop"):
        command._find_backup(listed[1:], "latest", "s3", "shop")


@pytest.mark.parametrize(
    ("name", "is_known"),
    # Three characters may be the beginning of anything; ffff was not verified.
    [
        *((name, True) for name in ("postgres-20261121T021500Z", "aaaa", "a" * 64, "1111")),
        ("aaa", False),
        ("ffff", False),
    ],
)
def test_a_backup_is_known_by_its_name_and_the_beginning_of_its_ids_and_by_no_less(listed, name, is_known):
    assert command._find_backup(listed, name, "volume", "shop") is (listed[0] if is_known else None)


def test_a_backup_in_another_place_is_reported_with_that_place(listed):
    with pytest.raises(SetupError, match=r"is not in s3, but in volume.*omit --from s3"):
        command._find_backup(listed, "cccc", "s3", "shop")


def test_a_dump_from_before_a_release_is_listed_by_its_name():
    (one,) = listing.dumps("before-migrate-20261121T101112Z.dump 2048 1795256000\n")
    assert one.matches("before-migrate-20261121T101112Z.dump")
    assert (one.size, one.ids) == (2048, {"dumps": "/dumps/before-migrate-20261121T101112Z.dump"})


def test_the_table_cuts_no_name(listed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    listing.print_backups("Backups of shop", listed)
    printed = capsys.readouterr().out
    assert printed.index(listed[2].name) < printed.index(listed[0].name), "the newest first"
    assert "volume, s3" in printed


class FakeStore:
    """The container of a store's backups; it records what is run in it, which ends with one exit code."""

    store = "postgres"
    variables = {"PGDATABASE": "shop", "RESTIC_REPOSITORY": "/backups/postgres"}

    def __init__(self, code: int = 0) -> None:
        self.code, self.commands = code, []

    def run(self, *words: str) -> int:
        self.commands.append(" ".join(words))
        return self.code


@pytest.fixture
def store(monkeypatch, listed):
    """Return a function that makes a stack with one store."""

    def make(environment: str = "production", code: int = 0) -> FakeStore:
        store = FakeStore(code)
        ready = SimpleNamespace(settings=SimpleNamespace(stack=SimpleNamespace(environment=environment)))
        monkeypatch.setattr(command, "open_stack", lambda *_: (ready, {"postgres": store}))
        monkeypatch.setattr(command, "backups_of", lambda *_: listed)
        return store

    return make


def restore(what: str | None, **options) -> int:
    return command.restore(WorkDir(), "shop", what, Progress(quiet=True), **options)


@pytest.mark.parametrize("typed", ["", "copy", "yes"])
def test_a_swap_needs_the_databases_name_before_anything_is_restored(store, monkeypatch, typed):
    backups = store()
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: typed)
    with pytest.raises(SetupError, match="nothing was changed"):
        restore("latest", to="copy", swap=True)
    assert backups.commands == []


@pytest.mark.parametrize(("environment", "yes"), [("development", False), ("production", True)])
def test_a_swap_asks_nothing_in_development_or_after_yes(store, monkeypatch, environment, yes):
    backups = store(environment)
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: pytest.fail("it asked"))
    assert restore(None, to="copy", swap=True, yes=yes) == 0
    assert backups.commands == ["/bin/sh /run/backup/restore-postgres.sh swap copy"]


def test_a_failed_restore_is_not_swapped_in(store):
    backups = store(code=1)
    assert restore("latest", to="copy", swap=True, yes=True) == 1
    assert len(backups.commands) == 1


@pytest.mark.parametrize("name", [None, "", "1st", "a b", "x'y", "a" * 41])
def test_a_database_needs_a_plain_name(store, name):
    backups = store()
    with pytest.raises(SetupError, match="the name of a new database is required"):
        restore("latest", to=name)
    assert backups.commands == []


def test_an_unknown_backup_is_answered_with_the_known_ones(store):
    store()
    with pytest.raises(SetupError, match=r"nothing is neither a backup nor a file.*postgres-20261123T021500Z"):
        restore("nothing", to="copy")


def test_a_failed_backup_fails_the_verb(store):
    store(code=1)
    with pytest.raises(SetupError, match=r"the backup of postgres failed.*unchanged"):
        command.backup(WorkDir(), "shop", None, Progress(quiet=True))


def test_a_store_without_backups_is_refused(store):
    store()
    with pytest.raises(SetupError, match="no running backup container for redis; it has: postgres"):
        command.backup(WorkDir(), "shop", "redis", Progress(quiet=True))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21 12:00:00+00", "2026-11-21 12:00:00.000000+00"),
        ("2026-11-21T12:00:00.5+02:00", "2026-11-21 10:00:00.500000+00"),
        ("2026-11-21 12:00", "2026-11-21 12:00:00.000000+00"),
        ("2026-11-21T12:00:00Z", "2026-11-21 12:00:00.000000+00"),
    ],
)
def test_a_moment_is_read_in_its_zone_or_in_utc(text, moment):
    assert parse_moment(text, datetime(2026, 11, 22, tzinfo=UTC)) == moment


@pytest.mark.parametrize(("text", "reason"), [("yesterday", "not a time"), ("2026-11-23 00:00:00Z", "in the future")])
def test_a_moment_to_come_and_a_text_that_is_none_are_refused(text, reason):
    with pytest.raises(SetupError, match=reason):
        parse_moment(text, datetime(2026, 11, 22, tzinfo=UTC))

"""The verbs of backups: what is listed, what a person may name, and what is refused before anything is done."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace

import pytest
from rich.console import Console

from ops.backups import command, inside, listing
from ops.backups.listing import merged
from toolchain.progress import Progress, SetupError
from toolchain.workdir import WorkDir

RUN, LATER, HALF = "at:20261121T021500Z", "at:20261122T021500Z", "at:20261123T021500Z"


def snapshot(number: str, time: str, *tags: str, size: int = 1000) -> dict:
    return {
        "id": number * 64,
        "time": time,
        "paths": ["/shop.dump"],
        "tags": list(tags),
        "summary": {"total_bytes_processed": size},
    }


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
    return sorted(merged("postgres", {"volume": VOLUME, "s3": COPIES}), key=lambda one: one.made)


def test_a_backup_and_its_copy_are_one_line_and_what_was_not_read_back_is_none(listed):
    assert [(one.name, sorted(one.ids), one.verified) for one in listed] == [
        ("postgres-20261121T021500Z", ["s3", "volume"], "read back"),
        ("postgres-20261122T021500Z", ["volume"], "read back"),
        ("postgres-20261123T021500Z", ["volume"], "no manifest"),
    ]
    assert listed[0].size == 1000


def test_the_latest_is_the_latest_that_has_a_manifest_in_that_place(listed):
    assert command._chosen(listed, "latest", "volume", "shop").ids["volume"] == "c" * 64
    assert command._chosen(listed, "latest", "s3", "shop").ids["s3"] == "1" * 64
    with pytest.raises(SetupError, match=r"no good backup lies in s3.*backup shop"):
        command._chosen(listed[1:], "latest", "s3", "shop")


def test_one_is_known_by_its_name_and_by_the_beginning_of_any_of_its_ids(listed):
    for words in ("postgres-20261121T021500Z", "aaaa", "a" * 64, "1111"):
        assert command._chosen(listed, words, "volume", "shop") is listed[0]
    assert command._chosen(listed, "aaa", "volume", "shop") is None, "three characters may be anything"
    assert command._chosen(listed, "ffff", "volume", "shop") is None


def test_one_that_lies_elsewhere_is_told_with_where(listed):
    with pytest.raises(SetupError, match=r"does not lie in s3, but in volume.*leave out --from s3"):
        command._chosen(listed, "cccc", "s3", "shop")


def test_dumps_from_before_releases_are_listed_by_their_names():
    (one,) = listing.dumps("before-migrate-20261121T101112Z.dump 2048 1795256000\n")
    assert one.known_as("before-migrate-20261121T101112Z.dump")
    assert (one.size, one.ids) == (2048, {"dumps": "/dumps/before-migrate-20261121T101112Z.dump"})


def test_no_name_is_cut_in_the_table(listed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    listing.print_backups("Backups of shop", listed)
    printed = capsys.readouterr().out
    assert printed.index(listed[2].name) < printed.index(listed[0].name), "the newest first"
    assert "volume, s3" in printed


def test_a_file_goes_into_the_container_as_an_archive_that_tar_reads(tmp_path):
    file = tmp_path / "a.dump"
    file.write_bytes(b"x" * 3_000_001)
    archive = b"".join(inside._packed(file, "upload", 999))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.size, member.uid, member.mode) == ("upload", 3_000_001, 999, 0o400)
        assert tar.extractfile(member).read() == file.read_bytes()
    assert len(archive) % tarfile.BLOCKSIZE == 0


class Played:
    """A container of Postgres' backups that notes what is run in it."""

    store = "postgres"
    variables = {"PGDATABASE": "shop", "RESTIC_REPOSITORY": "/backups/postgres"}

    def __init__(self, code: int = 0) -> None:
        self.code, self.ran = code, []

    def run(self, *words: str) -> int:
        self.ran.append(" ".join(words))
        return self.code


@pytest.fixture
def stage(monkeypatch, listed):
    def make(environment: str = "production", code: int = 0):
        played = Played(code)
        settings = SimpleNamespace(stack=SimpleNamespace(environment=environment))
        ready = SimpleNamespace(settings=settings)
        monkeypatch.setattr(command, "open_stack", lambda *_: (ready, {"postgres": played}))
        monkeypatch.setattr(command, "backups_of", lambda *_: listed)
        return played

    return make


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


def restore(what: str | None, **options) -> int:
    return command.restore(WorkDir(), "shop", what, quiet(), **options)


def test_a_restore_names_the_snapshot_and_touches_nothing_else(stage):
    played = stage()
    assert restore("latest", to="copy") == 0
    assert played.ran == [f"/bin/sh /run/backup/restore-postgres.sh restore {'c' * 64} copy"]


def test_a_restore_from_s3_takes_the_id_of_there(stage):
    played = stage()
    assert restore("latest", to="copy", place="s3") == 0
    assert played.ran == [f"/bin/sh /run/backup/restore-postgres.sh --from s3 restore {'1' * 64} copy"]


@pytest.mark.parametrize("typed", ["", "copy", "yes"])
def test_a_swap_needs_the_databases_name_typed_and_asks_before_anything_is_restored(stage, monkeypatch, typed):
    played = stage()
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: typed)
    with pytest.raises(SetupError, match="nothing was changed"):
        restore("latest", to="copy", swap=True)
    assert played.ran == []


@pytest.mark.parametrize(("environment", "yes"), [("development", False), ("production", True)])
def test_in_development_and_with_yes_nothing_is_asked(stage, monkeypatch, environment, yes):
    played = stage(environment)
    monkeypatch.setattr(command.typer, "prompt", lambda *_, **__: pytest.fail("it asked"))
    assert restore(None, to="copy", swap=True, yes=yes) == 0
    assert played.ran == ["/bin/sh /run/backup/restore-postgres.sh swap copy"]


def test_what_could_not_be_restored_is_not_swapped_in(stage):
    played = stage(code=1)
    assert restore("latest", to="copy", swap=True, yes=True) == 1
    assert len(played.ran) == 1


@pytest.mark.parametrize("name", [None, "", "1st", "a b", "x'y", "a" * 41])
def test_a_database_needs_a_plain_name(stage, name):
    played = stage()
    with pytest.raises(SetupError, match="the name of a new database is needed"):
        restore("latest", to=name)
    assert played.ran == []


def test_what_is_neither_backup_nor_file_is_told_with_what_there_is(stage):
    stage()
    with pytest.raises(SetupError, match=r"nothing is no backup and no file.*postgres-20261123T021500Z"):
        restore("nothing", to="copy")


def test_a_backup_that_fails_makes_the_verb_fail_and_says_what_is_left(stage):
    stage(code=1)
    with pytest.raises(SetupError, match=r"no good backup of postgres.*still there"):
        command.backup(WorkDir(), "shop", None, quiet())


def test_a_store_without_backups_is_told(stage):
    stage()
    with pytest.raises(SetupError, match="takes backups of redis runs; of others: postgres"):
        command.backup(WorkDir(), "shop", "redis", quiet())

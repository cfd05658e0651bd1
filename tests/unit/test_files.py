"""Atomic writes of machine/files.py."""

import os

import pytest

from machine.files import write_file


def test_a_failed_write_keeps_the_old_content_and_leaves_no_draft(tmp_path, monkeypatch):
    write_file(tmp_path / "ledger.json", "old")

    def disk_is_full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match="no space left"):
        write_file(tmp_path / "ledger.json", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"ledger.json": "old"}

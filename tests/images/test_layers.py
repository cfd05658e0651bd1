"""Layers: the same content is the same bytes, whoever packs it and when."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from offline.kit.layers import Owner, pack


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "usr/bin/tool").write_text("#!/bin/sh\n")
    (folder / "usr/bin/tool").chmod(0o700)
    (folder / "usr/bin/notes").write_text("text")
    (folder / "bin").symlink_to("usr/bin")
    (folder / "data").mkdir()
    return folder


def entries(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(path.read_bytes()))) as tar:
        return {entry.name: entry for entry in tar}


def test_the_same_folder_packed_at_another_time_has_the_same_digest(tree: Path, tmp_path: Path):
    first = pack(tree, {}, tmp_path / "first")
    for path in tree.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert pack(tree, {}, tmp_path / "second").digest == first.digest


def test_everything_belongs_to_root_but_what_is_named(tree: Path, tmp_path: Path):
    packed = entries(pack(tree, {"/data": Owner(999, 0o1777)}, tmp_path / "layer").path)
    assert (packed["data"].uid, packed["data"].gid, packed["data"].mode) == (999, 999, 0o1777)
    assert (packed["usr/bin/tool"].uid, packed["usr/bin/tool"].mode) == (0, 0o755)
    assert packed["usr/bin/notes"].mode == 0o644
    assert packed["bin"].linkname == "usr/bin"

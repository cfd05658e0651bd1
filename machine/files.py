"""Write files, links and folders so that every reader sees them complete or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Write a file and replace its predecessor in one step; create its folder if needed."""
    draft = _draft(path)
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    if mode is not None:
        draft.chmod(mode)
    draft.replace(path)


def write_link(path: Path, target: Path) -> None:
    """Create a symbolic link and replace its predecessor in one step; create its folder if needed."""
    draft = _draft(path)
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)


def _draft(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.new")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `target` at the end of the block, or removed after an exception.

    When another process has created `target` meanwhile, that folder stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as temporary:
        draft = Path(temporary) / "folder"
        draft.mkdir()
        yield draft
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise

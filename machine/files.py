"""Write files, links and folders so that every reader sees them complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file and replace its predecessor in one step; create its folder if needed.

    Several processes may write the same file at once. After a crash it has the old or the new content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)  # a full disk must not get fuller at every try
        raise


def write_link(path: Path, target: Path) -> None:
    """Create a symbolic link and replace its predecessor in one step; create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)


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

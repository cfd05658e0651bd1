"""Says whether a container shows what a check of docs/seeds.md claims."""

import io
import re
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from docker.errors import NotFound

from settings.units import parse_duration, parse_memory
from tests.seeds.table import Row, rows

NANOSECONDS = 10**9


def shows(check: str, attributes: Mapping[str, Any], read: Callable[[str], str], offset: int = 0) -> bool:
    """Say whether a check holds for a container.

    `attributes` is what `docker inspect` prints, `read` returns the text of a file in the container, `offset` is what
    the machine adds to published ports.
    Raises ValueError for a check that is none, KeyError where what it asks about is not there.
    """
    if found := re.fullmatch(r"file (/\S+) has (.+)", check):
        return _has(read(found[1]), found[2])
    if found := re.fullmatch(r"([\w.-]+) host (\d+)", check):
        bindings = [one for some in (_field(attributes, found[1]) or {}).values() for one in some]
        return str(int(found[2]) + offset) in {one["HostPort"] for one in bindings}
    if found := re.fullmatch(r"([\w.-]+) has (.+)", check):
        return any(_has(item, found[2]) for item in _texts(_field(attributes, found[1])))
    if found := re.fullmatch(r"([\w.-]+) = (\S+)", check):
        return _equal(_field(attributes, found[1]), found[2])
    raise ValueError(f"no check: {check}")


def file_in(container: Any) -> Callable[[str], str]:
    """Return a function that reads a file of a container, or all of a folder, one that is on a volume included."""

    def read(path: str) -> str:
        chunks, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            files = [tar.extractfile(member) for member in tar.getmembers() if member.isfile()]
            return "\n".join(file.read().decode() for file in files if file)

    return read


def _field(attributes: Mapping[str, Any], path: str) -> Any:
    found: Any = attributes
    for key in path.split("."):
        found = found[key]
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [*value, *(text for inner in value.values() for text in _texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [str(value)]


def _has(text: str, wanted: str) -> bool:
    """Whole words: neither 3000 in 30000, nor 30d in 130d."""
    before = r"(?<!\w)" if re.match(r"\w", wanted) else ""
    after = r"(?!\w)" if re.search(r"\w$", wanted) else ""
    return bool(re.search(before + re.escape(wanted) + after, " ".join(text.split())))


def _equal(value: Any, wanted: str) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return str(value) == wanted
    return value in {number for number in (_bytes(wanted), _nanoseconds(wanted), _number(wanted)) if number is not None}


def _bytes(text: str) -> int | None:
    try:
        return parse_memory(text) * 1024 * 1024
    except ValueError:
        return None


def _nanoseconds(text: str) -> int | None:
    try:
        return parse_duration(text) * NANOSECONDS
    except ValueError:
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _is_of_loki(row: Row, containers: Mapping[str, Any]) -> bool:
    return "loki" in row.path and "loki" not in containers


def unshown_figures(
    stack: str, containers: Mapping[str, Any], offset: int, *, ignoring: re.Pattern[str] | None = None
) -> list[str]:
    """Return the rows of docs/seeds.md about a stack that its containers do not show.

    Checks that match `ignoring` are left out, and figures of Loki where another store runs in its place.
    """

    def is_shown(row: Row) -> bool:
        container = containers.get(row.container)
        checks = [check for check in row.checks if not (ignoring and ignoring.search(check))]
        try:
            return container is not None and all(
                shows(check, container.attrs, file_in(container), offset) for check in checks
            )
        except (KeyError, NotFound):
            return False

    return [
        f"{row}: {row.container}: {row.checks}"
        for row in rows()
        if row.stack == stack and not is_shown(row) and not _is_of_loki(row, containers)
    ]

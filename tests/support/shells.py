"""The POSIX shells of this machine, for the tests of scripts that must run in any of them."""

import shutil
from pathlib import Path


def shells() -> dict[str, list[str]]:
    """Return name → command line of each shell that this machine has, once: `sh` is one of the others as a rule."""
    found = {}
    for words in (["dash"], ["bash"], ["busybox", "sh"], ["sh"]):
        if path := shutil.which(words[0]):
            found.setdefault(str(Path(path).resolve()), words)
    return {words[0]: words for words in found.values()}

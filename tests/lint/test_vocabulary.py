"""Names say what a thing is: words that say only that there is something are rare among the names that are bound."""

import ast
import re
import subprocess
from collections.abc import Iterator

from tests.support.checkout import SOURCE

FILLER = re.compile(
    r"asked|done|found|given|going|gone|heard|held|here|kept|knows|known|left|looked|looks|made|makes|"
    r"meant|one|ones|other|others|own|said|says|seen|sees|shown|shows|standing|stands|stuff|taken|"
    r"tells|there|thing|things|told|wanted|way|ways|what"
)


def bound_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(asname=str(name)):
                yield name


def test_fillers_are_found_in_every_kind_of_binding():
    source = "def f(one):\n  for found in one: told = 1\nimport x as shown\nwith a as said: pass\n[kept for kept in a]"
    fillers = filter(FILLER.fullmatch, bound_names(ast.parse(source)))
    assert sorted(fillers) == ["found", "kept", "one", "said", "shown", "told"]


ALLOWED = {("ops/doctor/findings.py", "found"), ("runtime/base.py", "done")}
"""`found` is a key of `doctor --json`; `done` is the event of a job."""


def test_no_name_of_the_product_is_a_filler():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=SOURCE, capture_output=True, text=True, check=True).stdout
    files = [file for file in listed.split() if not file.startswith(("tests/", "demo/", "docs/"))]
    names = [(file, name) for file in files for name in bound_names(ast.parse((SOURCE / file).read_text()))]
    fillers = {(file, name) for file, name in names if FILLER.fullmatch(name.strip("_").lower())}
    assert fillers == ALLOWED

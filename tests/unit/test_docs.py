"""What the documentation says of Dockyard is so: its commands, its links, and the tests that it names."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ops.__main__ import app

COMMAND = typer.main.get_command(app)
ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/troubleshooting.md"
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "runbooks").glob("*.md"))]

CALL = re.compile(r"""\./dockyard ([a-z](?:'[^'\n]*'|"[^"\n]*"|[^`\n#;&)>'"])*)""")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def calls(page: Path) -> Iterator[list[str]]:
    """Return what a page says after `./dockyard`, as a shell would split it; brackets mark what may be left out."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    for said in CALL.findall(text):
        plain = re.sub(r"[\[\]…]", "", said.replace("\\|", " ")).partition("|")[0]
        yield shlex.split(plain.rstrip(" .,:*"))


def sections(page: Path) -> dict[str, str]:
    """Return each heading of a page with the text below it."""
    text = re.sub(r"```.*?```", lambda found: found[0].replace("\n#", "\n "), page.read_text(), flags=re.S)
    parts = re.split(r"^#+ (.+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in sections(page)}


def wrong(said: list[str]) -> str:
    """Return what is wrong with a call, empty where it could be run."""
    command, (name, *arguments) = COMMAND, said
    while (verbs := getattr(command, "commands", None)) is not None:
        if name not in verbs:
            return f"there is no verb {name}"
        command = verbs[name]
        if hasattr(command, "commands"):
            name, *arguments = arguments or [""]
    try:
        # Raises where it takes no such option or argument; it runs nothing.
        command.make_context(name, arguments)
    except Exception as error:  # noqa: BLE001 - typer brings a click of its own, whose errors are another's
        # A mention that leaves the stack out; options that are not there are told before this.
        return "" if type(error).__name__ == "MissingParameter" else str(error)
    return ""


def test_every_command_that_a_page_names_is_one_that_dockyard_has_with_these_options():
    found = [(page.name, said, told) for page in PAGES for said in calls(page) if (told := wrong(said))]
    assert found == []


@pytest.mark.parametrize("said", ["upp dev", "up dev --hurry", "state", "logs dev web --tail much", "down a b c"])
def test_a_command_that_is_not_there_would_be_noticed(said):
    assert wrong(said.split())


def test_every_link_to_a_file_or_a_heading_of_ours_leads_somewhere():
    lost = []
    for page in PAGES:
        for link in LINK.findall(page.read_text()):
            if link.startswith(("http://", "https://", "mailto:")):
                continue
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                lost.append((page.name, link))
    assert lost == []


def test_the_pages_are_all_looked_at_and_commands_are_found_on_them():
    assert {"README.md", "CONTRIBUTING.md", "docs/troubleshooting.md", "runbooks/DriftFound.md"} <= {
        str(page.relative_to(ROOT)) for page in PAGES
    }
    found = {said[0] for page in PAGES for said in calls(page)}
    # Every verb is said somewhere; that each of those said exists is tested above.
    assert {*COMMAND.commands} <= found


def test_every_test_that_a_page_names_is_there():
    named = [(page.name, file) for page in PAGES for file in re.findall(r"`(tests/[\w./-]+)`", page.read_text())]
    assert [(page, file) for page, file in named if not (ROOT / file).exists()] == []


def test_every_section_of_the_guide_says_what_to_type():
    # The table of the teams' symptoms leads on.
    texts = {heading: text for heading, text in sections(GUIDE).items() if text.strip()}
    assert [heading for heading, text in texts.items() if "./dockyard " not in text and "](#" not in text] == []

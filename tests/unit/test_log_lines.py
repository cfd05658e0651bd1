"""What the collector is told to do with lines, as far as it can be judged without it."""

import re

import pytest

from components.logs.multiline import LINE_BOUNDARY, entry_start
from components.logs.otel_collector import collector_config, log_receiver
from components.logs.parsing import LEVELS, statements
from components.logs.redaction import NAMED_SECRETS, REDACTED, redactions

ENVELOPE = '{{"log":"{}\\n","stream":"stdout","attrs":{{"tag":"a"}},"time":"2026-11-21T16:00:00Z"}}\n'


def redacted(line: str) -> str:
    for pattern, replacement in (*redactions(()), *NAMED_SECRETS):
        line = re.sub(pattern, re.sub(r"\$(\d)", r"\\g<\1>", replacement.replace("\\", "\\\\")), line)
    return line


def entries(*lines: str) -> list[str]:
    """Return the entries that the lines of a container make, told apart as the collector's file reader does it."""
    text = "".join(ENVELOPE.format(line) for line in lines)
    starts = [found.start() for found in re.finditer(entry_start(), text)]
    parts = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    return [re.sub(LINE_BOUNDARY, "", part).split('"')[3].removesuffix("\\n") for part in parts]


@pytest.mark.parametrize("tab", ["\\t", "\\u0009"])
def test_a_tab_is_known_in_both_spellings(tab: str):
    assert entries("Error", f"{tab}at x", "Caused by: y", f"{tab}... 3 more", "next") == [
        f"Error\\n{tab}at x\\nCaused by: y\\n{tab}... 3 more",
        "next",
    ]


def test_nothing_is_taken_from_a_line_before_its_secrets_are_gone():
    groups = [" ".join(group["statements"]) for group in statements(["my-own"])]
    secret = [number for number, text in enumerate(groups) if REDACTED in text]
    taken = [number for number, text in enumerate(groups) if "log.attributes" in text or "ParseJSON" in text]
    assert max(secret) < min(taken)
    assert "my-own" in groups[secret[0]]


@pytest.mark.parametrize(
    ("line", "redacted_line"),
    # Beside those of tests/images/test_logs_known.py, by Python's own expressions.
    [
        ('{"refreshToken":"a\\"b","id":7}', f'{{"refreshToken":"{REDACTED}","id":7}}'),
        ('{"pwd":null,"secret":17}', f'{{"pwd":null,"secret":"{REDACTED}"}}'),
        ("AUTHORIZATION: Basic YTpi x", f"AUTHORIZATION: {REDACTED} x"),
        ("at 12:30 o'clock", "at 12:30 o'clock"),
    ],
)
def test_a_secret_is_replaced_and_what_is_around_it_stays(line: str, redacted_line: str):
    assert redacted(line) == redacted_line


def test_no_word_means_two_levels():
    words = [word for found, _ in LEVELS.values() for word in found]
    assert len(words) == len(set(words))
    assert all(word == word.lower() for word in words)


def test_a_dollar_sign_is_doubled_for_the_collector():
    def texts(said):
        if isinstance(said, dict):
            return [text for value in said.values() for text in texts(value)]
        if isinstance(said, list):
            return [text for value in said for text in texts(value)]
        return [said] if isinstance(said, str) else []

    found = [text for text in texts(collector_config("shop-dev", log_receiver("loki"))) if "$" in text]
    assert found
    assert [text for text in found if "$" in text.replace("$$", "")] == []

"""What the collector is told to do with lines, as far as it can be judged without it."""

import re

import pytest

from components.collector_config import collector_config, loki_receiver
from components.log_parsing import LEVELS, statements
from components.redaction import MARK, NAMED, redactions
from components.stack_traces import LINE, SEAM, entry_start

ENVELOPE = '{{"log":"{}\\n","stream":"stdout","attrs":{{"tag":"a"}},"time":"2026-11-21T16:00:00Z"}}\n'


def redacted(line: str, own: tuple[str, ...] = ()) -> str:
    for pattern, replacement in (*redactions(own), *NAMED):
        line = re.sub(pattern, re.sub(r"\$(\d)", r"\\g<\1>", replacement.replace("\\", "\\\\")), line)
    return line


def entries(*lines: str) -> list[str]:
    """Return the entries that the lines of a container make, told apart as the collector's file reader does it."""
    text = "".join(ENVELOPE.format(line) for line in lines)
    starts = [found.start() for found in re.finditer(entry_start(), text)]
    parts = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    return [re.sub(SEAM, "", part).split('"')[3].removesuffix("\\n") for part in parts]


def test_every_line_that_is_no_part_of_a_trace_is_an_entry():
    lines = (
        "one",
        "  two",
        "      3",
        "Caused",
        "Caused by",
        "  att",
        "  ...",
        "{",
        "}x",
        "",
        "\\u001b[31mred",
        "\\ttab",
    )
    assert entries(*lines) == [*lines[:-2], "\\u001b[31mred\\n\\ttab"]


@pytest.mark.parametrize("tab", ["\\t", "\\u0009"])
def test_a_tab_is_known_in_both_spellings(tab: str):
    assert entries("Error", f"{tab}at x", "Caused by: y", f"{tab}... 3 more", "next") == [
        f"Error\\n{tab}at x\\nCaused by: y\\n{tab}... 3 more",
        "next",
    ]


def test_what_follows_a_traceback_is_an_entry_of_its_own():
    trace = ("Traceback (most recent call last):", "  File x", "ValueError: y")
    assert entries(*trace, "next", *trace) == ["\\n".join(trace), "next", "\\n".join(trace)]


def test_a_line_cannot_hold_what_tells_lines_apart():
    assert not re.search(LINE, '{\\"log\\":\\"inner')


def test_nothing_is_taken_from_a_line_before_its_secrets_are_gone():
    groups = [" ".join(group["statements"]) for group in statements(["my-own"])]
    secret = [number for number, text in enumerate(groups) if MARK in text]
    taken = [number for number, text in enumerate(groups) if "log.attributes" in text or "ParseJSON" in text]
    assert max(secret) < min(taken)
    assert "my-own" in groups[secret[0]]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("postgres://shop:a@b@db/x?y=1", f"postgres://shop:{MARK}@db/x?y=1"),
        ("password=abc user=anna", f"password={MARK} user=anna"),
        ('{"refreshToken":"a\\"b","id":7}', f'{{"refreshToken":"{MARK}","id":7}}'),
        ('{"pwd":null,"secret":17}', f'{{"pwd":null,"secret":"{MARK}"}}'),
        ("Cookie: a=b; c=d", f"Cookie: {MARK}"),
        ("AUTHORIZATION: Basic YTpi x", f"AUTHORIZATION: {MARK} x"),
    ],
)
def test_a_secret_is_replaced_and_what_is_around_it_stays(line: str, kept: str):
    assert redacted(line) == kept


@pytest.mark.parametrize(
    "line", ["max_tokens=100", "token_count: 5", "https://shop.example:443/a@b", '{"tokens":[1]}', "at 12:30 o'clock"]
)
def test_a_line_without_a_secret_stays_as_it_is(line: str):
    assert redacted(line) == line


def test_patterns_of_the_product_are_replaced_as_a_whole():
    assert redacted("id 123-45-6789.", (r"\d{3}-\d{2}-\d{4}",)) == f"id {MARK}."


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

    found = [text for text in texts(collector_config("shop-dev", loki_receiver("loki:3100"))) if "$" in text]
    assert found
    assert [text for text in found if "$" in text.replace("$$", "")] == []

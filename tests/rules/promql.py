"""What can be changed in a PromQL expression: its comparisons, the thresholds right of them, and its set operators.

A tokenizer of our own: no library that Python can install reads PromQL and gives back where each token stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FLIPPED = {">": (">=", "<"), "<": ("<=", ">"), ">=": (">", "<"), "<=": ("<", ">"), "==": ("!=",), "!=": ("==",)}
SWAPPED = {"and": "or", "or": "and", "unless": "and"}
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}

_STRING = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`'
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+|\#[^\n]*)
    | (?P<string>{_STRING})
    | (?P<matchers>\{{(?:{_STRING}|[^"'`}}])*\}})
    | (?P<range>\[[^\]]*\])
    | (?P<duration>(?:\d+(?:ms|[smhdwy]))+)\b
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[a-zA-Z_:][\w:]*)
    | (?P<operator>==|!=|>=|<=|[-+*/%^@<>(),])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Change:
    what: str  # `> → >=`; where the same change is possible twice, the second is `> → >= #2`
    expr: str


def tokens(expr: str) -> list[Token]:
    """Return the tokens without blanks and comments. Raises ValueError at what is no PromQL."""
    found, position = [], 0
    while position < len(expr):
        match = _TOKEN.match(expr, position)
        if match is None or match.lastgroup is None:
            raise ValueError(f"no PromQL at {expr[position : position + 20]!r}")
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, match.group(), position))
        position = match.end()
    return found


def changes(expr: str) -> list[Change]:
    """Return the expression with each comparison flipped, each threshold shifted and each set operator swapped."""
    result: list[Change] = []
    seen: dict[str, int] = {}
    for token, new in _replacements(tokens(expr)):
        what = f"{token.text} → {new}"
        seen[what] = seen.get(what, 0) + 1
        number = f" #{seen[what]}" if seen[what] > 1 else ""
        result.append(Change(what + number, expr[: token.start] + new + expr[token.end :]))
    return result


def _replacements(found: list[Token]) -> Iterator[tuple[Token, str]]:
    thresholds: dict[int, Token] = {}
    for position, token in enumerate(found):
        if token.kind == "operator" and token.text in FLIPPED:
            for new in FLIPPED[token.text]:
                yield token, new
            thresholds |= {one.start: one for one in _thresholds(found, position + 1)}
        elif token.kind == "word" and token.text.lower() in SWAPPED:
            yield token, SWAPPED[token.text.lower()]
    for _, token in sorted(thresholds.items()):
        for new in shifted(token):
            yield token, new


def _thresholds(found: list[Token], position: int) -> Iterator[Token]:
    """Give the numbers of a comparison's right side, but for those that are arguments of functions."""
    position = _after_modifiers(found, position)
    calls: list[bool] = []
    before: Token | None = None
    for token in found[position:]:
        word = token.text.lower() if token.kind == "word" else ""
        if token.text == "(":
            called = before is not None and (before.text == ")" or (before.kind == "word"))
            calls.append(called)
        elif token.text == ")":
            if not calls:
                return
            calls.pop()
        elif not calls and (word in SWAPPED or token.text in FLIPPED or token.text == ","):
            return
        elif token.kind in ("number", "duration") and not any(calls) and not _is_offset(found, token):
            yield token
        before = token


def _after_modifiers(found: list[Token], position: int) -> int:
    """Return the place after `bool` and `on (…) group_left (…)`."""
    while position < len(found) and found[position].kind == "word":
        word = found[position].text.lower()
        if word == "bool":
            position += 1
        elif word in ("on", "ignoring", "group_left", "group_right"):
            position += 1
            if position < len(found) and found[position].text == "(":
                while found[position].text != ")":
                    position += 1
                position += 1
        else:
            break
    return position


def _is_offset(found: list[Token], token: Token) -> bool:
    place = found.index(token)
    before = [one.text.lower() for one in found[max(0, place - 2) : place]]
    return bool(before) and (before[-1] in ("offset", "@") or before == ["offset", "-"])


def shifted(token: Token) -> tuple[str, str]:
    """Return a number a little smaller and a little larger: a tenth, or one where it is a small whole number."""
    value = seconds(token.text) if token.kind == "duration" else float(token.text)
    if value == int(value) and value < 10:
        return f"{value - 1:.10g}", f"{value + 1:.10g}"
    return f"{value * 0.9:.10g}", f"{value * 1.1:.10g}"


def seconds(duration: str) -> float:
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    if "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"no duration: {duration!r}")
    return sum(int(number) * SECONDS[unit] for number, unit in parts)

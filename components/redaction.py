"""What must not get into Loki: patterns of secrets, and what stands in their place.

Patterns are RE2's; `$1` in a replacement is the first group. A line in JSON stays valid JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

MARK = "[redacted]"

FIELD_NAMES = (
    r"(?:passw(?:or)?d|passwd|passphrase|pwd|secret|token|credentials?|(?:api|access|private|secret|signing)[_-]?key"
    r"|session[_-]?id|card[_-]?number|cvv|cvc|authorization|cookie)(?:[_-]?(?:hash|confirm\w*|plain|salt))?"
)
"""How the name of a secret field ends: `accessToken`, `db_password`, `set-cookie`. `max_tokens` and `token_count` are
none."""

_NAME = rf"[\w.-]*{FIELD_NAMES}"

HINTS = (
    r"(?i)passw|passphrase|pwd|secret|token|credential|key|session|card|cvv|cvc|authorization|cookie|bearer|basic"
    r"|requirepass|masterauth|://"
)
"""A line without any of these is looked at no further, but for tokens of a known shape."""

NAMED: tuple[tuple[str, str], ...] = (
    # Passwords in addresses; one that holds an @ too.
    (r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"']*:)[^\s/\"']+@", f"$1{MARK}@"),
    # Addresses that are secrets themselves: who knows them may post there.
    (r"(https?://(?:[\w-]+\.)*discord(?:app)?\.com/api/webhooks/)[^\s\"'\\]+", f"$1{MARK}"),
    (r"(https?://hooks\.slack\.com/)[^\s\"'\\]+", f"$1{MARK}"),
    (r"(https?://[\w.-]+\.webhook\.office\.com/)[^\s\"'\\]+", f"$1{MARK}"),
    (r"(https?://api\.telegram\.org/(?:file/)?bot)[^/\s\"'\\]+", f"$1{MARK}"),
    # Headers as they are on the wire.
    (
        r"(?i)(authorization\s*[:=]\s*)(?:(?:bearer|basic|digest|negotiate|token|apikey)\s+)?[^\s\"'\\,]+",
        f"$1{MARK}",
    ),
    (r"(?i)(cookie\s*[:=]\s*)[^\s\"'\\\[{][^\n\"'\\]*", f"$1{MARK}"),
    (r"(?i)\b(bearer\s+)[\w.~+/=-]{6,}", f"$1{MARK}"),
    (r"\b([Bb]asic\s+)[A-Za-z0-9+/]*(?:[a-z][A-Z]|[0-9])[A-Za-z0-9+/]*={0,2}", f"$1{MARK}"),
    # Headers as a list of names and values.
    (r'(?i)("(?:set-|proxy-)?(?:cookie|authorization)"\s*,\s*)"(?:[^"\\]|\\.)*"', f'$1"{MARK}"'),
    # Fields: in JSON, in JSON that stands in a string, in JavaScript or Python, on a command line, as name=value.
    (rf'(?i)("{_NAME}"\s*[:=]\s*\[?\s*)"(?:[^"\\]|\\.)*"', f'$1"{MARK}"'),
    (rf'(?i)("{_NAME}"\s*:\s*)-?\d[\d.eE+-]*', f'$1"{MARK}"'),
    (rf'(?i)(\\*"?{_NAME}\\*"?\s*[:=]\s*\[?\s*)\\+"[^"]*"', f'$1\\"{MARK}\\"'),
    (rf"(?i)({_NAME}'?\s*[:=]\s*\[?\s*)'(?:[^'\\]|\\.)*'", f"$1'{MARK}'"),
    (rf"(?i)(--{_NAME}\s+)[^\s\"'\\]+", f"$1{MARK}"),
    (rf'(?i)((?:^|[^\w"\'\\.-]){_NAME}\s?[:=]\s?)(?:"[^"]*"|[^\s"\'\\,;&]+)', f"$1{MARK}"),
    # Statements and directives of the stores.
    (r"(?i)(password\s+)'[^']*'", f"$1'{MARK}'"),
    (r"(?i)((?:requirepass|masterauth)\s+)[^\s\"'\\]+", f"$1{MARK}"),
)

SHAPES = (
    # JSON web tokens.
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-[^-])*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    # AWS, GitHub, GitLab, Slack, Stripe, Google, Telegram.
    r"\bA(?:KIA|SIA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_\w{30,}",
    r"\bglpat-[\w-]{20,}",
    r"\bxox[abprs]-[\w-]{10,}",
    r"\b[rs]k_(?:live|test)_\w{16,}",
    r"\bAIza[\w-]{35}",
    r"\b\d{8,10}:[\w-]{35}\b",
)
"""Tokens that are known by their look, wherever they stand."""


def redactions(patterns: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Return the patterns that every line is searched for, and what is put in their place.

    `own` are patterns of the product: what they match is replaced as a whole.
    """
    return (("|".join(SHAPES), MARK), *((pattern, MARK) for pattern in patterns))

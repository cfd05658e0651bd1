"""Redaction of secrets in log lines: patterns and their replacements.

The patterns are in RE2's syntax; `$1` in a replacement is the first group. A line in JSON stays valid JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

REDACTED = "[redacted]"

FIELD_NAMES = (
    r"(?:passw(?:or)?d|passwd|passphrase|pwd|secret|token|credentials?|(?:api|access|private|secret|signing)[_-]?key"
    r"|session[_-]?id|card[_-]?number|cvv|cvc|authorization|cookie)(?:[_-]?(?:hash|confirm\w*|plain|salt))?"
)
"""Endings of the names of secret fields: `accessToken`, `db_password`, `set-cookie`, but not `max_tokens` or
`token_count`."""

_NAME = rf"[\w.-]*{FIELD_NAMES}"

HINT_WORDS = (
    r"(?i)passw|passphrase|pwd|secret|token|credential|key|session|card|cvv|cvc|authorization|cookie|bearer|basic"
    r"|requirepass|masterauth|://"
)
"""Lines without any of these words are searched only for tokens of a known shape."""

NAMED_SECRETS: tuple[tuple[str, str], ...] = (
    # Passwords in addresses, also with an @ in the password.
    (r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"']*:)[^\s/\"']+@", f"$1{REDACTED}@"),
    # Addresses that are secrets themselves: everybody who knows them may post there.
    (r"(https?://(?:[\w-]+\.)*discord(?:app)?\.com/api/webhooks/)[^\s\"'\\]+", f"$1{REDACTED}"),
    (r"(https?://hooks\.slack\.com/)[^\s\"'\\]+", f"$1{REDACTED}"),
    (r"(https?://[\w.-]+\.webhook\.office\.com/)[^\s\"'\\]+", f"$1{REDACTED}"),
    (r"(https?://api\.telegram\.org/(?:file/)?bot)[^/\s\"'\\]+", f"$1{REDACTED}"),
    # Headers as they are sent.
    (
        r"(?i)(authorization\s*[:=]\s*)(?:(?:bearer|basic|digest|negotiate|token|apikey)\s+)?[^\s\"'\\,]+",
        f"$1{REDACTED}",
    ),
    (r"(?i)(cookie\s*[:=]\s*)[^\s\"'\\\[{][^\n\"'\\]*", f"$1{REDACTED}"),
    (r"(?i)\b(bearer\s+)[\w.~+/=-]{6,}", f"$1{REDACTED}"),
    (r"\b([Bb]asic\s+)[A-Za-z0-9+/]*(?:[a-z][A-Z]|[0-9])[A-Za-z0-9+/]*={0,2}", f"$1{REDACTED}"),
    # Headers as a JSON list of names and values.
    (r'(?i)("(?:set-|proxy-)?(?:cookie|authorization)"\s*,\s*)"(?:[^"\\]|\\.)*"', f'$1"{REDACTED}"'),
    # Fields: in JSON, in JSON inside a string, in JavaScript or Python, on a command line, as name=value.
    (rf'(?i)("{_NAME}"\s*[:=]\s*\[?\s*)"(?:[^"\\]|\\.)*"', f'$1"{REDACTED}"'),
    (rf'(?i)("{_NAME}"\s*:\s*)-?\d[\d.eE+-]*', f'$1"{REDACTED}"'),
    (rf'(?i)(\\*"?{_NAME}\\*"?\s*[:=]\s*\[?\s*)\\+"[^"]*"', f'$1\\"{REDACTED}\\"'),
    (rf"(?i)({_NAME}'?\s*[:=]\s*\[?\s*)'(?:[^'\\]|\\.)*'", f"$1'{REDACTED}'"),
    (rf"(?i)(--{_NAME}\s+)[^\s\"'\\]+", f"$1{REDACTED}"),
    (rf'(?i)((?:^|[^\w"\'\\.-]){_NAME}\s?[:=]\s?)(?:"[^"]*"|[^\s"\'\\,;&]+)', f"$1{REDACTED}"),
    # SQL statements of Postgres and directives of Redis.
    (r"(?i)(password\s+)'[^']*'", f"$1'{REDACTED}'"),
    (r"(?i)((?:requirepass|masterauth)\s+)[^\s\"'\\]+", f"$1{REDACTED}"),
)

TOKEN_SHAPES = (
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
"""Tokens that are recognisable by their shape, wherever they occur."""


def redactions(patterns: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Return the patterns that every line is searched for, and their replacements.

    `patterns` are the product's own: their whole match is replaced.
    """
    return (("|".join(TOKEN_SHAPES), REDACTED), *((pattern, REDACTED) for pattern in patterns))

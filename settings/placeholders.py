"""Detection of placeholders: `your-secret-key`, `PLACEHOLDER`, `https://example.org/hook`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PLACEHOLDER = re.compile(
    r"(?i:^your[-_ ]|[-_ ]here$|placeholder|change[-_ ]?(me|it|this))|^<.*>$|\.\.\.|…"
    # Lower case only, and either long or separate: a token may contain `xxX` by chance.
    r"|(?<![A-Za-z0-9])x{3,}(?![A-Za-z0-9])|x{5}$"
    r"|//(user|username):(pass|password)@|@(host|hostname)[:/]|:port/",
    re.ASCII,
)
_STANDS_FOR_SOMETHING = re.compile(
    r"your[-_ ].*|.*[-_ ]here|<.*>|\.{3,}|…|x{3,}|0{6,}"
    r"|placeholder|change[-_ ]?(me|it|this)|todo|tbd|n/?a|null|none|nil|undefined|empty|example",
    re.ASCII | re.IGNORECASE,
)
_BIG_X = re.compile(r"(?<![A-Z0-9])X{3,}(?![A-Z0-9])|X{8}", re.ASCII)
_EXAMPLE_HOST = re.compile(r"(^|\.)(example(\.(com|net|org))?|invalid)$", re.ASCII | re.IGNORECASE)


def is_placeholder(value: str) -> bool:
    """Whether a value contains a placeholder: `your-secret-key`, `eyJhxxxxx`, `<token>`."""
    return bool(_PLACEHOLDER.search(value))


def is_placeholder_word(value: str) -> bool:
    """Whether a value is nothing but a placeholder: `changeme`, `null`, empty. For secrets that may hold any text."""
    return not value.strip() or bool(_STANDS_FOR_SOMETHING.fullmatch(value.strip()))


def is_placeholder_address(value: str) -> bool:
    """Whether an address, a key or a name cannot be real: a placeholder, or a host reserved for examples (RFC 2606)."""
    return is_placeholder_word(value) or is_placeholder(value) or bool(_BIG_X.search(value)) or _is_example(value)


def _is_example(value: str) -> bool:
    """Whether the host of an address, a mail address or `host:port` is one reserved for examples."""
    try:
        host = urlsplit(value.strip() if "://" in value else f"//{value.strip()}").hostname or ""
    except ValueError:
        return False
    return bool(_EXAMPLE_HOST.search(host))

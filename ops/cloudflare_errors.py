"""Explains errors of the Cloudflare plugin in one sentence with a remedy, by Cloudflare's error codes.

It parses both formats: the official plugin prints the request with the whole response, the stand-in the messages with
their codes. Source of codes and messages: Cloudflare's reference, and observed responses of its API.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

OFFICIAL = re.compile(
    r'\b[A-Z]+ "https?://[^"\s]*?(?P<path>/(?:accounts|zones|user)\b[^"\s]*)": (?P<status>\d{3})(?P<answer>.*)', re.S
)
"""`failed to make http request: POST "https://api.cloudflare.com/client/v4/…": 409 Conflict {"success":false,…}`."""

STANDIN = re.compile(r"Cloudflare refused [A-Z]+ (?P<path>\S+) with (?P<status>\d{3}): (?P<answer>.*)", re.S)
UNREACHABLE = re.compile(
    r'"https?://[^"]*/client/v4/[^"]*": .*(dial tcp|no such host|timeout|connection refused|EOF|tls:)|'
    r"Cloudflare's API at \S+ cannot be reached",
    re.S,
)
WITHOUT_TOKEN = "there is no API token for Cloudflare"  # noqa: S105 - a message

PERMISSIONS = {
    "/cfd_tunnel": "Account · Cloudflare Tunnel · Edit",
    "/dns_records": "Zone · DNS · Edit",
    "/access/service_tokens": "Account · Access: Service Tokens · Edit",
    "/access/identity_providers": "Account · Access: Organizations, Identity Providers, and Groups · Read",
    "/access/": "Account · Access: Apps and Policies · Edit",
}
"""Part of a path → the permission that the API token needs. The first match counts."""

SET_TOKEN = "pulumi config set --secret cloudflare:apiToken, see docs/tunnel.md"  # noqa: S105 - a command


@dataclass(frozen=True)
class Refusal:
    """A request that Cloudflare refused: its path, and the status, error codes and messages of the response."""

    path: str
    status: int
    codes: frozenset[int]
    messages: tuple[str, ...]

    @property
    def scope(self) -> str:
        """`the account 023e…` or `the zone 023e…`, with the setting that holds the id."""
        match = re.match(r"/(accounts|zones)/(\w+)", self.path)
        if match is None:
            return "the account"
        kind = match[1].rstrip("s")
        return f"the {kind} {match[2]} (tunnel.{kind}_id)"

    @property
    def permission(self) -> str:
        """The permission that the API token needs for the request."""
        return next(
            (permission for part, permission in PERMISSIONS.items() if part in self.path), "those of docs/tunnel.md"
        )

    def mentions(self, *texts: str) -> bool:
        """Return whether one of the messages contains one of the texts."""
        return any(text in message for text in texts for message in self.messages)


def explained(text: str, label: str) -> str:
    """Return the meaning of a Cloudflare error and its remedy in one sentence; return any other error unchanged.

    `label` is the label of the resource that failed, as in the progress lines.
    """
    sentence = _cloudflare(text)
    return f"{label}: {sentence}" if sentence and label else sentence or text


def _cloudflare(text: str) -> str | None:
    if WITHOUT_TOKEN in text:
        return f"there is no API token for Cloudflare; give one: {SET_TOKEN}"
    refusal = _refusal(text)
    if refusal is None:
        return (
            "Cloudflare's API cannot be reached from this machine; check its network, or take `tunnel` out of the stack"
            if UNREACHABLE.search(text)
            else None
        )
    codes = ", ".join(str(code) for code in sorted(refusal.codes)) or str(refusal.status)
    sentence = next((explain(refusal) for fits, explain in EXPLANATIONS if fits(refusal)), None)
    if sentence is None:
        return f"Cloudflare refused: {'; '.join(refusal.messages) or 'no reason given'} (code {codes})"
    return f"{sentence} (Cloudflare's code {codes})"


def _refusal(text: str) -> Refusal | None:
    if match := OFFICIAL.search(text):
        codes = re.findall(r'"code"\s*:\s*(\d+)', match["answer"])
        messages = re.findall(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', match["answer"])
    elif match := STANDIN.search(text):
        codes = re.findall(r"\(code (\d+)\)", match["answer"])
        messages = re.findall(r"(?:^|, )(.+?) \(code \d+\)", match["answer"])
    else:
        return None
    return Refusal(match["path"], int(match["status"]), frozenset(map(int, codes)), tuple(messages))


def _has(*codes: int) -> Callable[[Refusal], bool]:
    return lambda refusal: bool(refusal.codes & {*codes})


def _tunnels(*codes: int) -> Callable[[Refusal], bool]:
    """Match codes of the tunnel API, which has its own numbers: 1003 means something else there."""
    return lambda refusal: "/cfd_tunnel" in refusal.path and bool(refusal.codes & {*codes})


EXPLANATIONS: tuple[tuple[Callable[[Refusal], bool], Callable[[Refusal], str]], ...] = (
    (
        lambda refusal: refusal.mentions("access.api.error.not_enabled", "Access is not enabled"),
        lambda refusal: (
            f"Access is not enabled in {refusal.scope}; open one.dash.cloudflare.com, choose a team name and a plan (a"
            " free one will do), then run this again"
        ),
    ),
    (
        lambda refusal: refusal.mentions("application_already_exists"),
        lambda _: (
            "Access stands before this name already; delete that application (Zero Trust → Access → Applications), then"
            " run this again"
        ),
    ),
    (
        lambda refusal: refusal.status == 429 or bool(refusal.codes & {971, 10429}),
        lambda _: "Cloudflare lets through 1200 requests in five minutes; wait that long, then run this again",
    ),
    (
        _tunnels(1013),
        lambda _: (
            "Cloudflare has a tunnel of this name already; delete it (Zero Trust → Networks → Tunnels), choose another"
            " tunnel.name, or run that one by its token (tunnel.token)"
        ),
    ),
    (
        _tunnels(1022),
        lambda _: "a connector is still connected to the tunnel; wait a minute until it is gone, then run this again",
    ),
    (
        _tunnels(1003),
        lambda _: "the tunnel was deleted at Cloudflare meanwhile; run this again, and it is made anew",
    ),
    (
        _has(81053, 81054, 81056, 81057, 81058),
        lambda refusal: (
            f"this name has a DNS record already in {refusal.scope}; delete that record, or choose another hostname"
        ),
    ),
    (
        _has(1000, 6003, 6103, 6111, 9103, 9106, 10001),
        lambda _: f"Cloudflare does not know the API token; make one that is an API token and no API key: {SET_TOKEN}",
    ),
    (
        _has(7000, 7003, 1001),
        lambda refusal: (
            f"Cloudflare knows nothing of {refusal.scope}; copy the id from the overview page of your zone at"
            " dash.cloudflare.com"
        ),
    ),
    (
        lambda refusal: refusal.status in (401, 403) or bool(refusal.codes & {9109, 10000}),
        lambda refusal: (
            f"the API token is wrong or must not do this in {refusal.scope}; it needs the permission"
            f" “{refusal.permission}”: {SET_TOKEN}"
        ),
    ),
    (
        lambda refusal: refusal.status >= 500,
        lambda _: "Cloudflare's API has trouble of its own; look at www.cloudflarestatus.com, then run this again",
    ),
)
"""Pairs of a condition and a sentence, the most specific first; the first match counts."""

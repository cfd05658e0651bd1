"""Explains errors of the Cloudflare plugin in one sentence with a remedy, by the codes of cloudflare_errors.yaml.

It parses both formats: the official plugin prints the request with the whole response, the stand-in the messages with
their codes.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

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
SET_TOKEN = "pulumi config set --secret cloudflare:apiToken, see docs/tunnel.md"  # noqa: S105 - a command


def explain_error(text: str, label: str) -> str:
    """Return the meaning of a Cloudflare error and its remedy in one sentence; return any other error unchanged.

    `label` is the label of the resource that failed, as in the progress lines.
    """
    sentence = _cloudflare(text)
    return f"{label}: {sentence}" if sentence and label else sentence or text


def _cloudflare(text: str) -> str | None:
    if WITHOUT_TOKEN in text:
        return f"there is no API token for Cloudflare; set one: {SET_TOKEN}"
    if match := OFFICIAL.search(text):
        codes = re.findall(r'"code"\s*:\s*(\d+)', match["answer"])
        messages = re.findall(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', match["answer"])
    elif match := STANDIN.search(text):
        codes = re.findall(r"\(code (\d+)\)", match["answer"])
        messages = re.findall(r"(?:^|, )(.+?) \(code \d+\)", match["answer"])
    elif UNREACHABLE.search(text):
        return (
            "Cloudflare's API cannot be reached from this machine; check its network, or remove `tunnel` from the stack"
        )
    else:
        return None
    path, status = match["path"], match["status"]
    numbers = sorted({int(code) for code in codes})
    code = ", ".join(map(str, numbers)) or status
    for entry in _table()["explanations"]:
        if entry.get("path", "") in path and (
            any(part in message for part in entry.get("messages", ()) for message in messages)
            or not {*numbers}.isdisjoint(entry.get("codes", ()))
            or status.startswith(tuple(entry.get("statuses", ())))
        ):
            sentence = entry["text"].format(scope=_scope(path), permission=_permission(path), set_token=SET_TOKEN)
            return f"{sentence} (Cloudflare's code {code})"
    return f"Cloudflare refused: {'; '.join(messages) or 'no reason given'} (code {code})"


def _scope(path: str) -> str:
    """Return `the account 023e…` or `the zone 023e…`, with the setting that holds the id."""
    match = re.match(r"/(account|zone)s/(\w+)", path)
    return f"the {match[1]} {match[2]} (tunnel.{match[1]}_id)" if match else "the account"


def _permission(path: str) -> str:
    """Return the permission that the API token needs for the request."""
    permissions = _table()["permissions"].items()
    return next((permission for part, permission in permissions if part in path), "those of docs/tunnel.md")


@cache
def _table() -> Any:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())

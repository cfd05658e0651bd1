"""Authentication of routes to tools, by Traefik's middlewares. This module creates no resources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

HTPASSWD_LINE = re.compile(r"(?P<name>[^:\s]+):\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
"""A bcrypt hash from `htpasswd -nB`. Traefik would also accept MD5 and SHA-1, which are guessed by the billion."""


@dataclass(frozen=True)
class RouteAuth:
    """The authentication of a tool's route; a request must pass both where both are set."""

    basic_auth: str | None = None
    """Name of the secret with lines of `htpasswd`."""

    forward_auth: str | None = None
    """Address that decides about every request."""

    def __post_init__(self) -> None:
        """Refuse an authentication without any method. Raises ValueError."""
        if not (self.basic_auth or self.forward_auth):
            raise ValueError("route without basic_auth or forward_auth: everybody could reach it")


def middlewares(upstream: str, auth: RouteAuth, users: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return name → middleware, in the order in which a request passes them.

    `users` are the lines of each secret; a missing secret admits nobody.
    """
    definitions: dict[str, Any] = {}
    if auth.basic_auth:
        definitions[f"{upstream}_basic"] = {
            # The header is removed: the tool must not see the password, and Grafana would try to log in with it.
            "basicAuth": {"users": list(users.get(auth.basic_auth, ())), "realm": upstream, "removeHeader": True}
        }
    if auth.forward_auth:
        # The client is untrusted, so its X-Forwarded-* headers are not forwarded. No header of the answer is passed to
        # the tool.
        definitions[f"{upstream}_forward"] = {
            "forwardAuth": {"address": auth.forward_auth, "trustForwardHeader": False}
        }
    return definitions


def parse_users(secret: str, text: str) -> list[str]:
    """Return the lines of a secret for basic authentication.

    Raises pulumi.RunError, without showing the line, where one is not output of `htpasswd -nB`: Traefik would ignore
    it, or accept a weak hash.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [HTPASSWD_LINE.fullmatch(line) for line in lines]
    names = [match["name"] for match in matches if match]
    if not lines or len(names) < len(lines) or len({*names}) < len(names):
        invalid_lines = [str(number) for number, match in enumerate(matches, 1) if match is None]
        problem = (
            "it is empty"
            if not lines
            else f"line {', '.join(invalid_lines)} is not a user name with a bcrypt hash"
            if invalid_lines
            else "duplicate name"
        )
        raise pulumi.RunError(
            f"invalid secret dockyard:{secret} for basic_auth of edge.tools: {problem}.\n"
            "  Expected: one line for each user, the output of: htpasswd -nB <name>"
            " (from Debian's apache2-utils; it prompts for the password)\n"
            f"  Set it: htpasswd -nB <name> | pulumi config set --secret dockyard:{secret} -s {pulumi.get_stack()}"
        )
    return lines

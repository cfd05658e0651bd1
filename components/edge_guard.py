"""Who gets through the edge proxy to a tool: Traefik's middlewares for it. Nothing here makes a resource."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

LINE = re.compile(r"(?P<name>[^:\s]+):\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
"""Bcrypt, as `htpasswd -nB` writes it. MD5 and SHA-1, which Traefik would take too, are guessed by the billion."""


@dataclass(frozen=True)
class RouteAuth:
    """What stands before a tool's route. Both where both are given."""

    basic_auth: str | None = None
    """Name of the secret with lines of `htpasswd`."""

    forward_auth: str | None = None
    """Address that is asked about every request."""

    def __post_init__(self) -> None:
        """Refuse a guard that lets everybody through. Raises ValueError."""
        if not (self.basic_auth or self.forward_auth):
            raise ValueError("a guard with neither basic_auth nor forward_auth lets everybody through")


def middleware_names(upstream: str, auth: RouteAuth) -> list[str]:
    """Return the middlewares of a guarded front, in the order in which a request passes them."""
    return [
        *([f"{upstream}_basic"] if auth.basic_auth else []),
        *([f"{upstream}_forward"] if auth.forward_auth else []),
    ]


def middlewares(upstream: str, auth: RouteAuth, users: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the middlewares by name. `users` are those of each secret; of one that is missing there are none."""
    definitions: dict[str, Any] = {}
    if auth.basic_auth:
        definitions[f"{upstream}_basic"] = {
            # The tool must not see the password, and Grafana would take it for one of its own.
            "basicAuth": {"users": list(users.get(auth.basic_auth, ())), "realm": upstream, "removeHeader": True}
        }
    if auth.forward_auth:
        # Who asks is a stranger: what it says of itself in X-Forwarded-* is not passed on. Nothing of the answer is
        # given to the tool.
        definitions[f"{upstream}_forward"] = {
            "forwardAuth": {"address": auth.forward_auth, "trustForwardHeader": False}
        }
    return definitions


def checked_users(secret: str, text: str) -> list[str]:
    """Return the lines of a secret for basic authentication.

    Raises pulumi.RunError where a line is not what `htpasswd -nB` writes, without showing it: Traefik would pass over
    it, or take a weak hash.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [LINE.fullmatch(line) for line in lines]
    people = [match["name"] for match in matches if match]
    if not lines or len(people) < len(lines) or len({*people}) < len(people):
        wrong = [str(number) for number, match in enumerate(matches, 1) if match is None]
        problem = (
            "it is empty"
            if not lines
            else f"line {', '.join(wrong)} is not a name and a hash by bcrypt"
            if wrong
            else "a name is there twice"
        )
        raise pulumi.RunError(
            f"dockyard:{secret}, which edge.tools names for basic_auth: {problem}.\n"
            "  One line for each who may come in, made by: htpasswd -nB <name>"
            " (of Debian's apache2-utils; it asks for the password)\n"
            f"  Set it: htpasswd -nB <name> | pulumi config set --secret dockyard:{secret} -s {pulumi.get_stack()}"
        )
    return lines

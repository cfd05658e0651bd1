"""Telegram as a dependency: whether the bot API that Love Parser's backend calls answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from demo.config import Environment


class NotAnsweringError(Exception):
    """The API answered, but not with what a working one says."""


@dataclass(frozen=True)
class Telegram:
    """A bot API. The token stands in the path of every call, so no address is ever shown."""

    url: str
    token: str | None = field(default=None, repr=False)

    async def ping(self) -> None:
        """Call `getMe`, or without a token just the address. Raises NotAnsweringError or httpx.HTTPError."""
        import httpx  # noqa: PLC0415 - only a backend that has Telegram pays for the client

        path = f"/bot{self.token}/getMe" if self.token else "/"
        async with httpx.AsyncClient(base_url=self.url, timeout=None, trust_env=False) as client:  # noqa: S113 - the health check bounds it
            answer = await client.get(path)
        if answer.is_error:
            raise NotAnsweringError(f"Telegram answers {answer.status_code}")


def read_telegram(environment: Environment) -> Telegram | None:
    """Read TELEGRAM_API_URL and TELEGRAM_BOT_TOKEN[_FILE]; None without an address: then nobody is called."""
    if not environment.has("TELEGRAM_API_URL"):
        return None
    return Telegram(environment.http_url("TELEGRAM_API_URL"), environment.secret_if_set("TELEGRAM_BOT_TOKEN"))

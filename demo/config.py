"""Reading the environment: every problem is collected, so that one start shows all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit


class ConfigError(Exception):
    """The environment cannot be used; the message lists every problem, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the configuration cannot be used:\n" + "\n".join(f"  - {line}" for line in problems))
        self.problems = problems


class Environment:
    """Environment variables with types. `problems` collects what is wrong, `check` raises for all at once."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.problems: list[str] = []

    def has(self, name: str) -> bool:
        """Tell whether the variable, or its `_FILE` form, is set and not empty."""
        return bool(self.values.get(name) or self.values.get(f"{name}_FILE"))

    def text(self, name: str, default: str | None = None) -> str:
        """Return the variable; without a default it must be set."""
        value = self.values.get(name) or default
        if value is None:
            self.problems.append(f"{name} is not set")
            return ""
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number between `low` and `high`, both included."""
        raw = self.values.get(name) or str(default)
        try:
            value = int(raw)
        except ValueError:
            self.problems.append(f"{name} is {raw!r}, expected a whole number")
            return default
        if not low <= value <= high:
            self.problems.append(f"{name} is {value}, expected {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """Return true for `true` or `1`, false for `false`, `0` or nothing."""
        raw = (self.values.get(name) or "false").lower()
        if raw not in ("true", "false", "1", "0"):
            self.problems.append(f"{name} is {raw!r}, expected true or false")
        return raw in ("true", "1")

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of `choices`, the first when the variable is not set."""
        value = self.values.get(name) or choices[0]
        if value not in choices:
            self.problems.append(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        return value

    def secret(self, name: str) -> str:
        """Return a secret: the content of the file that `{name}_FILE` names, its last line end left out, or `{name}`.

        The plain variable is taken too because services that can only read variables exist: a wrapper exports them.
        Both at once is a problem, for one of them would be ignored.
        """
        if value := self.values.get(name):
            if self.values.get(f"{name}_FILE"):
                self.problems.append(f"{name} and {name}_FILE are both set, expected one of them")
            return value
        path = self.values.get(f"{name}_FILE")
        if not path:
            self.problems.append(f"{name} is not set, nor is {name}_FILE")
            return ""
        try:
            content = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            self.problems.append(f"{name}_FILE: {path} cannot be read: {reason}")
            return ""
        if not content:
            self.problems.append(f"{name}_FILE: {path} is empty")
        return content

    def secret_if_set(self, name: str) -> str | None:
        """Return a secret like `secret`, or None when neither form is set."""
        return self.secret(name) if self.has(name) else None

    def http_url(self, name: str, default: str | None = None) -> str:
        """Return a `http://` or `https://` address."""
        value = self.text(name, default)
        if value:
            try:
                parts = urlsplit(value)
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                self.problems.append(f"{name} is {value!r}, expected http://host:port")
        return value

    def check(self) -> None:
        """Raise ConfigError when anything that was read is missing or wrong."""
        if self.problems:
            raise ConfigError(self.problems)

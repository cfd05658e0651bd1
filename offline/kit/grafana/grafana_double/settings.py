"""Settings from the environment: Grafana's GF_* variables, with the image's `__FILE` convention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SAMESITE: dict[str, Literal["lax", "strict", "none"]] = {"lax": "lax", "strict": "strict", "none": "none"}


class SettingsError(Exception):
    """The environment has a value with which Grafana's image would not start."""


@dataclass(frozen=True)
class Settings:
    """The GF_* variables that the double supports; all others are ignored, as Grafana ignores unknown ones."""

    admin_user: str = "admin"
    admin_password: str = "admin"  # noqa: S105 - Grafana's documented default
    provisioning: Path = Path("/etc/grafana/provisioning")
    anonymous: bool = False
    cookie_secure: bool = False
    """Whether browsers send the session cookie only over https."""

    cookie_samesite: Literal["lax", "strict", "none"] = "lax"
    strict_transport: int | None = None
    """`max-age` of the HSTS header in seconds, sent with every response; None for no header."""

    login_form: bool = True
    """Whether /login accepts name and password. If not, only basic authentication remains in the double."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings. Raises SettingsError with one line for an invalid variable."""
    variables = _with_files(environment)

    def flag(name: str) -> bool:
        return variables.get(name, "").strip().lower() in {"1", "t", "true", "yes", "on"}

    seconds = variables.get("GF_SECURITY_STRICT_TRANSPORT_SECURITY_MAX_AGE_SECONDS", "")
    max_age = int(seconds) if seconds.isdigit() else 86400
    return Settings(
        admin_user=variables.get("GF_SECURITY_ADMIN_USER", Settings.admin_user),
        admin_password=variables.get("GF_SECURITY_ADMIN_PASSWORD", Settings.admin_password),
        anonymous=flag("GF_AUTH_ANONYMOUS_ENABLED"),
        cookie_secure=flag("GF_SECURITY_COOKIE_SECURE"),
        # Grafana treats unknown values as `lax`.
        cookie_samesite=SAMESITE.get(variables.get("GF_SECURITY_COOKIE_SAMESITE", ""), "lax"),
        strict_transport=max_age if flag("GF_SECURITY_STRICT_TRANSPORT_SECURITY") else None,
        login_form=not flag("GF_AUTH_DISABLE_LOGIN_FORM"),
    )


def _with_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Resolve GF_X__FILE to GF_X as the image's run.sh does: strip trailing newlines, reject both at once."""
    variables = {name: value for name, value in environment.items() if name.startswith("GF_")}
    for name in [name for name in variables if name.endswith("__FILE")]:
        plain = name.removesuffix("__FILE")
        if variables.get(plain):
            raise SettingsError(f"both {plain} and {name} are set (but are exclusive)")
        try:
            variables[plain] = Path(variables.pop(name)).read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: {error}") from error
    return variables

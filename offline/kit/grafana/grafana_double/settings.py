"""Settings from the environment: Grafana's GF_* variables, with the image's `__FILE` convention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """The environment has a value with which Grafana's image would not start."""


@dataclass(frozen=True)
class Settings:
    """The GF_* variables that the double supports; all others are ignored, as Grafana ignores unknown ones."""

    admin_user: str = "admin"
    admin_password: str = "admin"  # noqa: S105 - Grafana's documented default
    root_url: str = ""
    address: str = "0.0.0.0"  # noqa: S104 - Grafana's default; the container decides what is published
    port: int = 3000
    provisioning: Path = Path("/etc/grafana/provisioning")
    anonymous: bool = False
    sign_up: bool = False
    metrics: bool = True
    cookie_secure: bool = False
    """Whether browsers send the session cookie only over https."""

    cookie_samesite: str = "lax"
    strict_transport: int | None = None
    """`max-age` of the HSTS header in seconds, sent with every response; None for no header."""

    login_form: bool = True
    """Whether /login accepts name and password. If not, only basic authentication remains in the double."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings. Raises SettingsError with one line for an invalid variable."""
    variables = _with_files(environment)
    defaults = Settings()
    try:
        port = int(variables.get("GF_SERVER_HTTP_PORT", defaults.port))
    except ValueError:
        raise SettingsError(f"GF_SERVER_HTTP_PORT is not a number: {variables['GF_SERVER_HTTP_PORT']}") from None
    return Settings(
        admin_user=variables.get("GF_SECURITY_ADMIN_USER", defaults.admin_user),
        admin_password=variables.get("GF_SECURITY_ADMIN_PASSWORD", defaults.admin_password),
        root_url=variables.get("GF_SERVER_ROOT_URL", defaults.root_url),
        address=variables.get("GF_SERVER_HTTP_ADDR") or defaults.address,
        port=port,
        provisioning=Path(variables.get("GF_PATHS_PROVISIONING", str(defaults.provisioning))),
        anonymous=_flag(variables, "GF_AUTH_ANONYMOUS_ENABLED", defaults.anonymous),
        sign_up=_flag(variables, "GF_USERS_ALLOW_SIGN_UP", defaults.sign_up),
        cookie_secure=_flag(variables, "GF_SECURITY_COOKIE_SECURE", defaults.cookie_secure),
        cookie_samesite=_samesite(variables),
        strict_transport=_strict_transport(variables),
        login_form=not _flag(variables, "GF_AUTH_DISABLE_LOGIN_FORM", False),
        metrics=_flag(variables, "GF_METRICS_ENABLED", defaults.metrics),
    )


def _samesite(variables: Mapping[str, str]) -> str:
    """Return the cookie's SameSite value; Grafana treats unknown values as `lax`."""
    value = variables.get("GF_SECURITY_COOKIE_SAMESITE", "lax")
    return value if value in {"lax", "strict", "none"} else "lax"


def _strict_transport(variables: Mapping[str, str]) -> int | None:
    if not _flag(variables, "GF_SECURITY_STRICT_TRANSPORT_SECURITY", False):
        return None
    seconds = variables.get("GF_SECURITY_STRICT_TRANSPORT_SECURITY_MAX_AGE_SECONDS", "")
    return int(seconds) if seconds.isdigit() else 86400


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


def _flag(variables: Mapping[str, str], name: str, default: bool) -> bool:
    if name not in variables:
        return default
    return variables[name].strip().lower() in {"1", "t", "true", "yes", "on"}

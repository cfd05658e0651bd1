"""Package indexes, registries and certificates configured for npm and pip on this machine, passed to image builds."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from machine.processes import run
from machine.progress import SetupError

CA_FILE = ".dockyard-ca.crt"
"""File of the machine's certificates in a template's context, for the stages that install packages, never the last."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Build arguments predefined in Docker, which keeps them out of an image's history."""

_CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class PackageSources:
    """Settings of this machine that a build needs to install packages; empty when all are at their defaults."""

    addresses: Mapping[str, str]
    """Build argument → address of an index or registry."""

    certificates: Path | None
    """Certificates to trust in addition to the image's own, for example those of a company's proxy."""

    @classmethod
    def read(cls, folder: Path) -> PackageSources:
        """Read the settings of npm and pip as they apply in a project's folder; skip a tool that is not installed."""
        env = os.environ
        pip = _pip()
        addresses = {
            "npm_config_registry": env.get("npm_config_registry") or _npm("registry", folder),
            "PIP_INDEX_URL": env.get("PIP_INDEX_URL") or pip.get("index-url", ""),
            "PIP_EXTRA_INDEX_URL": env.get("PIP_EXTRA_INDEX_URL") or pip.get("extra-index-url", ""),
            "PIP_TRUSTED_HOST": env.get("PIP_TRUSTED_HOST") or pip.get("trusted-host", ""),
        }
        candidates = [*(env.get(name, "") for name in _CERTIFICATES), pip.get("cert", ""), _npm("cafile", folder)]
        files = [Path(name) for name in candidates if name and Path(name).is_file()]
        return cls({name: value for name, value in addresses.items() if value}, files[0] if files else None)

    @property
    def network(self) -> str | None:
        """Network mode of a build: None is Docker's default bridge, from which it does not reach this machine.

        It is `host` only when packages come from a server on this machine's loopback address.
        """
        return "host" if any(_is_loopback(address) for address in self.addresses.values()) else None

    def arguments(self, dockerfile: str) -> dict[str, str]:
        """Return the build arguments for a Dockerfile: those of ours that it declares, and the machine's proxies."""
        available: dict[str, str] = dict(self.addresses)
        if self.certificates:
            available |= dict.fromkeys(("NODE_EXTRA_CA_CERTS", "PIP_CERT"), f"/app/{CA_FILE}")
        declared = {name: value for name, value in available.items() if re.search(rf"^ARG {name}$", dockerfile, re.M)}
        return {**{name: os.environ[name] for name in _PROXIES if os.environ.get(name)}, **declared}


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _npm(key: str, folder: Path) -> str:
    """Return a setting of npm as it applies in a folder, defaults included; "" without npm."""
    setting = _output(["npm", "config", "get", key], folder)
    return "" if setting in ("null", "undefined") else setting


def _pip() -> dict[str, str]:
    """Return the settings in pip's configuration files."""
    listing = _output([sys.executable, "-m", "pip", "config", "list"], Path.cwd())
    return dict(re.findall(r"^(?:global|install)\.([\w-]+)='(.*)'$", listing, re.MULTILINE))


def _output(command: Sequence[str], folder: Path) -> str:
    try:
        return run(command, f"{command[0]} failed", cwd=folder).strip()
    except (OSError, SetupError):  # such as an `npm` on PATH that nobody may execute
        return ""

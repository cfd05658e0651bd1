"""Where this machine takes packages from: what npm and pip are told here, for builds in containers."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CA_FILE = ".dockyard-ca.crt"
"""The machine's certificates in a template's context: for the stages that install packages, never for the last."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Build arguments that every builder knows and keeps out of an image's history."""

_CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class PackageSources:
    """Settings of this machine that a build needs to install packages; empty where everything is at its default."""

    addresses: Mapping[str, str]
    """Build argument → address of an index or registry."""

    certificates: Path | None
    """Certificates to trust beyond the image's own: those of a company's proxy, say."""

    @classmethod
    def of_this_machine(cls, folder: Path) -> PackageSources:
        """Ask npm and pip, as they would answer in a project's folder; what is not installed is not asked."""
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
        """The network that a build runs in: Docker's default bridge, where it reaches nothing of this machine.

        Only where packages come from a server on this machine's own loopback must it be the machine's network.
        """
        return "host" if any(_is_loopback(address) for address in self.addresses.values()) else None

    def arguments(self, dockerfile: str) -> dict[str, str]:
        """Return the build arguments for a Dockerfile: those that it declares, and the machine's proxies."""
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
    """Return a setting of npm as it holds in a folder, a default one included."""
    if not shutil.which("npm"):
        return ""
    setting = _output(["npm", "config", "get", key], folder)
    return "" if setting in ("null", "undefined") else setting


def _pip() -> dict[str, str]:
    """Return the settings in pip's configuration files."""
    listing = _output([sys.executable, "-m", "pip", "config", "list"], Path.cwd())
    return dict(re.findall(r"^(?:global|install)\.([\w-]+)='(.*)'$", listing, re.MULTILINE))


def _output(command: Sequence[str], folder: Path) -> str:
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else ""

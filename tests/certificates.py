"""Certificates for tests, made by openssl when they are asked for: no key lies in the repository."""

from __future__ import annotations

import subprocess
from pathlib import Path


def self_signed(folder: Path, domain: str) -> tuple[str, str]:
    """Return a certificate for every name below a domain, good for two days, and its key, PEM."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={domain}"]
    files = ["-addext", f"subjectAltName=DNS:*.{domain}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command, *files], cwd=folder, check=True, capture_output=True)
    return (folder / "certificate.pem").read_text(), (folder / "key.pem").read_text()

"""Tokens as Cloudflare Access gives them to who came in, signed by openssl: no key lies in the repository."""

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any


class AccessTeam:
    """A team with a key of its own."""

    def __init__(self, folder: Path, name: str = "example") -> None:
        self.name = name
        self._key = folder / f"access-{name}.pem"
        self._openssl("genrsa", "-out", str(self._key), "2048")

    @property
    def public_key(self) -> dict[str, str]:
        """The key (JWK) as the team's `/cdn-cgi/access/certs` shows it."""
        told = self._openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode().strip()
        modulus = bytes.fromhex(told.partition("=")[2])
        return {"kid": self.name, "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB", "n": _text(modulus)}

    def token(self, audience: str, **claims: Any) -> str:
        """Return the token of a visitor to an application, good for a minute; `claims` are put on top."""
        now = int(time.time())
        issuer = f"https://{self.name}.cloudflareaccess.com"
        said = {
            "aud": [audience],
            "iss": issuer,
            "iat": now,
            "exp": now + 60,
            "email": "somebody@example.org",
            **claims,
        }
        parts = [{"alg": "RS256", "kid": self.name, "typ": "JWT"}, said]
        signed = ".".join(_text(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_text(self._openssl('dgst', '-sha256', '-sign', str(self._key), given=signed.encode()))}"

    @staticmethod
    def _openssl(*arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True).stdout


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

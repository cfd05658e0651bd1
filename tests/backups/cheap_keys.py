"""Keys of restic repositories that cost little processor time to use: the tests make hundreds of calls.

restic derives a key by scrypt, tuned to half a second. So they take a repository that the product made with that cost,
and encrypt its master key anew with a scrypt of a millisecond: same password, same master key, same data.
"""

import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

CHEAP = {"N": 1024, "r": 8, "p": 1}
NONCE = 16  # bytes of the nonce in front of what is encrypted, and of the authentication code behind it


def cheapened(key_file: bytes, password: str) -> tuple[str, bytes]:
    """Return name and content of a key file that opens what `key_file` opens, with the same password."""
    key = json.loads(key_file)
    sealed = base64.b64decode(key["data"])
    salt = base64.b64decode(key["salt"])
    derived = _derive(password, salt, key["N"], key["r"], key["p"])
    nonce, secret, code = sealed[:NONCE], sealed[NONCE:-NONCE], sealed[-NONCE:]
    Poly1305.verify_tag(_one_time_key(derived, nonce), secret, code)
    master = _counter_mode(derived, nonce, secret)

    salt, nonce = os.urandom(64), os.urandom(NONCE)
    derived = _derive(password, salt, **CHEAP)
    secret = _counter_mode(derived, nonce, master)
    code = Poly1305.generate_tag(_one_time_key(derived, nonce), secret)
    sealed = base64.b64encode(nonce + secret + code).decode()
    content = json.dumps({**key, **CHEAP, "salt": base64.b64encode(salt).decode(), "data": sealed}).encode()
    return hashlib.sha256(content).hexdigest(), content


def _derive(password: str, salt: bytes, N: int, r: int, p: int) -> bytes:  # noqa: N803 - scrypt's own names
    """Return 32 bytes for AES-256, 16 for the AES of the authentication, 16 for its polynomial."""
    return hashlib.scrypt(password.encode(), salt=salt, n=N, r=r, p=p, maxmem=2**30, dklen=64)


def _counter_mode(derived: bytes, nonce: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce)).encryptor().update(data)


def _one_time_key(derived: bytes, nonce: bytes) -> bytes:
    block = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor().update(nonce)  # noqa: S305 - one block
    return derived[48:] + block

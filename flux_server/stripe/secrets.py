"""Encryption of what must not be readable in the database.

Every value is bound to the environment and the column it was stored in, so that one moved to another row does
not open there, and carries the id of the key it was sealed with, so that a changed key is told from damage.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flux_middleware.errors import FluxError

__all__ = ["SealedError", "SecretBox"]

_FORMAT = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_HEAD = len(_FORMAT) + _ID_BYTES


class SealedError(FluxError):
    """A stored secret cannot be read with the server's secret key."""


class SecretBox:
    """Seals and opens secrets with a key made from the server's secret key (AES-256-GCM)."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(_derive(secret_key, b"flux stripe secrets", 32))
        self.key_id = _derive(secret_key, b"flux stripe key id", _ID_BYTES)

    def seal(self, secret: str, *, environment: str, column: str) -> bytes:
        """Return the secret encrypted, to be stored in that column of that environment's row."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), _place(environment, column))
        return _FORMAT + self.key_id + nonce + sealed

    def sealed(self, value: bytes) -> bool:
        """Return whether the value was sealed with this key."""
        return value[:_HEAD] == _FORMAT + self.key_id

    def open(self, sealed: bytes, *, environment: str, column: str) -> str:
        """Return the secret.

        Raises:
            SealedError: it was sealed with another key, for another place, or is damaged.
        """
        if not self.sealed(sealed):
            raise SealedError(
                f"the {column} of environment {environment!r} was encrypted with another secret key; start the "
                "server with the FLUX_SECRET_KEY (or secret.key file) it was stored with, encrypt it anew with "
                "`flux stripe rotate`, or set the link again"
            )
        nonce, text = sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, _place(environment, column)).decode()
        except InvalidTag as error:
            raise SealedError(
                f"the {column} of environment {environment!r} is damaged; set the link again"
            ) from error


def _derive(secret_key: str, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(secret_key.encode())


def _place(environment: str, column: str) -> bytes:
    return f"{environment}/{column}".encode()

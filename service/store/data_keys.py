"""One key for each template, so that a template is gone as soon as its key is.

What is kept of a template is sealed under its own random key (AES-256-GCM), and that key under the deployment's. A copy
of the sealed parts alone, in a backup or a log, opens with nothing.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.store.sealing import KEY_BYTES, PayloadSealer, UnsealingError

_NONCE_BYTES = 12


class DataKey:
    """Seals the parts of one template. Their number is far below what random nonces allow."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls) -> DataKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def unwrap(cls, wrapped: bytes, sealer: PayloadSealer, name: str) -> DataKey:
        """Raises `UnsealingError`."""
        return cls(sealer.unseal(wrapped, f"key of {name}"))

    def wrap(self, sealer: PayloadSealer, name: str) -> bytes:
        """For the template of this name alone."""
        return sealer.seal(self._key, f"key of {name}")

    def seal(self, payload: bytes, part: str) -> bytes:
        """`part`: what it is; as that alone it opens."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, payload, part.encode())

    def unseal(self, sealed: bytes, part: str) -> bytes:
        """Raises `UnsealingError`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], part.encode())
        except (InvalidTag, ValueError) as error:
            raise UnsealingError("The payload was altered, or is not what it is taken for.") from error

"""Encryption of everything that leaves a process: templates, cached embeddings, frames between processes.

AES-256-GCM under keys derived (HKDF-SHA-256, one per purpose) from the deployment's sealing key. A sealed
template is portable: whoever holds the same key can verify against it without the store. What it stands for (its id,
its fingerprint, the format's version and the key it was sealed with) is readable in front and authenticated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.errors import InvalidSealedTemplateError, InvalidSealingKeyError, SealedTemplateExpiredError
from service.settings import Settings
from service.store.records import decode_template, encode_template
from service.types import DEFAULT_TENANT, Template

KEY_BYTES = 32
KEY_FILE = "sealing.key"
"""In the state directory, mode 0600: 32 bytes in base64; older keys of the ring on further lines."""
KeyRing = tuple[bytes, ...]
"""The deployment's keys, the current one first."""

_TEMPLATE_MAGIC = b"CFTS"
_TEMPLATE_VERSION = 2
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_FIXED_BYTES = len(_TEMPLATE_MAGIC) + 1 + _KEY_ID_BYTES + _NONCE_BYTES
_MAX_SEALED_TEMPLATE_BYTES = 4 * 2**20

_PAYLOAD_MAGIC = b"CFP\x01"
_PAYLOAD_NONCE_BYTES = 24
_PAYLOAD_HEADER_BYTES = len(_PAYLOAD_MAGIC) + _PAYLOAD_NONCE_BYTES
_TAG_BYTES = 16
_PIECE_BYTES = 256 * 1024


class SealingPurpose(StrEnum):
    """What a `PayloadSealer` is for; what one purpose sealed, no other opens."""

    ENGINE = "engine"
    EMBEDDINGS = "embeddings"
    TEMPLATES = "templates"
    ANSWERS = "answers"
    API_KEYS = "api keys"


class UnsealingError(ValueError):
    """The bytes were not sealed with this key, purpose and context, or were altered since."""


class AesGcmTemplateSealer:
    """Seals whole templates of one tenant, for whoever holds the key.

    Format: `CFTS`, version (1 byte), key id (8), nonce (12, random), id and fingerprint (one length byte each, then
    ASCII), then ciphertext and tag. Everything in front of the ciphertext is associated data, and so is the tenant.
    """

    def __init__(self, ring: KeyRing, *, tenant: str = DEFAULT_TENANT, clock: Callable[[], float] = time.time) -> None:
        self._tenant = tenant.encode("ascii")
        self._ciphers = {
            derive_key(key, "template key id")[:_KEY_ID_BYTES]: AESGCM(derive_key(key, "template")) for key in ring
        }
        self._key_id, self._cipher = next(iter(self._ciphers.items()))
        self._clock = clock

    def seal(self, template: Template) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        header = b"".join(
            (
                _TEMPLATE_MAGIC,
                bytes([_TEMPLATE_VERSION]),
                self._key_id,
                nonce,
                _short(template.template_id),
                _short(template.fingerprint),
            )
        )
        return header + self._cipher.encrypt(nonce, encode_template(template), header + self._tenant)

    def id_of(self, sealed: bytes) -> str | None:
        try:
            return _read_short(sealed, _FIXED_BYTES)[0] if sealed.startswith(_TEMPLATE_MAGIC) else None
        except (IndexError, UnicodeDecodeError):
            return None

    def unseal(self, sealed: bytes) -> Template:
        """Raises `InvalidSealedTemplateError`, `SealedTemplateExpiredError`."""
        if len(sealed) > _MAX_SEALED_TEMPLATE_BYTES or not sealed.startswith(_TEMPLATE_MAGIC):
            raise InvalidSealedTemplateError("The bytes are no sealed template.")
        if sealed[len(_TEMPLATE_MAGIC) : len(_TEMPLATE_MAGIC) + 1] != bytes([_TEMPLATE_VERSION]):
            raise InvalidSealedTemplateError("The sealed template has a version that this service does not know.")
        key_id, nonce = _split(sealed[len(_TEMPLATE_MAGIC) + 1 : _FIXED_BYTES], _KEY_ID_BYTES)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise InvalidSealedTemplateError("The template was sealed under a key that is not on this service's ring.")
        try:
            template_id, end = _read_short(sealed, _FIXED_BYTES)
            fingerprint, end = _read_short(sealed, end)
            template = decode_template(cipher.decrypt(nonce, sealed[end:], sealed[:end] + self._tenant))
        except (InvalidTag, ValueError, IndexError) as error:
            raise InvalidSealedTemplateError(
                "The sealed template was altered or cut short, or is not yours."
            ) from error
        if (template.template_id, template.fingerprint) != (template_id, fingerprint):
            raise InvalidSealedTemplateError("The sealed template contradicts its own header.")
        if self._clock() >= template.expires_at:
            raise SealedTemplateExpiredError("The sealed template has expired; enrol again.")
        return template


class PayloadSealer:
    """Seals bytes for one purpose, and blinds names.

    Format: `CFP` 0x01, nonce (24, random), ciphertext, tag. The first half of the nonce makes a key for this payload
    alone and the second half is its GCM nonce, so that any number of payloads may be sealed under one deployment key
    (with 96 random bits alone, 2**32 would be the limit). Thread-safe; lets other threads run while it works.
    """

    def __init__(self, ring: KeyRing, purpose: SealingPurpose) -> None:
        """The first key of the ring seals; every key opens."""
        self._keys = [derive_key(key, f"payload {purpose.value}") for key in ring]
        self._blinding_keys = [derive_key(key, f"blinding {purpose.value}") for key in ring]

    def seal(self, payload: bytes, context: str) -> bytes:
        """`context` says what the payload is; only the same context opens it."""
        nonce = secrets.token_bytes(_PAYLOAD_NONCE_BYTES)
        if len(payload) <= _PIECE_BYTES:  # in one call, which is half the time for what is short
            cipher = AESGCM(_subkey(self._keys[0], nonce))
            return _PAYLOAD_MAGIC + nonce + cipher.encrypt(nonce[_NONCE_BYTES:], payload, context.encode())
        encryptor = Cipher(algorithms.AES(_subkey(self._keys[0], nonce)), modes.GCM(nonce[_NONCE_BYTES:])).encryptor()
        encryptor.authenticate_additional_data(context.encode())
        pieces = [_PAYLOAD_MAGIC, nonce]
        view = memoryview(payload)
        pieces += [encryptor.update(view[at : at + _PIECE_BYTES]) for at in range(0, len(view), _PIECE_BYTES)]
        pieces += [encryptor.finalize(), encryptor.tag]
        return b"".join(pieces)

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Raises `UnsealingError`."""
        if len(sealed) < _PAYLOAD_HEADER_BYTES + _TAG_BYTES or not sealed.startswith(_PAYLOAD_MAGIC):
            raise UnsealingError("The bytes are no sealed payload.")
        for key in self._keys[:-1]:
            try:
                return _open(sealed, context, key)
            except UnsealingError:
                continue  # perhaps an older key of the ring
        return _open(sealed, context, self._keys[-1])

    def blind(self, name: str) -> str:
        """A stand-in for `name` (32 hex digits) that only holders of the key can compute."""
        return _blind(self._blinding_keys[0], name)

    def blind_each(self, name: str) -> list[str]:
        """As `blind`, with every key of the ring: under one of these it may have been kept."""
        return [_blind(key, name) for key in self._blinding_keys]


def _open(sealed: bytes, context: str, key: bytes) -> bytes:
    nonce = sealed[len(_PAYLOAD_MAGIC) : _PAYLOAD_HEADER_BYTES]
    if len(sealed) <= _PIECE_BYTES:  # in one call, which is half the time for what is short
        try:
            return AESGCM(_subkey(key, nonce)).decrypt(
                nonce[_NONCE_BYTES:], sealed[_PAYLOAD_HEADER_BYTES:], context.encode()
            )
        except InvalidTag as error:
            raise _altered() from error
    decryptor = Cipher(
        algorithms.AES(_subkey(key, nonce)), modes.GCM(nonce[_NONCE_BYTES:], sealed[-_TAG_BYTES:])
    ).decryptor()
    decryptor.authenticate_additional_data(context.encode())
    view = memoryview(sealed)[_PAYLOAD_HEADER_BYTES:-_TAG_BYTES]
    pieces = [decryptor.update(view[at : at + _PIECE_BYTES]) for at in range(0, len(view), _PIECE_BYTES)]
    try:
        pieces.append(decryptor.finalize())
    except InvalidTag as error:
        raise _altered() from error
    return b"".join(pieces)


def _altered() -> UnsealingError:
    return UnsealingError("The payload was altered, or is not what it is taken for.")


def _subkey(key: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, nonce[:_NONCE_BYTES], "sha256")


def _blind(key: bytes, name: str) -> str:
    return hmac.digest(key, name.encode(), "sha256")[:16].hex()


def derive_key(key: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF-SHA-256, RFC 5869)."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"A sealing key has {KEY_BYTES} bytes.")
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"coreface {purpose} v1".encode()).derive(key)


def load_key_ring(settings: Settings) -> KeyRing:
    """The deployment's sealing keys: from the settings, else from the key file, which is made if there is none.

    Any number of processes may start together; all get the same key. Raises `InvalidSealingKeyError`.
    """
    if settings.sealing_key is not None:
        return _decode_keys(settings.sealing_key.get_secret_value(), "COREFACE_SEALING_KEY")
    path = settings.state_path / KEY_FILE
    try:
        settings.state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create_key_file(path)
        if path.stat().st_mode & 0o077:
            raise InvalidSealingKeyError(f"{path} can be read by others; run `chmod 600` on it.")
        return _decode_keys(path.read_text("ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSealingKeyError(f"The key file {path} cannot be read or made: {error}") from error


def _create_key_file(path: Path) -> None:
    """A new key at `path`, complete from its first moment; an existing file stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, never replaces the key that another process put there first.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _decode_keys(text: str, source: str) -> KeyRing:
    keys = [_decode_key(word) for word in text.replace(",", " ").split()]
    if not keys or None in keys:
        raise InvalidSealingKeyError(f"{source} does not hold {KEY_BYTES} bytes in base64, or several such keys.")
    return tuple(key for key in keys if key is not None)


def _decode_key(word: str) -> bytes | None:
    try:
        key = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _short(text: str) -> bytes:
    encoded = text.encode("ascii")
    return bytes([len(encoded)]) + encoded


def _read_short(data: bytes, start: int) -> tuple[str, int]:
    end = start + 1 + data[start]
    return data[start + 1 : end].decode("ascii"), end


def _split(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]

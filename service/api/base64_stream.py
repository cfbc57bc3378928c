"""Base64 that arrives in pieces, as it stands inside a JSON string."""

from __future__ import annotations

import binascii
import re

# In one pass: what is left must not make another escape.
_ESCAPES = re.compile(rb"\\(?=/)|\\[nr]")


class Base64StreamDecoder:
    """Decodes standard base64 (RFC 4648 section 4) piece by piece, so that no piece holds the event loop for long.

    Of an over-long value `limit + 1` bytes are kept: enough to tell. JSON's escapes of `/` and of line ends are
    understood; any other character makes the value invalid.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoded: list[bytes] = []
        self._length = 0
        self._rest = b""
        self._padded = False
        self._valid = True

    def feed(self, piece: bytes) -> None:
        if not self._valid or self._length > self._limit:
            return
        text = self._rest + piece
        held = b""
        if b"\\" in text:
            if text.endswith(b"\\"):  # half an escape: a whole one never ends so in base64
                text, held = text[:-1], b"\\"
            text = _ESCAPES.sub(b"", text)
            if b"\\" in text:  # another escape; kept, it could make one of these with what follows
                self._refuse()
                return
        whole = len(text) & ~3
        self._decode(text[:whole])
        self._rest = text[whole:] + held

    @property
    def size(self) -> int:
        """Bytes decoded so far."""
        return self._length

    def finish(self) -> bytes | None:
        """The bytes, or None when the text was no base64. Call it once."""
        complete = not self._rest or self._length > self._limit
        decoded = b"".join(self._decoded)
        self._decoded.clear()  # so that a large set is never held twice
        return decoded[: self._limit + 1] if self._valid and complete else None

    def _decode(self, quartets: bytes) -> None:
        if not quartets:
            return
        try:
            if self._padded:
                raise binascii.Error
            decoded = binascii.a2b_base64(quartets, strict_mode=True)
        except binascii.Error:
            self._refuse()
            return
        self._padded = quartets.endswith(b"=")
        self._decoded.append(decoded)
        self._length += len(decoded)

    def _refuse(self) -> None:
        self._valid = False
        self._decoded.clear()


def decode_base64(text: str, limit: int) -> bytes | None:
    """The bytes of a whole value (`limit + 1` of them at most), or None when it is no base64."""
    try:
        encoded = text.replace("\n", "").replace("\r", "").encode("ascii")
    except UnicodeEncodeError:
        return None
    decoder = Base64StreamDecoder(limit)
    decoder.feed(encoded)
    return decoder.finish()

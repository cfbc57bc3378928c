"""Inputs that once broke something: name -> target, and the bytes that its harness function is given."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping

REGRESSIONS: Mapping[str, tuple[str, bytes]] = {
    # An exception that nobody named, where FFmpeg has no decoder for what the track says it holds.
    "a clip of an unknown codec": (
        "clips",
        zlib.decompress(
            base64.b64decode(
                "eNpjYGCQSSupLMgszs9lwADMDLn5+WVARg4D3QATQ0lRYjaQEUNLW1JTSoqBlAw+NbkpmYlASoGQWRkpOUUwdllmSioA6wsOsQ=="
            )
        ),
    ),
    # Text where it arrived at once, and a lifted value where it arrived in pieces.
    "a string of escapes": ("json", bytes([6]) + b'{"samples": ["' + b"\\/" * 300 + b'"]}'),
    # No base64 where it arrived at once, and base64 where it arrived byte by byte.
    "an escaped backslash in base64": ("base64", bytes([0]) + b"A\\\\/B\\nC"),
    # Empty where it arrived at once, and no base64 where it arrived byte by byte.
    "an escaped backslash before two letters": ("base64", bytes([0]) + b"\\\\nr"),
}

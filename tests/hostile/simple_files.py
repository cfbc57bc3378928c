"""GIF and TIFF files of a few bytes that announce what one likes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_GIF_PIXELS = b"\x02\x02\x4c\x01\x00"
"""One pixel: code size, length, codes, end."""


def gif_announcing(width: int, height: int, *, frames: int = 1) -> bytes:
    """Frames as large as the screen, each with the codes of one pixel."""
    colours = b"\0\0\0\xff\xff\xff" * 2
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + _GIF_PIXELS
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0) + colours + frame * frames + b"\x3b"


def tiff_announcing(width: int, height: int, *, tags: Mapping[int, int] | None = None, order: str = "<") -> bytes:
    """One strip of grey pixels, deflated to ten bytes. `tags`: further or other ones, by number."""
    values = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: height, 279: 10, **(tags or {})}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    signature = b"II*\0" if order == "<" else b"MM\0*"
    pixels = b"x\x9cc\x00\x00\x00\x01\x00\x01\x00"[:10]
    directory = struct.pack(f"{order}H", len(values)) + entries + bytes(4)
    return signature + struct.pack(f"{order}I", 8 + len(pixels)) + pixels + directory

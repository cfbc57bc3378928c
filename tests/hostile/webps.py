"""WebP files that cost more than they seem to."""

from __future__ import annotations

import struct

from tests.hostile.bits import BitWriter

_TILE = 4
_MOST_GROUPS = 65_536


def group_bomb(width: int, height: int) -> bytes:
    """Lossless pixels with prefix codes of their own for every tile of 4x4: a few bytes of the file are 5 kB of
    tables."""
    columns, rows = -(-width // _TILE), -(-height // _TILE)
    writer = BitWriter(lowest_first=True)
    writer.number(0x2F, 8).number(width - 1, 14).number(height - 1, 14).number(0, 1 + 3)
    writer.number(0, 1)  # no transform
    writer.number(0, 1)  # no colour cache
    writer.number(1, 1).number(0, 3)  # groups, by tiles of 4x4
    writer.number(0, 1)  # of the picture of groups: no colour cache
    _eight_bit_codes(writer, symbols=280)
    _eight_bit_codes(writer, symbols=256)
    for _ in range(3):
        _one_symbol(writer)
    groups = min(columns * rows, _MOST_GROUPS)
    for tile in range(columns * rows):
        group = tile % groups
        writer.code(group & 255, 8).code(group >> 8, 8)
    for _ in range(groups):
        _two_symbols(writer)
        for _ in range(4):
            _one_symbol(writer)
    return riff(b"VP8L", writer.to_bytes() + bytes(width * height // 8 + 16))


def riff(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _one_symbol(writer: BitWriter) -> None:
    writer.number(1, 1).number(0, 1).number(0, 1).number(0, 1)


def _two_symbols(writer: BitWriter) -> None:
    writer.number(1, 1).number(1, 1).number(1, 1).number(0, 8).number(255, 8)


def _eight_bit_codes(writer: BitWriter, symbols: int) -> None:
    """A code of 8 bits for each of the first 256 symbols."""
    writer.number(0, 1).number(12 - 4, 4)
    for length_symbol in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8):
        writer.number(1 if length_symbol in (8, 18) else 0, 3)
    writer.number(0, 1)
    for _ in range(256):
        writer.code(0, 1)
    if symbols > 256:
        writer.code(1, 1).number(symbols - 256 - 11, 7)

"""PNG files that unfold to far more than they are, or cost more than their bytes say."""

from __future__ import annotations

import struct
import zlib

from tests.hostile.bits import BitWriter
from tests.vision.pictures import png_chunk

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)


def png(width: int, height: int, coded: bytes, *, depth: int = 8, color: int = 0, interlace: int = 0) -> bytes:
    """Of a deflate stream. `color`: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return _SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", coded) + png_chunk(b"IEND", b"")


def pixel_bomb(width: int, height: int) -> bytes:
    """All of the pixels, black, one bit each: 30,000 x 30,000 are 109 kB."""
    row = b"\0" * (1 + (width + 7) // 8)
    coder = zlib.compressobj(9)
    coded = b"".join([*(coder.compress(row) for _ in range(height)), coder.flush()])
    return png(width, height, coded, depth=1)


def block_bomb(width: int, height: int) -> bytes:
    """A grey picture whose deflate stream begins a block with code tables of its own for every pixel."""
    block = _deflate_block()
    pixels = height * (1 + width)
    return png(width, height, b"\x78\x01" + _repeated(block, pixels) + struct.pack(">I", zlib.adler32(bytes(pixels))))


def text_bomb(width: int, height: int, texts: int) -> bytes:
    """A picture among compressed texts of 8 MB each."""
    picture = png(width, height, zlib.compress(bytes(height * (1 + width))))
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(7_900_000), 9))
    return picture[:33] + text * texts + picture[33:]


def _deflate_block(*, last: bool = False) -> BitWriter:
    """One zero byte, and tables that know nothing but it and the end of the block (RFC 1951, 3.2.7)."""
    writer = BitWriter(lowest_first=True)
    writer.number(int(last), 1).number(2, 2).number(0, 5).number(0, 5).number(len(_LENGTH_ORDER) - 4, 4)
    for symbol in _LENGTH_ORDER:
        writer.number({18: 1, 0: 2, 1: 2}.get(symbol, 0), 3)
    writer.code(0b11, 2).code(0b0, 1).number(138 - 11, 7).code(0b0, 1).number(117 - 11, 7)
    writer.code(0b11, 2).code(0b10, 2)
    return writer.code(0, 1).code(1, 1)


def _repeated(block: BitWriter, times: int) -> bytes:
    """Eight blocks end at a byte; the last ones, with the one that says so, are written apart."""
    eight = block.repeat(8).to_bytes()
    rest = BitWriter(lowest_first=True)
    for number in range(times % 8 or 8):
        rest.append(_deflate_block(last=number == (times % 8 or 8) - 1))
    return eight * ((times - 1) // 8) + rest.to_bytes()

"""JPEG files that announce much, or say it in many scans (ITU-T T.81)."""

from __future__ import annotations

import struct

from tests.hostile.bits import BitWriter

_LONGEST_RUN = 14


def scan_bomb(width: int, height: int, scans: int, *, runs: bool = True) -> bytes:
    """A progressive grey picture that decoders take: the mean of each block, then the same empty band again and again.

    `runs`: a few bytes for each scan say that all blocks of it are empty; without, each block says so of itself, four
    bits a block, and costs a little more.
    """
    blocks = -(-width // 8) * -(-height // 8)
    means = _scan(0, 0, BitWriter(lowest_first=False).number(0, 1).repeat(blocks).to_bytes(padding=1))
    band = _scan(1, 63, _stuffed(_empty_blocks(blocks) if runs else bytes(-(-blocks // 2))))
    return _start(width, height) + means + band * (scans - 1) + b"\xff\xd9"


def table_bomb(width: int, height: int, megabytes: int) -> bytes:
    """Huffman tables by the megabyte before the first scan."""
    tables = b"\xff\xc4" + struct.pack(">H", 2 + 3_000 * 18) + (b"\x00\x01" + bytes(15) + b"\x00") * 3_000
    picture = scan_bomb(width, height, 2)
    return picture[:2] + tables * (megabytes * 10**6 // len(tables)) + picture[2:]


def _start(width: int, height: int) -> bytes:
    """All that comes before the scans: tables and a frame of one component."""
    ones = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\x01" * 64
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    # One code of one bit for a mean that does not change; fifteen of four bits for runs of 2^0 to 2^14 empty blocks.
    means = b"\xff\xc4" + struct.pack(">HB", 2 + 17 + 1, 0x00) + b"\x01" + bytes(15) + b"\x00"
    lengths = bytes(3) + b"\x0f" + bytes(12)
    runs = b"\xff\xc4" + struct.pack(">HB", 2 + 17 + 15, 0x10) + lengths + bytes(run << 4 for run in range(15))
    return b"\xff\xd8" + ones + frame + means + runs


def _scan(first: int, last: int, coded: bytes) -> bytes:
    return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0x00, first, last, 0) + coded


def _empty_blocks(blocks: int) -> bytes:
    writer = BitWriter(lowest_first=False)
    while blocks:
        size = min(_LONGEST_RUN, blocks.bit_length() - 1)
        run = min(blocks, (1 << size + 1) - 1)
        writer.number(size, 4).number(run - (1 << size), size)
        blocks -= run
    return writer.to_bytes(padding=1)


def _stuffed(coded: bytes) -> bytes:
    return coded.replace(b"\xff", b"\xff\x00")

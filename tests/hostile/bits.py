"""Bit streams, written by hand."""

from __future__ import annotations

import numpy as np


class BitWriter:
    """Bits in the order in which a decoder reads them; `lowest_first`: as deflate and WebP pack them into bytes."""

    def __init__(self, *, lowest_first: bool) -> None:
        self._order = "little" if lowest_first else "big"
        self._bits: list[int] = []

    def number(self, value: int, bits: int) -> BitWriter:
        """Unsigned, its first bit the lowest or the highest as in the stream."""
        places = range(bits) if self._order == "little" else range(bits - 1, -1, -1)
        self._bits += [value >> place & 1 for place in places]
        return self

    def code(self, value: int, bits: int) -> BitWriter:
        """A prefix code: the highest bit first in either order."""
        self._bits += [value >> place & 1 for place in range(bits - 1, -1, -1)]
        return self

    def exponential(self, value: int) -> BitWriter:
        """Exp-Golomb."""
        length = (value + 1).bit_length()
        return self.code(0, length - 1).code(value + 1, length)

    def repeat(self, times: int) -> BitWriter:
        """All that was written, so many times."""
        self._bits *= times
        return self

    def append(self, other: BitWriter) -> BitWriter:
        self._bits += other._bits
        return self

    def to_bytes(self, *, padding: int = 0) -> bytes:
        """Whole bytes, the last one filled with this bit."""
        bits = self._bits + [padding] * (-len(self._bits) % 8)
        return np.packbits(np.array(bits, np.uint8), bitorder=self._order).tobytes()  # type: ignore[call-overload,no-any-return]

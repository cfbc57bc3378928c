"""Numbers of a bit stream, the most significant bit first, as AV1 and HEVC write their headers."""

from __future__ import annotations

_MOST_ZEROS = 31


class BitReader:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        """An unsigned number of so many bits. Raises `ValueError` past the end."""
        if count > self._left:
            raise ValueError("a header is cut short")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        return bool(self.bits(1))

    def exponential(self) -> int:
        """An unsigned Exp-Golomb number (ITU-T H.265, 9.2)."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise ValueError("a number out of range")
        return (1 << zeros) - 1 + self.bits(zeros)

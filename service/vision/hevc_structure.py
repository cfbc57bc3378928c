"""What an HEVC still image says of its size in the code itself (ITU-T H.265, 7.3), which is what a decoder goes by
whatever the container says."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from service.vision.bit_reader import BitReader

_CODED_PICTURES = range(32)
_SEQUENCE_PARAMETERS = 33
_PARAMETER_SETS = range(32, 35)
_CONFIGURATION_BYTES = 23
_SIZE_BYTES = 64
"""Of a sequence parameter set, those before and with its size."""
_MOST_UNITS = 256
"""Of one picture or tile; encoders write one or two, or a slice for each row of blocks."""
_4_4_4 = 3


def read_size(configuration: bytes, code: bytes) -> tuple[int, int]:
    """Coded width and height of the only picture, from the decoder configuration (ISO/IEC 14496-15, `hvcC`).

    Raises `ValueError` where there is more than one size, more than one picture or parameters within the code.
    """
    sizes = {_read_size(unit) for unit in _configured_units(configuration) if _kind(unit) == _SEQUENCE_PARAMETERS}
    if len(sizes) != 1:
        raise ValueError("not one size")
    pictures = 0
    for unit in _coded_units(code, (configuration[21] & 3) + 1):
        if _kind(unit) in _PARAMETER_SETS:
            raise ValueError("parameters within the code")
        # The first bit after the two bytes of the unit's header: the first slice of a picture.
        pictures += _kind(unit) in _CODED_PICTURES and unit[2] >> 7
    if pictures != 1:
        raise ValueError("not one picture")
    return sizes.pop()


def _read_size(unit: bytes) -> tuple[int, int]:
    reader = BitReader(unit[2:_SIZE_BYTES].replace(b"\0\0\3", b"\0\0"))
    reader.bits(4)  # video parameter set
    if reader.bits(3):
        raise ValueError("layers")
    reader.bits(1 + 96)  # nesting, profile and level
    reader.exponential()  # id
    if reader.exponential() == _4_4_4:
        reader.bits(1)
    return reader.exponential(), reader.exponential()


def _configured_units(configuration: bytes) -> Iterator[bytes]:
    """The parameter sets."""
    position = _CONFIGURATION_BYTES
    for _ in range(configuration[22]):
        (count,) = struct.unpack_from(">H", configuration, position + 1)
        position += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, position)
            yield _whole(configuration, position + 2, length)
            position += 2 + length


def _coded_units(code: bytes, length_bytes: int) -> Iterator[bytes]:
    position = 0
    for _ in range(_MOST_UNITS):
        if position == len(code):
            return
        length = int.from_bytes(code[position : position + length_bytes], "big")
        yield _whole(code, position + length_bytes, length)
        position += length_bytes + length
    raise ValueError("too many units")


def _whole(data: bytes, position: int, length: int) -> bytes:
    """The unit there, of its bytes the first. Raises `ValueError` where it reaches past the end."""
    if length < 3 or position + length > len(data):
        raise ValueError("a unit is cut short")
    return data[position : position + min(length, _SIZE_BYTES)]


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63

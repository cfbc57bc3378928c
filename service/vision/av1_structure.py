"""What an AV1 still image says of its size in the code itself (AV1 bitstream specification, 5.5), which is what a
decoder goes by whatever the container says."""

from __future__ import annotations

from collections.abc import Iterator

from service.vision.bit_reader import BitReader

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME_HEADER, _TILE_GROUP, _METADATA, _FRAME, _PADDING = 1, 2, 3, 4, 5, 6, 15
_KNOWN = frozenset({_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME_HEADER, _TILE_GROUP, _METADATA, _FRAME, _PADDING})
_MOST_UNITS = 128
"""Of one picture or tile; encoders write three or four."""
_MOST_SIZE_BYTES = 8
_HEADER_BYTES = 64
"""Of a sequence header, those before and with its size."""


def read_size(code: bytes) -> tuple[int, int]:
    """Width and height of the only frame. Raises `ValueError` for code of another kind than one still frame."""
    size: tuple[int, int] | None = None
    frames = 0
    for kind, position, length in _units(code):
        if kind == _SEQUENCE_HEADER:
            found = _read_sequence_header(code[position : position + min(length, _HEADER_BYTES)])
            if size is not None and size != found:
                raise ValueError("two sizes")
            size = found
        frames += kind in (_FRAME, _FRAME_HEADER)
    if size is None or frames != 1:
        raise ValueError("not one frame")
    return size


def _read_sequence_header(header: bytes) -> tuple[int, int]:
    reader = BitReader(header)
    reader.bits(3)  # profile
    still, reduced = reader.flag(), reader.flag()
    if reduced:
        reader.bits(5)  # level
    elif still and not reader.flag():  # no timing
        _skip_operating_point(reader)
    else:
        raise ValueError("no still image")
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    width, height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    if width_bits != max(1, (width - 1).bit_length()) or height_bits != max(1, (height - 1).bit_length()):
        raise ValueError("room for frames of another size")
    return width, height


def _skip_operating_point(reader: BitReader) -> None:
    """The only one. Raises `ValueError` where there are several: layers are frames of their own."""
    display_delay = reader.flag()
    if reader.bits(5):
        raise ValueError("layers")
    reader.bits(12)
    if reader.bits(5) > 7:  # level
        reader.bits(1)  # tier
    if display_delay and reader.flag():
        reader.bits(4)


def _units(code: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, position and length of the content of each open bitstream unit."""
    position = 0
    for _ in range(_MOST_UNITS):
        if position == len(code):
            return
        head = code[position]
        kind, extended, sized = head >> 3 & 15, head >> 2 & 1, head >> 1 & 1
        if head & 0x81 or kind not in _KNOWN:
            raise ValueError("an unknown unit")
        position += 1 + extended
        length = len(code) - position
        if sized:
            length, position = _read_length(code, position)
        if length > len(code) - position:
            raise ValueError("a unit reaches past the end")
        yield kind, position, length
        position += length
    raise ValueError("too many units")


def _read_length(code: bytes, position: int) -> tuple[int, int]:
    """A little-endian number in groups of 7 bits (leb128), and where it ends."""
    value = 0
    for index in range(_MOST_SIZE_BYTES):
        byte = code[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("a length out of range")

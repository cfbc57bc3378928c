"""How many groups of prefix codes the lossless pixels of a WebP file have (RFC 9649, section 3).

A file may give every tile of 4x4 pixels five codes of its own, and a decoder builds the tables of them all: half a
megabyte of file and one million pixels become 370 MB and half a second. Encoders make some hundreds. The number is said
by the largest pixel of a small picture within the file, so what lies before it is walked through; of the pictures on
the way only the codes are read, for copies of earlier pixels are never larger than these.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST_SMALL_PIXELS = 32_768
"""Of one of the pictures on the way: a tile of 32x32 each of the largest image."""
_PREDICTOR, _CROSS_COLOUR, _SUBTRACT_GREEN, _COLOUR_INDEXING = range(4)
_LENGTH_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_LITERALS, _LENGTHS, _DISTANCES = 256, 24, 40
_LONGEST_CODE = 15
_REPEATED = {16: (2, 3), 17: (3, 3), 18: (7, 11)}
"""Symbol of a code length -> extra bits, and the number that they are added to."""


@dataclass(frozen=True, slots=True)
class _Code:
    """A table over the next `bits` bits of the stream."""

    bits: int
    symbols: list[tuple[int, int]]
    """Symbol, and the bits of its code."""


@dataclass(slots=True)
class _Stream:
    data: bytes
    position: int
    """In bits."""
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.end = 8 * len(self.data)

    def peek(self) -> int:
        """At least the next 32 bits; zeros past the end."""
        byte = self.position >> 3
        return int.from_bytes(self.data[byte : byte + 5], "little") >> (self.position & 7)

    def bits(self, count: int) -> int:
        value = self.peek() & (1 << count) - 1
        self.skip(count)
        return value

    def skip(self, count: int) -> None:
        self.position += count
        if self.position > self.end:
            raise ValueError("the pixels are cut short")

    def symbol(self, code: _Code) -> int:
        symbol, bits = code.symbols[self.peek() & (1 << code.bits) - 1]
        self.skip(bits)
        return symbol


def count_groups(data: bytes, start: int, width: int, height: int) -> int:
    """Of pixels that begin at byte `start`, after signature and size. Raises `ValueError` for a stream that is broken
    or ends early, and for small pictures that no encoder makes."""
    stream = _Stream(data, 8 * start)
    seen: set[int] = set()
    while stream.bits(1):
        kind = stream.bits(2)
        if kind in seen:
            raise ValueError("a transform twice")
        seen.add(kind)
        if kind in (_PREDICTOR, _CROSS_COLOUR):
            _walk_tiles(stream, width, height)
        elif kind == _COLOUR_INDEXING:
            colours = stream.bits(8) + 1
            _walk_picture(stream, colours)
            packed = 3 if colours <= 2 else 2 if colours <= 4 else 1 if colours <= 16 else 0
            width = -(-width >> packed)
    _read_cache_size(stream)
    return 1 + _walk_tiles(stream, width, height) if stream.bits(1) else 1


def _walk_tiles(stream: _Stream, width: int, height: int) -> int:
    """A picture with a pixel for each tile; its largest one, green and red."""
    tile_bits = stream.bits(3) + 2
    return _walk_picture(stream, -(-width >> tile_bits) * -(-height >> tile_bits))


def _walk_picture(stream: _Stream, pixels: int) -> int:
    if pixels > _MOST_SMALL_PIXELS:
        raise ValueError("tiles smaller than any encoder makes them")
    cached = _read_cache_size(stream)
    green = _read_code(stream, _LITERALS + _LENGTHS + cached)
    red, blue, alpha = (_read_code(stream, _LITERALS) for _ in range(3))
    distance = _read_code(stream, _DISTANCES)
    largest = 0
    while pixels > 0:
        symbol = stream.symbol(green)
        if symbol < _LITERALS:
            largest = max(largest, stream.symbol(red) << 8 | symbol)
            stream.symbol(blue)
            stream.symbol(alpha)
            pixels -= 1
        elif symbol < _LITERALS + _LENGTHS:
            pixels -= _read_number(stream, symbol - _LITERALS)
            _read_number(stream, stream.symbol(distance))
        else:
            pixels -= 1
    return largest


def _read_cache_size(stream: _Stream) -> int:
    return 1 << stream.bits(4) if stream.bits(1) else 0


def _read_number(stream: _Stream, prefix: int) -> int:
    """A length or a distance, from 1."""
    if prefix < 4:
        return prefix + 1
    extra = (prefix - 2) >> 1
    return (2 + (prefix & 1) << extra) + stream.bits(extra) + 1


def _read_code(stream: _Stream, alphabet: int) -> _Code:
    if stream.bits(1):
        two = stream.bits(1)
        symbols = [stream.bits(8 if stream.bits(1) else 1)]
        symbols += [stream.bits(8)] if two else []
        return _build_code(dict.fromkeys(symbols, two))
    order = _LENGTH_ORDER[: stream.bits(4) + 4]
    by_length = _build_code({symbol: length for symbol in order if (length := stream.bits(3))})
    left = alphabet
    if stream.bits(1):
        left = stream.bits(2 + 2 * stream.bits(3)) + 2
    lengths: list[int] = []
    previous = 8
    while len(lengths) < alphabet and left:
        left -= 1
        symbol = stream.symbol(by_length)
        if symbol < 16:
            lengths.append(symbol)
            previous = symbol or previous
        else:
            extra, least = _REPEATED[symbol]
            lengths += [previous if symbol == 16 else 0] * (least + stream.bits(extra))
    if len(lengths) > alphabet:
        raise ValueError("more code lengths than symbols")
    return _build_code({symbol: length for symbol, length in enumerate(lengths) if length})


def _build_code(lengths: dict[int, int]) -> _Code:
    """From the bits of each symbol that there is; the only symbol of a code takes none."""
    if len(lengths) == 1:
        return _Code(0, [(next(iter(lengths)), 0)])
    if sum(1 << _LONGEST_CODE - length for length in lengths.values()) != 1 << _LONGEST_CODE:
        raise ValueError("a code that is not complete")
    bits = max(lengths.values())
    table: list[tuple[int, int]] = [(0, 0)] * (1 << bits)
    code = 0
    for length in range(1, bits + 1):
        for symbol in sorted(symbol for symbol in lengths if lengths[symbol] == length):
            turned = int(f"{code:0{length}b}"[::-1], 2)
            table[turned :: 1 << length] = [(symbol, length)] * (1 << bits - length)
            code += 1
        code <<= 1
    return _Code(bits, table)

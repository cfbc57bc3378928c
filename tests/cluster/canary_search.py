"""Looks for vectors, ten thousand at once, in whatever was written: as numbers of any width, as base64 and as text."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_WINDOW = 16
"""Bytes that are compared: four float32, eight float16, sixteen characters. Chance does not bring them about."""
_HEAD = 8
_BITS, _SHIFT = np.uint64(0xFFFFFF), np.uint64(24)
_NUMBER = re.compile(rb"-?\d+\.\d+(?:[eE][-+]?\d+)?")
_RUN = 4
"""Numbers in a row that must be those of a vector, to four decimals."""


class CanarySearch:
    """`vectors`: (N, W) float32, W >= 24. `digests`: hexadecimal, of samples. `words`: anything else, by its name."""

    def __init__(
        self, vectors: NDArray[np.float32], digests: Sequence[str] = (), words: dict[str, bytes] | None = None
    ) -> None:
        self._windows: dict[bytes, str] = {}
        for row in vectors:
            self._windows |= {window: form for form, window in _vector_forms(row)}
        for digest in digests:
            self._windows[bytes.fromhex(digest)[:_WINDOW]] = "digest"
            self._windows[digest.encode()[:_WINDOW]] = "digest, hexadecimal"
        self._runs = {tuple(run) for run in _four_decimals(vectors[:, :_RUN]).tolist()}
        self._words = words or {}
        heads = np.array([int.from_bytes(window[:_HEAD], "little") for window in self._windows], np.uint64)
        # Two tables that nearly nothing passes, so that what is left can be looked up one by one.
        self._first, self._second = np.zeros(1 << 24, bool), np.zeros(1 << 24, bool)
        self._first[heads & _BITS] = True
        self._second[heads >> _SHIFT & _BITS] = True

    def __call__(self, content: bytes) -> set[str]:
        """In which forms any of it is there."""
        return {
            *self._find_windows(content),
            *("decimal text" for _ in self._find_runs(content)),
            *(name for name, word in self._words.items() if any(form in content for form in word_forms(word))),
        }

    def _find_windows(self, content: bytes) -> Iterator[str]:
        for offset in range(_HEAD):
            count = max(0, len(content) - offset) // _HEAD
            if count == 0:
                continue
            heads = np.frombuffer(content, "<u8", count, offset)
            for index in np.flatnonzero(self._first[heads & _BITS] & self._second[heads >> _SHIFT & _BITS]):
                at = offset + int(index) * _HEAD
                form = self._windows.get(content[at : at + _WINDOW])
                if form is not None:
                    yield form

    def _find_runs(self, content: bytes) -> Iterator[tuple[int, ...]]:
        numbers = _four_decimals(np.array([float(number) for number in _NUMBER.findall(content)]))
        for start in range(len(numbers) - _RUN + 1):
            run = tuple(numbers[start : start + _RUN].tolist())
            if run in self._runs:
                yield run


def word_forms(word: bytes) -> tuple[bytes, ...]:
    """The bytes, their hexadecimal, and what they look like inside base64."""
    return (word, word.hex().encode(), *(window for window in _base64_windows(word, len(word))))


def _vector_forms(row: NDArray[np.float32]) -> Iterator[tuple[str, bytes]]:
    plain = {
        "float32": row.astype("<f4").tobytes(),
        "float32, big-endian": row.astype(">f4").tobytes(),
        "float16": row.astype("<f2").tobytes(),
        "float64": row.astype("<f8").tobytes(),
        "msgpack float32": b"".join(struct.pack(">Bf", 0xCA, number) for number in row[:4]),
        "msgpack float64": b"".join(struct.pack(">Bd", 0xCB, number) for number in row[:4]),
    }
    for form, content in plain.items():
        yield form, content[:_WINDOW]
    yield "hexadecimal", plain["float32"].hex().encode()[:_WINDOW]
    for form in ("float32", "float16"):
        for window in _base64_windows(plain[form], _WINDOW):
            yield f"{form}, base64", window[:_WINDOW]


def _base64_windows(content: bytes, length: int) -> Iterator[bytes]:
    """What stands in any base64 that holds `content`, whatever stands before: three ways to lie, two alphabets."""
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(lead) + content[: 2 * length])
            # The first and the last group of four characters also depend on the neighbours.
            yield whole[4 if lead else 0 : -4]


def _four_decimals(numbers: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.rint(np.clip(np.nan_to_num(numbers.astype(np.float64)), -1e9, 1e9) * 1e4).astype(np.int64)

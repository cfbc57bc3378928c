"""How much of a deflate stream does not look like coded pixels.

What inflating costs does not follow from lengths alone: a stream may begin a block with code tables of its own every
twelve bytes, and building tables takes thirty times as long as reading the bytes of a photograph. Such a stream is full
of headers, and headers this short have a pattern: their bytes carry four to six bits, those of coded pixels more than
7.8 (measured on photographs and drawings at every level of compression).
"""

from __future__ import annotations

import numpy as np

_WINDOW_BYTES = 16_384
_LEAST_BITS = 7.8
"""Entropy of one byte. At most a seventh of a window above it are headers, which doubles what its bytes cost."""


def count_patterned_bytes(coded: bytes) -> int:
    """Those in windows of little entropy. A short rest says nothing, and counts as patterned."""
    values = np.frombuffer(coded, np.uint8)
    return sum(
        len(window)
        for start in range(0, len(values), _WINDOW_BYTES)
        if _entropy(window := values[start : start + _WINDOW_BYTES]) < _LEAST_BITS
    )


def _entropy(values: np.ndarray) -> float:
    """Bits of one byte."""
    counts = np.bincount(values, minlength=256)
    shares = counts[counts > 0] / len(values)
    return float(-(shares * np.log2(shares)).sum())

"""Damaged copies of known inputs, for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_MOST_CHANGES = 6


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds: whole, cut off, with other bytes in it, or with a part of another one behind."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, _MOST_CHANGES))):
        place = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[place : place + 1] = draw(st.binary(max_size=2))
            case 1:
                data[place : place + 4] = draw(st.sampled_from((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff")))
            case 2:
                del data[place:]
            case 3:
                data[place:] = draw(st.sampled_from(seeds))[place:]
    return bytes(data)

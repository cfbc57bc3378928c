from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.base64_stream import Base64StreamDecoder, decode_base64


def decode_in_pieces(text: bytes, cuts: list[int], limit: int = 10_000) -> bytes | None:
    decoder = Base64StreamDecoder(limit)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in itertools.pairwise(edges):
        decoder.feed(text[start:end])
    return decoder.finish()


@given(st.binary(max_size=300), st.lists(st.integers(0, 500), max_size=8))
def test_any_cut_gives_the_same_bytes(data: bytes, cuts: list[int]) -> None:
    assert decode_in_pieces(base64.b64encode(data), cuts) == data


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 500), max_size=8))
def test_escapes_of_json_are_understood_at_any_cut(data: bytes, cuts: list[int]) -> None:
    text = base64.encodebytes(data).replace(b"/", b"\\/").replace(b"\n", b"\\r\\n")
    assert decode_in_pieces(text, cuts) == data


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAA",
        b"AA==AAAA",
        b"AA=A",
        b"====",
        b"A-_A",
        b"data:image/png;base64,AAAA",
        b"AAAA\\",
        b"AA\\u0041A",
        b"A\\\\/BC",
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    assert decode_in_pieces(text, []) is None
    assert decode_in_pieces(text, list(range(len(text)))) is None


def test_of_an_over_long_value_one_byte_more_than_the_limit_is_kept() -> None:
    assert decode_in_pieces(base64.b64encode(bytes(100)), [40, 80], limit=99) == bytes(100)
    assert decode_in_pieces(base64.b64encode(bytes(5000)), list(range(0, 5000, 64)), limit=99) == bytes(100)


def test_a_whole_value() -> None:
    assert decode_base64("aGVs\nbG8=\r\n", 10) == b"hello"
    assert decode_base64("aGVsbG8", 10) is None
    assert decode_base64("ä", 10) is None

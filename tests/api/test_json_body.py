from __future__ import annotations

import base64
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.json_body import MAX_TEXT_BYTES, SHORT_STRING_BYTES, JsonBody, JsonBodyReader
from service.errors import InvalidRequestError, RequestTooLargeError, TooManySamplesError


def read(text: bytes, chunk: int = 1 << 20, max_values: int = 100) -> JsonBody:
    reader = JsonBodyReader(max_value_bytes=1 << 20, max_values=max_values)
    for start in range(0, len(text), chunk):
        reader.feed(text[start : start + chunk])
    return reader.finish()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=40)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.integers(1, 60))
def test_short_documents_pass_unchanged_at_any_chunk_size(document: object, chunk: int) -> None:
    text = orjson.dumps(document)
    body = read(text, chunk)
    assert body.document == orjson.loads(text)
    assert body.lifted == {}


@given(st.lists(st.binary(min_size=500, max_size=1500), min_size=1, max_size=3), st.integers(1, 3000))
def test_long_strings_are_lifted_and_decoded(values: list[bytes], chunk: int) -> None:
    text = orjson.dumps({"samples": [base64.b64encode(value).decode() for value in values], "more": "x"})
    body = read(text, chunk)
    assert isinstance(body.document, dict)
    assert [body.lifted[stand_in] for stand_in in body.document["samples"]] == values
    assert body.document["more"] == "x"


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_long_string_that_is_no_base64_is_marked(chunk: int) -> None:
    body = read(orjson.dumps(['\\"' * SHORT_STRING_BYTES, "after"]), chunk)
    assert isinstance(body.document, list)
    assert list(body.lifted.values()) == [None]
    assert body.document[1] == "after"


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_left_to_the_schema(number: str) -> None:
    document = read(b'{"vector": [0.5, %b], "a": "\xc3\xa9"}' % number.encode()).document
    assert isinstance(document, dict)
    assert document["a"] == "é"
    assert document["vector"][0] == 0.5
    assert not math.isfinite(document["vector"][1])


@pytest.mark.parametrize("text", [b'{"vector": [NaN, }', b"[NaN" + b"[" * 100_000, b'["\xff", NaN]', b"[" * 100_000])
def test_broken_json_stays_broken_with_such_a_number(text: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="not valid JSON"):
        read(text)


@pytest.mark.parametrize(
    "text", [b"", b"{", b'"', b'["' + b"A" * 1000, b'{"a":}', b"[" * 5000, b"\xff", b'"\xff"', b"nan"]
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read(text)


def test_text_beside_the_samples_is_bounded() -> None:
    with pytest.raises(RequestTooLargeError):
        read(b"[" + b"1," * MAX_TEXT_BYTES)


def test_the_number_of_long_strings_is_bounded() -> None:
    document = orjson.dumps(["A" * 1000] * 3)
    assert len(read(document, max_values=3).lifted) == 3
    with pytest.raises(TooManySamplesError):
        read(document, max_values=2)


def test_stand_ins_cannot_be_guessed_and_fit_no_text_field() -> None:
    (first,) = read(orjson.dumps(["A" * 1000])).lifted
    (second,) = read(orjson.dumps(["A" * 1000])).lifted
    assert first != second
    assert len(first) > 256

from __future__ import annotations

import contextlib

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.frames import FrameError, FrameReader, array_field, pack_frame


def _reader(*fields: object) -> FrameReader:
    return FrameReader.unpack(pack_frame(fields), len(fields))


def test_fields_come_back_in_order() -> None:
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    reader = _reader("text", b"\x00\xff", -3, 2.5, 7, array_field(values), None, [[1, 2], [3, 4]], ["a", "b"])
    assert reader.text() == "text"
    assert reader.data() == b"\x00\xff"
    assert reader.integer() == -3
    assert reader.number() == 2.5
    assert reader.number() == 7.0
    np.testing.assert_array_equal(reader.array(5, 2), values)
    assert reader.optional(FrameReader.text) is None
    assert [(row.integer(), row.integer()) for row in reader.rows(2)] == [(1, 2), (3, 4)]
    assert reader.many(FrameReader.text) == ("a", "b")
    with pytest.raises(FrameError):
        reader.text()


def test_what_is_skipped_and_rows_of_numbers() -> None:
    reader = _reader("skipped", b"too", [[1, 2.5], [3, 4]], [[1, True]], [[1]])
    reader.skip(2)
    assert reader.rows_of_numbers(2) == ((1.0, 2.5), (3.0, 4.0))
    for _ in range(2):
        with pytest.raises(FrameError):
            reader.rows_of_numbers(2)
    with pytest.raises(FrameError):
        reader.optional(FrameReader.text)


large = st.integers(0xFFFE, 0x10001).map(bytes)
small = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary()
fields = st.recursive(small | large, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


@given(st.lists(fields, max_size=5))
def test_a_frame_is_what_msgpack_makes_of_it(row: list[object]) -> None:
    assert pack_frame(row) == msgpack.packb(row, use_bin_type=True)


def test_arrays_are_read_only() -> None:
    array = _reader(array_field(np.ones(3, np.float32))).array(-1)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2


@pytest.mark.parametrize(
    ("field", "read"),
    [
        (b"bytes", FrameReader.text),
        ("x" * 201, FrameReader.text),
        ("text", FrameReader.data),
        (True, FrameReader.integer),
        (1.0, FrameReader.integer),
        (True, FrameReader.number),
        (float("nan"), FrameReader.number),
        (float("inf"), FrameReader.number),
        ("1", FrameReader.number),
        (b"", lambda reader: reader.array(-1)),
        (b"123", lambda reader: reader.array(-1)),
        (array_field(np.ones(9, np.float32)), lambda reader: reader.array(5, 2)),
        (array_field(np.array([1, np.nan], np.float32)), lambda reader: reader.array(-1)),
        (array_field(np.array([1, np.inf], np.float32)), lambda reader: reader.array(-1)),
        ([1, 2], lambda reader: reader.row(3)),
        ({"a": 1}, lambda reader: reader.row(1)),
        ({"a": 1}, lambda reader: reader.many(FrameReader.integer)),
        ([1], lambda reader: reader.rows(1)),
    ],
)
def test_a_field_of_another_kind_is_refused(field: object, read: object) -> None:
    assert callable(read)
    with pytest.raises(FrameError):
        read(_reader(field))


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(FrameError):
        FrameReader.unpack(pack_frame([1, 2]), 3)
    with pytest.raises(FrameError):
        FrameReader.unpack(pack_frame([1, 2]) + b"\x00", 2)


def test_extension_types_never_become_values() -> None:
    frame = msgpack.packb([msgpack.ExtType(1, b"payload")])
    for read in (FrameReader.text, FrameReader.data, FrameReader.integer):
        with pytest.raises(FrameError):
            read(FrameReader.unpack(frame, 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    with contextlib.suppress(FrameError):
        FrameReader.unpack(frame, 1).text()


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(FrameError):
        FrameReader.unpack(b"\x91" * 5000 + b"\x00", 1)

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.multipart_body import MAX_FIELD_BYTES, MAX_FIELDS, MultipartBody, MultipartBodyReader
from service.errors import CorefaceError, InvalidRequestError, RequestTooLargeError, TooManySamplesError

BOUNDARY = b"boundary-7d"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY, disposition.encode(), data)


END = b"--%b--\r\n" % BOUNDARY


def read(body: bytes, chunk: int = 1 << 20, max_samples: int = 8, max_sample_bytes: int = 1000) -> MultipartBody:
    reader = MultipartBodyReader(
        BOUNDARY,
        allowed_fields=frozenset({"include", "face_policy"}),
        max_sample_bytes=max_sample_bytes,
        max_samples=max_samples,
    )
    for start in range(0, len(body), chunk):
        reader.feed(body[start : start + chunk])
    return reader.finish()


@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(1, 300))
def test_samples_come_back_byte_for_byte_in_order(samples: list[bytes], chunk: int) -> None:
    body = b"".join(part("samples", data, f"{index}.jpg") for index, data in enumerate(samples))
    assert read(body + part("include", b"vector") + END, chunk) == MultipartBody(
        tuple(samples), {"include": ("vector",)}
    )


def test_a_sample_needs_no_file_name() -> None:
    assert read(part("samples", b"x") + END).samples == (b"x",)


def test_an_over_long_sample_is_cut_not_refused() -> None:
    body = part("samples", b"a" * 1000, "a") + part("samples", b"b" * 5000, "b") + part("samples", b"c", "c") + END
    for chunk in (17, 1 << 20):
        assert read(body, chunk).samples == (b"a" * 1000, b"b" * 1001, b"c")


def test_too_many_samples_are_refused_before_their_bytes() -> None:
    reader = MultipartBodyReader(BOUNDARY, allowed_fields=frozenset(), max_sample_bytes=10, max_samples=2)
    reader.feed(part("samples", b"x", "x") * 2)
    with pytest.raises(TooManySamplesError):
        reader.feed(part("samples", b"x", "x")[:-3])


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (part("photos", b"x", "x.jpg") + END, InvalidRequestError, "`samples`"),
        (part("face_polcy", b"only") + END, InvalidRequestError, "face_polcy"),
        (part("include", b"vector") * (MAX_FIELDS + 1) + END, InvalidRequestError, str(MAX_FIELDS)),
        (part("include", b"v" * (MAX_FIELD_BYTES + 1)) + END, RequestTooLargeError, "include"),
        (part("include", b"\xff") + END, InvalidRequestError, "UTF-8"),
        (part("samples", b"x", "x"), InvalidRequestError, "closing boundary"),
        (b"", InvalidRequestError, "closing boundary"),
        (b"--other\r\n", InvalidRequestError, "malformed"),
        (b"--%b\r\n\r\nx\r\n" % BOUNDARY + END, InvalidRequestError, "Content-Disposition"),
        (
            b"--%b\r\nContent-Disposition: attachment; name=samples\r\n\r\nx\r\n" % BOUNDARY + END,
            InvalidRequestError,
            "form-data",
        ),
        (b"--%b\r\nX: %b" % (BOUNDARY, b"y" * 70_000), InvalidRequestError, "malformed"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, error: type[CorefaceError], words: str) -> None:
    with pytest.raises(error, match=words):
        read(body)


def test_a_boundary_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        MultipartBodyReader(b"b" * 1000, allowed_fields=frozenset(), max_sample_bytes=1, max_samples=1)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_noise_never_raises_anything_else(noise: bytes, chunk: int) -> None:
    for body in (noise, part("samples", noise, "x") + noise + END):
        with contextlib.suppress(CorefaceError):
            read(body, chunk)

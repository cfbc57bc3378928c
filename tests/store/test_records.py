from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.store.frames import FrameError, FrameReader, pack_frame
from service.store.records import (
    EMBEDDED_SAMPLE_FIELDS,
    TEMPLATE_RECORD,
    decode_compared,
    decode_template,
    embedded_sample_row,
    encode_template,
    read_embedded_sample,
)
from service.types import RejectionReason, SampleReport
from tests.store.samples import assert_same_template, make_embedded, make_template


def test_a_template_comes_back_bit_by_bit() -> None:
    template = make_template("tpl-1", "a", "b", "c")
    assert_same_template(decode_template(encode_template(template)), template)


@pytest.mark.parametrize("groups", [(None, None), (0, None), (0, 0), (0, 1), (2, None)])
def test_a_comparison_reads_the_same_of_a_template(groups: tuple[int | None, int | None]) -> None:
    template = make_template()
    reports = tuple(replace(report, group=group) for report, group in zip(template.reports, groups, strict=True))
    whole = replace(template, reports=reports, quality=81.5)
    read, wanted = decode_compared(encode_template(whole)), whole.compared
    np.testing.assert_array_equal(read.vector, wanted.vector)
    assert replace(read, vector=wanted.vector) == wanted


@pytest.mark.parametrize("reason", list(RejectionReason))
def test_every_reason_travels(reason: RejectionReason) -> None:
    template = make_template()
    report: SampleReport = replace(template.reports[1], reason=reason)
    changed = replace(template, reports=(template.reports[0], report))
    assert decode_template(encode_template(changed)).reports[1].reason is reason


def test_an_embedded_sample_comes_back_bit_by_bit() -> None:
    sample = make_embedded("a")
    frame = pack_frame(embedded_sample_row(sample))
    read = read_embedded_sample(FrameReader.unpack(frame, EMBEDDED_SAMPLE_FIELDS))
    np.testing.assert_array_equal(read.embedding.vector, sample.embedding.vector)
    np.testing.assert_array_equal(read.face.detection.landmarks, sample.face.detection.landmarks)
    assert (read.digest, read.face.detection.box, read.face.detection.score, read.embedding.norm) == (
        sample.digest,
        sample.face.detection.box,
        sample.face.detection.score,
        sample.embedding.norm,
    )


def test_another_layout_is_refused() -> None:
    frame = bytearray(encode_template(make_template()))
    assert frame[1] == TEMPLATE_RECORD  # the version stands right after the row's length
    frame[1] += 1
    for decode in (decode_template, decode_compared):
        with pytest.raises(FrameError, match="layout"):
            decode(bytes(frame))


def test_every_truncation_is_refused() -> None:
    frame = encode_template(make_template())
    for end in range(len(frame)):
        for decode in (decode_template, decode_compared):
            with pytest.raises(FrameError):
                decode(frame[:end])

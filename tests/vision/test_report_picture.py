from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.types import FaceQuality, HeadPose, RejectionReason, SampleReport
from service.vision.report_picture import THUMBNAIL_SIDE, Tile, draw_report, make_thumbnail

RED, GREEN, BLUE = (50, 50, 200), (90, 150, 40), (200, 120, 20)


def report(reason: RejectionReason | None = None, core_rank: int | None = None, weight: float = 0.5) -> SampleReport:
    return SampleReport(
        index=0,
        digest="0" * 64,
        status="used" if reason is None else "rejected",
        reason=reason,
        box=(100.0, 100.0, 300.0, 340.0),
        landmarks=((150.0, 180.0), (250.0, 180.0), (200.0, 230.0), (160.0, 280.0), (240.0, 280.0)),
        detection_score=0.9,
        face_quality=FaceQuality(12.0, 0.5, HeadPose(-3.0, 1.0)),
        feature_norm=11.0,
        core_rank=core_rank,
        weight=weight,
    )


def nothing(reason: RejectionReason) -> SampleReport:
    return SampleReport(0, "0" * 64, "rejected", reason, None, None, None, None, None, None, 0.0)


def drawn(*tiles: Tile) -> NDArray[np.uint8]:
    sheet = cv2.imdecode(np.frombuffer(draw_report(tiles), np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    return sheet.astype(np.uint8)


def has(sheet: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((sheet == colour).all(axis=-1).any())


GREY = make_thumbnail(np.full((400, 400, 3), 128, np.uint8))


@pytest.mark.parametrize(
    ("line", "colour"),
    [(report(), GREEN), (report(core_rank=0), BLUE), (report(RejectionReason.BLURRED, weight=0.0), RED)],
)
def test_the_colour_tells_what_became_of_a_sample(line: SampleReport, colour: tuple[int, int, int]) -> None:
    sheet = drawn(Tile(GREY, line))
    assert [has(sheet, each) for each in (RED, GREEN, BLUE)] == [each == colour for each in (RED, GREEN, BLUE)]


def test_the_box_lies_where_the_face_is() -> None:
    sheet = drawn(Tile(GREY, report()))
    scale = THUMBNAIL_SIDE / 400
    assert tuple(sheet[8 + round(200 * scale), 8 + round(100 * scale)]) == GREEN
    assert tuple(sheet[8 + round(120 * scale), 8 + round(120 * scale)]) == (128, 128, 128)


def test_the_bar_is_as_long_as_the_weight() -> None:
    lengths = [
        int((drawn(Tile(GREY, report(weight=weight)))[-4] == GREEN).all(axis=-1).sum()) for weight in (0.25, 0.5, 1.0)
    ]
    assert lengths == pytest.approx([0.25 * THUMBNAIL_SIDE, 0.5 * THUMBNAIL_SIDE, THUMBNAIL_SIDE], abs=2)


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (5, 3, 2), (64, 8, 8), (65, 8, 9)])
def test_samples_stand_in_rows(count: int, columns: int, rows: int) -> None:
    one = drawn(Tile(GREY, report())).shape
    assert drawn(*[Tile(GREY, report())] * count).shape == (rows * one[0], columns * one[1], 3)


def test_a_sample_without_a_picture_or_a_face_is_named() -> None:
    for thumbnail in (None, GREY):
        assert has(drawn(Tile(thumbnail, nothing(RejectionReason.UNREADABLE))), RED)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (100, 50), (3000, 2000)])
def test_a_thumbnail_fits_and_keeps_its_proportions(size: tuple[int, int]) -> None:
    thumbnail = make_thumbnail(np.zeros((*size, 3), np.uint8))
    assert max(thumbnail.image_bgr.shape[:2]) <= THUMBNAIL_SIDE
    assert thumbnail.scale == min(1.0, THUMBNAIL_SIDE / max(size))
    drawn(Tile(thumbnail, report()))

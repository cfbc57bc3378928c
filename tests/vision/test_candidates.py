"""From anchors to faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vision.candidates import MAX_CANDIDATES, Candidates, suppress_overlaps, to_detections


def candidates(boxes: list[tuple[float, ...]], scores: list[float]) -> Candidates:
    return Candidates(
        np.array(scores, np.float32),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros((len(boxes), 5, 2), np.float32),
    )


def test_faces_by_falling_score_in_pixels_of_the_image() -> None:
    found = candidates([(0, 0, 10, 20), (50, 50, 60, 60)], [0.7, 0.9])
    detections = to_detections(found, scale_x=0.5, scale_y=0.25, nms_iou=0.3)
    assert [face.box for face in detections] == [(100, 200, 120, 240), (0, 0, 20, 80)]
    assert [round(face.score, 6) for face in detections] == [0.9, 0.7]


def test_overlapping_boxes_leave_the_best() -> None:
    boxes = [(0, 0, 10, 10), (1, 0, 11, 10), (8, 0, 18, 10)]
    detections = to_detections(candidates(boxes, [0.8, 0.9, 0.7]), scale_x=1, scale_y=1, nms_iou=0.5)
    assert [face.box for face in detections] == [(1, 0, 11, 10), (8, 0, 18, 10)]


def test_equal_scores_keep_the_order_of_the_anchors() -> None:
    boxes = [(index * 20, 0, index * 20 + 10, 10) for index in range(50)]
    detections = to_detections(candidates(boxes, [0.5] * 50), scale_x=1, scale_y=1, nms_iou=0.5)
    assert [face.box[0] for face in detections] == [index * 20 for index in range(50)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_dropped(bad: float) -> None:
    boxes = [(0, 0, 10, 10), (20, 0, 30, bad)]
    assert len(to_detections(candidates(boxes, [0.5, 0.9]), scale_x=1, scale_y=1, nms_iou=0.5)) == 1
    assert to_detections(candidates(boxes[:1], [bad]), scale_x=1, scale_y=1, nms_iou=0.5) == []


def test_nothing_found() -> None:
    assert to_detections(candidates([], []), scale_x=1, scale_y=1, nms_iou=0.5) == []


def test_the_number_of_candidates_is_bounded() -> None:
    count = MAX_CANDIDATES + 100
    boxes = [(index * 20, 0, index * 20 + 10, 10) for index in range(count)]
    scores = np.linspace(0.1, 0.9, count).tolist()
    detections = to_detections(candidates(boxes, scores), scale_x=1, scale_y=1, nms_iou=0.5)
    assert len(detections) == MAX_CANDIDATES
    assert detections[-1].score > scores[99]


corners = st.integers(0, 40)
box_lists = st.lists(st.tuples(corners, corners, corners, corners), max_size=30)


@given(box_lists)
def test_suppression_agrees_with_the_textbook(drawn: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in drawn], np.float32).reshape(-1, 4)

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
        return width * height / union if union > 0 else 0.0

    expected: list[int] = []
    for index, box in enumerate(boxes):
        if all(overlap(boxes[kept], box) <= 0.4 for kept in expected):
            expected.append(index)
    assert suppress_overlaps(boxes, 0.4) == expected

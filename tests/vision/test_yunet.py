"""YuNet's outputs, read back into boxes and landmarks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from service.vision.yunet import YuNetDetector
from tests.vision.fake_session import FakeSession

SIDE = 64


def empty_outputs(batch: int) -> list[NDArray[np.float32]]:
    cells = [(SIDE // stride) ** 2 for stride in (8, 16, 32)]
    return [np.zeros((batch, count, width), np.float32) for width in (1, 1, 4, 10) for count in cells]


def make_detector(session: FakeSession) -> YuNetDetector:
    return YuNetDetector(
        SessionOnPixels(session, PixelRange("bgr", 0.0, 1.0)),
        canvas_sides=(SIDE,),
        upscale=False,
        score_threshold=0.7,
        nms_iou=0.3,
    )


def put_face(outputs: list[NDArray[np.float32]], row: int, level: int, cell: int) -> None:
    """Scores 0.81 and 1, centre half a cell in, two cells wide, e cells high, landmarks at cells 0..4."""
    outputs[level][row, cell] = 0.81
    outputs[3 + level][row, cell] = 1.0
    outputs[6 + level][row, cell] = (0.5, 0.5, np.log(2), 1.0)
    outputs[9 + level][row, cell] = np.repeat(np.arange(5), 2)


def test_a_face_at_each_stride() -> None:
    for level, stride in enumerate((8, 16, 32)):
        outputs = empty_outputs(1)
        columns = SIDE // stride
        put_face(outputs, 0, level, columns + 1)
        [[face]] = make_detector(FakeSession(lambda _, outputs=outputs: list(outputs))).detect(
            [np.zeros((SIDE, SIDE, 3), np.uint8)]
        )
        center = 1.5 * stride
        half_height = np.e * stride / 2
        expected = (center - stride, center - half_height, center + stride, center + half_height)
        assert face.box == pytest.approx(expected, rel=1e-5)
        assert face.score == pytest.approx(0.9, rel=1e-5)
        np.testing.assert_allclose(face.landmarks, np.repeat((1 + np.arange(5)) * stride, 2).reshape(5, 2))


def test_images_of_a_batch_keep_apart() -> None:
    outputs = empty_outputs(3)
    put_face(outputs, 0, 0, 0)
    put_face(outputs, 2, 1, 5)
    images = [np.zeros((SIDE, SIDE, 3), np.uint8)] * 3
    faces = make_detector(FakeSession(lambda _: list(outputs))).detect(images)
    assert [len(found) for found in faces] == [1, 0, 1]
    assert faces[0][0].box != faces[2][0].box


def test_low_scores_wild_sizes_and_bad_numbers_are_no_faces() -> None:
    outputs = empty_outputs(1)
    put_face(outputs, 0, 0, 0)
    outputs[0][0, 0] = 0.4
    put_face(outputs, 0, 0, 5)
    outputs[6][0, 5, 0] = np.nan
    put_face(outputs, 0, 0, 9)
    outputs[0][0, 9] = np.nan
    assert make_detector(FakeSession(lambda _: list(outputs))).detect([np.zeros((SIDE, SIDE, 3), np.uint8)]) == [[]]


@pytest.mark.parametrize("change", ["fewer", "other batch", "other width", "other canvas"])
def test_another_network_is_a_failed_inference(change: str) -> None:
    def answer(_: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        outputs: list[NDArray[np.generic]] = [*empty_outputs(1)]
        if change == "fewer":
            return outputs[:9]
        if change == "other batch":
            return [np.repeat(output, 2, axis=0) for output in outputs]
        if change == "other width":
            outputs[6] = outputs[6][..., :3]
        else:
            outputs[0] = outputs[0][:, :-1]
        return outputs

    with pytest.raises(InferenceFailedError):
        make_detector(FakeSession(answer)).detect([np.zeros((SIDE, SIDE, 3), np.uint8)])

"""SCRFD's outputs, read back into boxes and landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.vision.pixel_network import SessionOnPixels
from service.vision.pixel_range import PixelRange
from service.vision.scrfd import ScrfdDetector
from tests.vision.fake_session import FakeSession

SIDE = 64


def empty_outputs() -> list[NDArray[np.float32]]:
    anchors = [2 * (SIDE // stride) ** 2 for stride in (8, 16, 32)]
    return [np.zeros((count, width), np.float32) for width in (1, 4, 10) for count in anchors]


def make_detector(session: FakeSession) -> ScrfdDetector:
    return ScrfdDetector(
        SessionOnPixels(session, PixelRange("rgb", 127.5, 128.0)),
        canvas_sides=(SIDE,),
        upscale=True,
        score_threshold=0.5,
        nms_iou=0.4,
    )


@pytest.mark.parametrize("anchor", [0, 1])
@pytest.mark.parametrize("leading", [(), (1,)])
def test_a_face_at_each_stride(anchor: int, leading: tuple[int, ...]) -> None:
    for level, stride in enumerate((8, 16, 32)):
        outputs = empty_outputs()
        index = 2 * (SIDE // stride) + 2 + anchor  # second row, second column
        outputs[level][index] = 0.8
        outputs[3 + level][index] = (0.25, 0.5, 1.0, 2.0)
        outputs[6 + level][index] = np.repeat(np.arange(5) / 4, 2)
        shaped = [output.reshape(*leading, *output.shape) for output in outputs]
        [[face]] = make_detector(FakeSession(lambda _, shaped=shaped: list(shaped))).detect(
            [np.zeros((SIDE, SIDE, 3), np.uint8)]
        )
        assert face.box == pytest.approx((0.75 * stride, 0.5 * stride, 2 * stride, 3 * stride))
        np.testing.assert_allclose(face.landmarks[:, 0], (1 + np.arange(5) / 4) * stride)


def test_one_image_a_pass_enlarged_to_the_canvas_and_padded_before_scaling() -> None:
    session = FakeSession(lambda _: [*empty_outputs()])
    make_detector(session).detect([np.full((16, 32, 3), 255, np.uint8)] * 2)
    assert [inputs["image"].shape for inputs in session.passes] == [(1, 3, SIDE, SIDE)] * 2
    image = session.passes[0]["image"]
    np.testing.assert_allclose(image[0, :, :32], 127.5 / 128, rtol=1e-6)
    np.testing.assert_allclose(image[0, :, 32:], -127.5 / 128, rtol=1e-6)


def test_another_network_is_a_failed_inference() -> None:
    for outputs in (empty_outputs()[:6], [output[:-1] for output in empty_outputs()]):
        session = FakeSession(lambda _, outputs=outputs: [*outputs])
        with pytest.raises(InferenceFailedError):
            make_detector(session).detect([np.zeros((SIDE, SIDE, 3), np.uint8)])

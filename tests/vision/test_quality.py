from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from service.vision.alignment import arcface_template
from service.vision.quality import estimate_pose, measure_face

LANDMARKS = arcface_template().astype(np.float32)


def turned(landmarks: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise in the image, about the landmarks' middle."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = landmarks.mean(axis=0)
    return ((landmarks - middle) @ turn + middle).astype(np.float32)


def face(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (28, 28, 3), dtype=np.uint8)
    return cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)


def test_a_frontal_face_looks_straight() -> None:
    pose = estimate_pose(LANDMARKS)
    assert abs(pose.yaw) < 3.0 and abs(pose.roll) < 1.0


@pytest.mark.parametrize("degrees", [-170.0, -90.0, -20.0, 5.0, 45.0, 135.0])
def test_roll_is_the_turn_in_the_image(degrees: float) -> None:
    straight, rolled = estimate_pose(LANDMARKS), estimate_pose(turned(LANDMARKS, degrees))
    assert rolled.roll == pytest.approx(straight.roll + degrees, abs=0.1)
    assert rolled.yaw == pytest.approx(straight.yaw, abs=0.1)


def test_a_nose_to_the_right_is_a_face_turned_to_the_right() -> None:
    yaws = []
    for shift in (-12.0, -6.0, 0.0, 6.0, 12.0):
        moved = LANDMARKS.copy()
        moved[2, 0] += shift
        yaws.append(estimate_pose(moved).yaw)
    assert yaws == sorted(yaws) and yaws[0] < -15.0 and yaws[-1] > 15.0


def test_size_and_place_do_not_matter() -> None:
    pose, other = estimate_pose(LANDMARKS), estimate_pose(LANDMARKS * 7.0 + 300.0)
    assert (other.yaw, other.roll) == pytest.approx((pose.yaw, pose.roll), abs=1e-3)


def test_points_that_fit_no_head_have_no_pose() -> None:
    pose = estimate_pose(np.full((5, 2), 3.0, np.float32))
    assert (pose.yaw, pose.roll) == (0.0, 0.0)


def test_blur_lowers_sharpness_and_nothing_else() -> None:
    plain = measure_face(face(), LANDMARKS)
    blurred = measure_face(cv2.GaussianBlur(face(), (0, 0), 3.0), LANDMARKS)
    assert blurred.sharpness < plain.sharpness / 2.0
    assert blurred.brightness == pytest.approx(plain.brightness, abs=0.02)
    assert blurred.pose == plain.pose


@pytest.mark.parametrize(("level", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_brightness_is_a_share_of_white(level: int, brightness: float) -> None:
    flat = measure_face(np.full((112, 112, 3), level, np.uint8), LANDMARKS)
    assert flat.brightness == pytest.approx(brightness)
    assert flat.sharpness == 0.0


def test_real_photographs(shared_data: Path, default_pack_path: Path) -> None:
    """A blurred picture, a face turned aside, a head on its side, and one that is upside down."""
    from models.aggregation.extraction import PackVision
    from service.runtime.pack import load_pack
    from service.vision.alignment import align_face

    vision = PackVision.load(load_pack(default_pack_path))
    measured = {}
    for name in ("blurred.jpg", "pose_left_face.jpeg", "pose_right_wryneck.png", "pixel_rotated_r180.jpg", "mask.jpg"):
        image = cv2.imread(str(shared_data / "photos" / name))
        assert image is not None
        [found] = vision.find_faces([image.astype(np.uint8)])
        assert found is not None
        measured[name] = measure_face(align_face(image.astype(np.uint8), found.landmarks), found.landmarks)
    assert measured["blurred.jpg"].sharpness < 8.0 < measured["mask.jpg"].sharpness
    assert abs(measured["pose_left_face.jpeg"].pose.yaw) > 45.0 > abs(measured["mask.jpg"].pose.yaw)
    assert 20.0 < measured["pose_right_wryneck.png"].pose.roll < 50.0
    assert abs(measured["pixel_rotated_r180.jpg"].pose.roll) > 170.0

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.aggregation.data import CLEAN
from models.aggregation.extraction import PackVision, extract
from models.datasets.people import Person
from service.types import Detection, Embedding

EYES_AND_MOUTH = np.array([[100, 110], [150, 110], [125, 140], [105, 165], [145, 165]], dtype=np.float32)


class OneFaceDetector:
    """Finds the same face in every image that is bright enough."""

    def __init__(self, darkest: float) -> None:
        self._darkest = darkest

    def detect(self, images_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
        face = Detection((80.0, 80.0, 170.0, 190.0), 0.9, EYES_AND_MOUTH)
        return [[face] if image.mean() >= self._darkest else [] for image in images_bgr]

    def refine_landmarks(self, images_bgr: Sequence[np.ndarray], faces: Sequence[Detection]) -> list[Detection]:
        assert len(images_bgr) == len(faces)
        return list(faces)


class MeanEmbedder:
    """An embedding of four pixel statistics."""

    width = 4

    def embed(self, faces_bgr: np.ndarray) -> list[Embedding | None]:
        found: list[Embedding | None] = []
        for face in faces_bgr.astype(np.float64):
            vector = np.array([face.mean(), face.std(), face[:56].mean(), 1.0])
            length = float(np.linalg.norm(vector))
            found.append(Embedding((vector / length).astype(np.float32), length))
        return found


def write_images(folder: Path, brightness: Sequence[int]) -> tuple[Path, ...]:
    paths = []
    rng = np.random.default_rng(0)
    for index, level in enumerate(brightness):
        path = folder / f"image_{index}.png"
        cv2.imwrite(str(path), np.clip(rng.normal(level, 20, (250, 250, 3)), 0, 255).astype(np.uint8))
        paths.append(path)
    return tuple(paths)


def test_each_image_gives_its_clean_version_and_its_degraded_copies(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [120, 130, 140])
    told: list[tuple[int, int]] = []
    vision = PackVision(OneFaceDetector(darkest=0.0), MeanEmbedder())
    cache = extract(
        vision,
        [Person("a", paths[:2]), Person("b", paths[2:])],
        degraded_versions=4,
        progress=lambda *step: told.append(step),
    )
    assert cache.person.tolist() == [0] * 10 + [1] * 5
    assert cache.image.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert cache.version.tolist() == [0, 1, 2, 3, 4] * 3
    assert told[-1] == (3, 3)
    clean = cache.version == CLEAN
    assert not np.isin(cache.norms[~clean], cache.norms[clean]).any(), "a degraded copy has other pixels"


def test_the_same_images_give_the_same_embeddings(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [120, 130])
    vision = PackVision(OneFaceDetector(darkest=0.0), MeanEmbedder())
    first, second = (
        extract(vision, [Person("a", paths)], degraded_versions=5, progress=lambda done, total: None) for _ in range(2)
    )
    assert np.array_equal(first.embeddings, second.embeddings) and np.array_equal(first.norms, second.norms)


def test_an_image_without_a_face_is_counted_and_left_out(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [120, 20])
    vision = PackVision(OneFaceDetector(darkest=60.0), MeanEmbedder())
    cache = extract(vision, [Person("a", paths)], degraded_versions=2, progress=lambda done, total: None)
    assert cache.images_without_face == 1
    assert set(cache.image.tolist()) == {0}


def test_a_copy_whose_face_is_lost_before_detection_is_left_out(tmp_path: Path) -> None:
    """Every third copy is degraded before detection and detected again."""

    class FirstLookOnly(OneFaceDetector):
        def __init__(self) -> None:
            super().__init__(0.0)
            self._looks = 0

        def detect(self, images_bgr: Sequence[np.ndarray]) -> list[list[Detection]]:
            self._looks += 1
            return super().detect(images_bgr) if self._looks == 1 else [[] for _ in images_bgr]

    paths = write_images(tmp_path, [120])
    vision = PackVision(FirstLookOnly(), MeanEmbedder())
    cache = extract(vision, [Person("a", paths)], degraded_versions=4, progress=lambda done, total: None)
    assert cache.version.tolist() == [0, 1, 2, 4]

"""People's images -> embeddings, through the very decoder, detector, alignment and embedder of the service.

An image is embedded as it is and in degraded copies. Most copies are degraded after alignment, every third before
detection, so that landmark error caused by bad pixels is there as it is in production.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aggregation.data import CLEAN, EmbeddingCache
from models.aggregation.degradation import VERSION as DEGRADATION_VERSION
from models.aggregation.degradation import DegradationKind, DegradationRecipe, FacePlace, degrade
from models.datasets.celeba import celeba_people
from models.datasets.lfw import Split, lfw_people
from models.datasets.people import Person
from service.assembly import build_detector, build_embedder
from service.errors import SampleRejectedError
from service.protocols import FaceDetector, FaceEmbedder
from service.runtime.manifest import PIPELINE_VERSION, Manifest
from service.runtime.networks import on_pixels
from service.runtime.onnx import load_model
from service.runtime.pack import Pack
from service.types import Detection, Embedding, FacePolicy
from service.vision.alignment import ALIGNED_SIDE, align_face
from service.vision.decoding import decode_image
from service.vision.face_selection import choose_face
from service.vision.sniffing import ImageLimits

LIMITS = ImageLimits(max_pixels=25_000_000, max_side=8192, max_jpeg_scans=100, max_scan_megapixels=250.0)
MIN_EYE_DISTANCE_PIXELS = 8.0
SEED = 20_240
_DEGRADED_VERSIONS = {
    Split.TRAIN: 6,
    Split.VALIDATION: 8,
    Split.TEST: 8,
    Split.SINGLE_TRAIN: 3,
    Split.SINGLE_TEST: 3,
}
"""Degraded copies of each image."""
_ALIGNED_PLACE = FacePlace(centre=(56.0, 66.0), eye_distance=35.2)
_BEFORE_DETECTION_EVERY = 3
_CHUNK = 8

Progress = Callable[[int, int], None]
"""Told how many images of how many are done."""

_Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PackVision:
    """A pack's detector and embedder."""

    detector: FaceDetector
    embedder: FaceEmbedder

    @classmethod
    def load(cls, pack: Pack) -> PackVision:
        """One thread a network: images are spread over threads instead."""
        manifest = pack.manifest
        detector = load_model(pack, manifest.detector, threads=1)
        embedder = load_model(pack, manifest.embedder, threads=1)
        return cls(
            build_detector(manifest.detector, on_pixels(detector, manifest.detector.input_range)),
            build_embedder(manifest.embedder, on_pixels(embedder, manifest.embedder.input_range), batch_size=_CHUNK),
        )

    def find_faces(self, images_bgr: Sequence[_Image]) -> list[Detection | None]:
        """The face that the service would take in each image by the policy `central`, or None.

        The people of LFW stand in the middle of their images; the largest face is a bystander's in one of fifty.
        """
        detections = self.detector.detect(images_bgr)
        chosen = [_chosen(faces, image.shape[:2]) for image, faces in zip(images_bgr, detections, strict=True)]
        found = [(image, face) for image, face in zip(images_bgr, chosen, strict=True) if face]
        refined = iter(self.detector.refine_landmarks([image for image, _ in found], [face for _, face in found]))
        return [next(refined) if face else None for face in chosen]

    def embed_files(self, paths: Sequence[Path]) -> list[Embedding | None]:
        """The embedding of each image file; None where the service would reject the sample."""
        images = [decode_image(path.read_bytes(), LIMITS) for path in paths]
        return self._embed_found(images, self.find_faces(images))

    def _embed_found(self, images: Sequence[_Image], found: Sequence[Detection | None]) -> list[Embedding | None]:
        faces = [align_face(image, face.landmarks) for image, face in zip(images, found, strict=True) if face]
        embeddings = iter(self.embedder.embed(np.stack(faces)) if faces else [])
        return [next(embeddings) if face else None for face in found]

    def embed_versions(
        self, path: Path, degraded_versions: int, seed: int, recipe: DegradationRecipe
    ) -> dict[int, Embedding]:
        """Version -> embedding of one image; empty when its clean version has no usable face."""
        image = decode_image(path.read_bytes(), LIMITS)
        face = self.find_faces([image])[0]
        if face is None:
            return {}
        aligned = align_face(image, face.landmarks)
        place = _place_of(face)
        faces, versions = [aligned], [CLEAN]
        captured: list[_Image] = []
        captured_versions: list[int] = []
        for version in range(1, degraded_versions + 1):
            rng = np.random.default_rng([seed, zlib.crc32(path.name.encode()), version])
            if version % _BEFORE_DETECTION_EVERY == 0:
                captured.append(degrade(image, place, rng, recipe))
                captured_versions.append(version)
            else:
                faces.append(degrade(aligned, _ALIGNED_PLACE, rng, recipe))
                versions.append(version)
        for version, shot, seen in zip(captured_versions, captured, self.find_faces(captured), strict=True):
            if seen is not None:
                faces.append(align_face(shot, seen.landmarks))
                versions.append(version)
        embedded = zip(versions, self.embedder.embed(np.stack(faces)), strict=True)
        return {version: embedding for version, embedding in embedded if embedding is not None}

    def embed_aligned_versions(
        self, path: Path, degraded_versions: int, seed: int, recipe: DegradationRecipe
    ) -> dict[int, Embedding]:
        """Version -> embedding of an image that is an aligned face already, as training sets are handed round."""
        face = decode_image(path.read_bytes(), LIMITS)
        if face.shape[:2] != (ALIGNED_SIDE, ALIGNED_SIDE):
            resized = cv2.resize(face, (ALIGNED_SIDE, ALIGNED_SIDE), interpolation=cv2.INTER_AREA)
            face = resized.astype(np.uint8, copy=False)
        faces = [face]
        for version in range(1, degraded_versions + 1):
            rng = np.random.default_rng([seed, zlib.crc32(path.name.encode()), version])
            faces.append(degrade(face, _ALIGNED_PLACE, rng, recipe))
        embedded = enumerate(self.embedder.embed(np.stack(faces)))
        return {version: embedding for version, embedding in embedded if embedding is not None}


def extract_split(
    pack: Pack,
    data: Path,
    split: Split,
    *,
    degraded_versions: int | None = None,
    kind: DegradationKind | None = None,
    cache_directory: Path,
    progress: Progress,
) -> EmbeddingCache:
    """Embeddings of a split of LFW, with as many degraded copies as its purpose needs unless said; see
    `extract_cached`."""
    people = lfw_people(data, split)
    versions = _DEGRADED_VERSIONS[split] if degraded_versions is None else degraded_versions
    return extract_cached(
        pack, split.value, people, versions, kind=kind, cache_directory=cache_directory, progress=progress
    )


def extract_celeba(
    pack: Pack, data: Path, degraded_versions: int, *, cache_directory: Path, progress: Progress
) -> EmbeddingCache:
    """Embeddings of the people of CelebA with two images or more; see `extract_cached`."""
    people = celeba_people(data / "celeba_small")
    return extract_cached(pack, "celeba", people, degraded_versions, cache_directory=cache_directory, progress=progress)


def extract_cached(
    pack: Pack,
    label: str,
    people: Sequence[Person],
    degraded_versions: int,
    *,
    aligned: bool = False,
    kind: DegradationKind | None = None,
    cache_directory: Path,
    progress: Progress,
) -> EmbeddingCache:
    """Embeddings of a data set that does not change, from `cache_directory` when they were extracted before with the
    same networks, degradation and names of people."""
    label = "-".join([label, *(["aligned"] if aligned else []), *([kind.value] if kind else [])])
    path = cache_directory / f"{label}-{_cache_key(pack.manifest, people, degraded_versions)}.npz"
    if path.is_file():
        return EmbeddingCache.load(path)
    vision = PackVision.load(pack)
    cache = extract(vision, people, degraded_versions=degraded_versions, aligned=aligned, kind=kind, progress=progress)
    cache.save(path)
    return cache


def extract(
    vision: PackVision,
    people: Sequence[Person],
    *,
    degraded_versions: int,
    aligned: bool = False,
    kind: DegradationKind | None = None,
    progress: Progress,
) -> EmbeddingCache:
    """Embeddings of each person's image files, clean and degraded. Deterministic; two threads.

    `aligned`: the images are aligned faces, in which nothing needs to be detected. `kind`: the one degradation that
    copies have; else what comes up.
    """
    recipe = kind.alone() if kind else DegradationRecipe()
    embed = vision.embed_aligned_versions if aligned else vision.embed_versions
    work = [(number, path) for number, person in enumerate(people) for path in person.images]
    rows: list[tuple[int, int, int, Embedding]] = []
    without_face = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = pool.map(lambda item: embed(item[1], degraded_versions, SEED, recipe), work)
        for number, ((person, _), versions) in enumerate(zip(work, answers, strict=True)):
            without_face += not versions
            rows.extend((person, number, version, versions[version]) for version in sorted(versions))
            progress(number + 1, len(work))
    return EmbeddingCache(
        names=tuple(person.name for person in people),
        person=np.array([row[0] for row in rows], dtype=np.int64),
        image=np.array([row[1] for row in rows], dtype=np.int64),
        version=np.array([row[2] for row in rows], dtype=np.int64),
        embeddings=np.stack([row[3].vector for row in rows]).astype(np.float32),
        norms=np.array([row[3].norm for row in rows], dtype=np.float32),
        images_without_face=without_face,
    )


def _cache_key(manifest: Manifest, people: Sequence[Person], degraded_versions: int) -> str:
    relevant = (
        manifest.detector.model_dump_json(),
        manifest.embedder.model_dump_json(),
        "\n".join(person.name for person in people),
        f"{PIPELINE_VERSION} {DEGRADATION_VERSION} {degraded_versions} {SEED} {_BEFORE_DETECTION_EVERY}",
    )
    return hashlib.sha256("\0".join(relevant).encode()).hexdigest()[:16]


def _chosen(detections: Sequence[Detection], image_size: tuple[int, ...]) -> Detection | None:
    try:
        return choose_face(detections, FacePolicy.CENTRAL, MIN_EYE_DISTANCE_PIXELS, image_size=image_size)
    except SampleRejectedError:
        return None


def _place_of(face: Detection) -> FacePlace:
    centre = face.landmarks.mean(axis=0)
    eye_distance = float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    return FacePlace((float(centre[0]), float(centre[1])), max(eye_distance, 8.0))

"""What becomes of one sample before it is embedded: decode, detect and choose, align. Plain functions of pixels and
policy; which samples share a batch is decided elsewhere (`set_processing`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.errors import SampleRejectedError
from service.pipeline.quality_gate import refuse_face
from service.protocols import FaceDetector
from service.types import Detection, FacePolicy, FaceQuality, QualityLimits, RejectionReason, Sample
from service.vision.alignment import align_face
from service.vision.clip_structure import sniff_clip
from service.vision.clips import read_frames
from service.vision.decoding import decode_announced
from service.vision.face_selection import candidate_faces, choose_face
from service.vision.quality import measure_face
from service.vision.sniffing import ImageLimits, sniff_image


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A photograph, or one frame of a clip."""

    digest: str
    """SHA-256 of the sample."""
    image_bgr: NDArray[np.uint8]  # (H, W, 3)
    seconds: float | None = None
    """Of the frame."""
    scale: int = 1
    """Pixels of the upright image for one of these, across and down."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    image: DecodedImage
    detection: Detection


@dataclass(frozen=True, slots=True)
class AlignedFace:
    digest: str
    detection: Detection
    quality: FaceQuality
    face_bgr: NDArray[np.uint8]  # (112, 112, 3)
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Of a sample, or of one of its faces."""

    digest: str
    reason: RejectionReason
    detection: Detection | None = None
    quality: FaceQuality | None = None


@dataclass(frozen=True, slots=True)
class DetectionTask:
    """Decoded images of one set."""

    images: tuple[DecodedImage, ...]
    face_policy: FacePolicy


def decoded_pixels(sample: Sample, limits: ImageLimits, clip_pixels: int) -> int:
    """How many pixels decoding the sample makes, by its header; of a clip `clip_pixels`."""
    if sniff_clip(sample.data) is not None:
        return clip_pixels
    try:
        header = sniff_image(sample.data, limits)
    except SampleRejectedError:
        return 0  # decoding will find the reason again and report it
    return header.width * header.height // header.scale**2


def decode_sample(sample: Sample, limits: ImageLimits) -> list[DecodedImage | Rejection]:
    """One image, or the frames of a clip."""
    clip_format = sniff_clip(sample.data)
    try:
        if clip_format is None:
            return [_decode_still(sample, limits)]
        frames = read_frames(sample.data, clip_format, limits)
    except SampleRejectedError as error:
        return [Rejection(sample.digest, error.reason)]
    return [DecodedImage(sample.digest, frame.image_bgr, frame.seconds) for frame in frames]


def _decode_still(sample: Sample, limits: ImageLimits) -> DecodedImage:
    header = sniff_image(sample.data, limits)
    image_bgr = decode_announced(sample.data, header)
    # An animation is a clip of which the first frame is looked at.
    return DecodedImage(sample.digest, image_bgr, 0.0 if header.animated else None, header.scale)


def find_faces(
    tasks: Sequence[DetectionTask], detector: FaceDetector, min_eye_distance_pixels: float
) -> list[list[FoundFace | Rejection]]:
    """Of each task the faces that its policy chooses, with exact landmarks; all images of all tasks together. Raises
    `InferenceFailedError`."""
    images = [image for task in tasks for image in task.images]
    detections = iter(detector.detect([image.image_bgr for image in images]))
    chosen = [
        [
            result
            for image in task.images
            for result in _choose(image, next(detections), task.face_policy, min_eye_distance_pixels)
        ]
        for task in tasks
    ]
    found = [result for results in chosen for result in results if isinstance(result, FoundFace)]
    refined = iter(
        detector.refine_landmarks([face.image.image_bgr for face in found], [face.detection for face in found])
    )
    return [
        [FoundFace(result.image, next(refined)) if isinstance(result, FoundFace) else result for result in results]
        for results in chosen
    ]


def align_found_face(face: FoundFace, limits: QualityLimits) -> AlignedFace | Rejection:
    """The 112x112 crop with its measures, unless one of them breaks a limit."""
    digest, detection = face.image.digest, _in_upright_image(face.detection, face.image.scale)
    try:
        aligned = align_face(face.image.image_bgr, face.detection.landmarks)
    except SampleRejectedError as error:
        return Rejection(digest, error.reason, detection)
    quality = measure_face(aligned, detection.landmarks)
    reason = refuse_face(detection, quality, limits)
    if reason is not None:
        return Rejection(digest, reason, detection, quality)
    return AlignedFace(digest, detection, quality, aligned, face.image.seconds)


def _in_upright_image(detection: Detection, scale: int) -> Detection:
    """In pixels of the image as it was sent: the middle of a pixel stays the middle of what it was made of."""
    if scale == 1:
        return detection
    middle = (scale - 1) / 2
    x1, y1, x2, y2 = (value * scale + middle for value in detection.box)
    landmarks = (detection.landmarks * scale + middle).astype(np.float32)
    return replace(detection, box=(x1, y1, x2, y2), landmarks=landmarks)


def _choose(
    image: DecodedImage, detections: Sequence[Detection], policy: FacePolicy, min_eye_distance_pixels: float
) -> list[FoundFace | Rejection]:
    min_eye_distance_pixels /= image.scale
    try:
        if policy is FacePolicy.CONSISTENT:
            chosen = candidate_faces(detections, min_eye_distance_pixels)
        else:
            size = image.image_bgr.shape[:2]
            chosen = [choose_face(detections, policy, min_eye_distance_pixels, image_size=size)]
    except SampleRejectedError as error:
        return [Rejection(image.digest, error.reason)]
    return [FoundFace(image, detection) for detection in chosen]

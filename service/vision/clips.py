"""Frames of a video clip, evenly over its time. Needs PyAV, which the extra `video` brings."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision.clip_structure import ClipFormat
from service.vision.sniffing import ImageLimits

try:
    import av
    from av.error import FFmpegError
except ImportError:
    av = None  # type: ignore[assignment]

FRAMES = 24
"""Most frames of a clip that are looked at."""
MOST_DECODED = 1800
"""Frames of the longest clip: a minute at 30 a second. Decoding goes through all of them."""
_FRAME_SIDE = 1280
"""Longer side of a frame, pixels; larger ones are made smaller."""
_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4"})
_STEP_S = 0.5
"""Between frames of a clip that does not tell its length."""


@dataclass(frozen=True, slots=True)
class Frame:
    image_bgr: NDArray[np.uint8]  # (H, W, 3)
    seconds: float
    """From the start of the clip."""


def read_frames(data: bytes, clip_format: ClipFormat, limits: ImageLimits) -> list[Frame]:
    """Up to `FRAMES` upright frames.

    Raises `SampleRejectedError`: `unsupported_type` without PyAV and for other codecs; `unreadable`; `too_many_pixels`;
    `too_long`.
    """
    if av is None:
        raise SampleRejectedError(RejectionReason.UNSUPPORTED_TYPE)
    try:
        # In memory, of one named format: nothing the clip says makes the demuxer open another file or address.
        with av.open(io.BytesIO(data), "r", format=clip_format.value) as container:
            frames = list(_frames(container, limits))
    except (FFmpegError, ValueError, IndexError, OverflowError) as error:
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error
    if not frames:
        raise SampleRejectedError(RejectionReason.UNREADABLE)
    return frames


def _frames(container: av.container.InputContainer, limits: ImageLimits) -> Iterator[Frame]:
    if not container.streams.video:
        raise SampleRejectedError(RejectionReason.UNSUPPORTED_TYPE)
    stream = container.streams.video[0]
    _check(stream, limits)
    stream.thread_type = "NONE"  # several clips are decoded side by side already
    seconds = container.duration / av.time_base if container.duration else 0.0
    step, due, taken = seconds / FRAMES or _STEP_S, 0.0, 0
    for number, frame in enumerate(container.decode(stream)):
        if number >= MOST_DECODED:
            raise SampleRejectedError(RejectionReason.TOO_LONG)
        if frame.width * frame.height > limits.max_pixels:
            raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
        time = float(frame.time or 0.0)
        if time >= due and taken < FRAMES:
            due, taken = max(due + step, time), taken + 1
            yield Frame(_upright(frame), time)


def _check(stream: av.video.stream.VideoStream, limits: ImageLimits) -> None:
    codec = stream.codec_context
    if codec is None or codec.name not in _CODECS:  # none: of a codec that FFmpeg does not know
        raise SampleRejectedError(RejectionReason.UNSUPPORTED_TYPE)
    if codec.width * codec.height > limits.max_pixels or max(codec.width, codec.height) > limits.max_side:
        raise SampleRejectedError(RejectionReason.TOO_MANY_PIXELS)
    if stream.frames > MOST_DECODED:
        raise SampleRejectedError(RejectionReason.TOO_LONG)


def _upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    stored = frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    image: NDArray[np.uint8] = np.rot90(stored, round(frame.rotation / 90) % 4)
    scale = _FRAME_SIDE / max(image.shape[:2])
    if scale < 1.0:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return np.ascontiguousarray(image)

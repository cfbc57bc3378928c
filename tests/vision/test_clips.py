from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.errors import SampleRejectedError
from service.types import RejectionReason
from service.vision import clips
from service.vision.clip_structure import ClipFormat
from service.vision.clips import FRAMES, read_frames
from service.vision.sniffing import ImageLimits
from tests.vision.clips import make_clip

LIMITS = ImageLimits(max_pixels=4_000_000, max_side=3000, max_jpeg_scans=100, max_scan_megapixels=250.0)


def grey(level: int, height: int = 64, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def refusal(data: bytes, limits: ImageLimits = LIMITS, clip_format: ClipFormat = ClipFormat.MP4) -> RejectionReason:
    with pytest.raises(SampleRejectedError) as caught:
        read_frames(data, clip_format, limits)
    return caught.value.reason


@pytest.mark.parametrize(("suffix", "clip_format"), [("mp4", ClipFormat.MP4), ("webm", ClipFormat.WEBM)])
def test_frames_are_taken_evenly_over_the_time(suffix: str, clip_format: ClipFormat) -> None:
    frames = read_frames(make_clip([grey(2 * n) for n in range(100)], suffix=suffix), clip_format, LIMITS)
    assert FRAMES - 1 <= len(frames) <= FRAMES
    assert frames[0].seconds < 0.1
    assert 9.0 < frames[-1].seconds < 10.1
    assert np.ptp(np.diff([frame.seconds for frame in frames])) <= 0.11
    for frame in frames:
        assert frame.image_bgr.shape == (64, 96, 3)
        assert abs(float(frame.image_bgr.mean()) - 20.0 * frame.seconds) < 4.0, "the picture of its time"


def test_a_short_clip_gives_what_it_has() -> None:
    assert len(read_frames(make_clip([grey(100)]), ClipFormat.MP4, LIMITS)) == 1
    assert len(read_frames(make_clip([grey(n) for n in range(5)]), ClipFormat.MP4, LIMITS)) == 5


def test_colours_are_blue_green_red() -> None:
    blue = np.zeros((64, 64, 3), np.uint8)
    blue[..., 0] = 220
    [frame] = read_frames(make_clip([blue]), ClipFormat.MP4, LIMITS)
    assert frame.image_bgr[32, 32, 0] > 180
    assert max(frame.image_bgr[32, 32, 1:]) < 60


def test_large_frames_are_made_smaller() -> None:
    [frame] = read_frames(make_clip([grey(90, 1000, 2000)]), ClipFormat.MP4, LIMITS)
    assert frame.image_bgr.shape == (640, 1280, 3)


def test_too_large_or_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip([grey(n) for n in range(30)])
    tight = ImageLimits(max_pixels=96 * 64 - 1, max_side=3000, max_jpeg_scans=100, max_scan_megapixels=250.0)
    assert refusal(clip, tight) is RejectionReason.TOO_MANY_PIXELS
    narrow = ImageLimits(max_pixels=4_000_000, max_side=95, max_jpeg_scans=100, max_scan_megapixels=250.0)
    assert refusal(clip, narrow) is RejectionReason.TOO_MANY_PIXELS
    monkeypatch.setattr(clips, "MOST_DECODED", 29)
    assert refusal(clip) is RejectionReason.TOO_LONG


def test_what_cannot_be_decoded_is_unreadable() -> None:
    clip = make_clip([grey(n) for n in range(10)])
    for broken in (clip[:40], clip[:30] + bytes(len(clip) - 30), b"\x00\x00\x00\x1cftypisom" + b"x" * 500):
        assert refusal(broken) is RejectionReason.UNREADABLE
    assert refusal(clip, clip_format=ClipFormat.WEBM) is RejectionReason.UNREADABLE


def test_other_codecs_and_a_missing_decoder_are_an_unsupported_type(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip([grey(100)])
    monkeypatch.setattr(clips, "_CODECS", frozenset({"h264"}))
    assert refusal(clip) is RejectionReason.UNSUPPORTED_TYPE
    monkeypatch.setattr(clips, "av", None)
    assert refusal(clip) is RejectionReason.UNSUPPORTED_TYPE


def test_a_real_clip(shared_data: Path) -> None:
    frames = read_frames((shared_data / "video/friends.mp4").read_bytes(), ClipFormat.MP4, LIMITS)
    assert len(frames) == FRAMES
    assert {frame.image_bgr.shape for frame in frames} == {(720, 1280, 3)}

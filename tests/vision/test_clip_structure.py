from __future__ import annotations

import numpy as np
import pytest

from service.vision.clip_structure import ClipFormat, sniff_clip
from tests.vision.clips import make_clip

GREY = [np.full((64, 96, 3), 128, np.uint8)] * 3


@pytest.mark.parametrize(("suffix", "expected"), [("mp4", ClipFormat.MP4), ("webm", ClipFormat.WEBM)])
def test_a_clip_is_known_by_its_first_bytes(suffix: str, expected: ClipFormat) -> None:
    assert sniff_clip(make_clip(GREY, suffix=suffix)) is expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ftyp",
        b"\x00\x00\x00\x1cftypavif" + bytes(40),
        b"\x00\x00\x00\x1cftypheic" + bytes(40),
        b"\x1a\x45\xdf\xa3" + bytes(80) + b"webm",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_clip(data: bytes) -> None:
    assert sniff_clip(data) is None

from __future__ import annotations

import pytest

from service.vision.image_format import ImageFormat, identify_format
from tests.hostile.corpus import ANNOUNCERS


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_every_format_is_known_by_its_first_bytes(image_format: ImageFormat) -> None:
    assert identify_format(ANNOUNCERS[image_format](64, 48)) is image_format


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        (b"avif\0\0\0\0", ImageFormat.AVIF),
        (b"mif1\0\0\0\0miafavif", ImageFormat.AVIF),
        (b"mif1\0\0\0\0heic", ImageFormat.HEIC),
        (b"heix\0\0\0\0", ImageFormat.HEIC),
        (b"mif1\0\0\0\0mif1", None),
        (b"isom\0\0\0\0mp41", None),
        (b"mif1heicmiaf", None),
    ],
)
def test_brands_tell_avif_from_heic(brands: bytes, expected: ImageFormat | None) -> None:
    data = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"heicavif"
    assert identify_format(data) is expected

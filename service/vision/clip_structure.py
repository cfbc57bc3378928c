"""Which uploads are video clips, by their first bytes. Decodes nothing."""

from __future__ import annotations

from enum import StrEnum

_BRANDS = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"M4V ",
    b"dash",
    b"qt  ",
    b"3gp4",
    b"3gp5",
)
"""Major brands of ISO base media files that hold video; HEIF and AVIF pictures have others."""
_EBML = b"\x1a\x45\xdf\xa3"
_HEAD_BYTES = 64


class ClipFormat(StrEnum):
    """By the name of FFmpeg's demuxer."""

    MP4 = "mp4"
    WEBM = "matroska"


def sniff_clip(data: bytes) -> ClipFormat | None:
    """None for what is no clip (ISO/IEC 14496-12; the WebM container guidelines)."""
    if data[4:8] == b"ftyp" and data[8:12] in _BRANDS:
        return ClipFormat.MP4
    if data.startswith(_EBML) and b"webm" in data[:_HEAD_BYTES]:
        return ClipFormat.WEBM
    return None

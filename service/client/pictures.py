"""Pictures as programs have them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

Picture = bytes | str | PathLike[str] | BinaryIO
"""Its bytes, the path of its file, or an open binary file."""


def read_picture(picture: Picture) -> bytes:
    """Raises `OSError` for a file that cannot be read."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | PathLike):
        return Path(picture).read_bytes()
    return picture.read()

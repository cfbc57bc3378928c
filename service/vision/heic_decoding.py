"""HEIC pixels, which OpenCV does not read. Needs pillow-heif, which the extra `heic` brings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.errors import OutOfMemoryError, SampleRejectedError
from service.types import RejectionReason

try:
    import pillow_heif
except ImportError:
    pillow_heif = None


def has_decoder() -> bool:
    return pillow_heif is not None and bool(pillow_heif.libheif_info()["decoders"])


def decode_heic(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA of the primary picture, turned and cropped as the file says.

    Raises `SampleRejectedError` (`unreadable`), `OutOfMemoryError`.
    """
    try:
        picture = pillow_heif.open_heif(data, convert_hdr_to_8bit=True, bgr_mode=True)
        pixels = np.asarray(picture)
    except MemoryError as error:
        raise OutOfMemoryError("There is not enough memory to decode a sample.") from error
    except (ValueError, OSError, RuntimeError, SyntaxError, EOFError) as error:
        raise SampleRejectedError(RejectionReason.UNREADABLE) from error
    return pixels.astype(np.uint8, copy=False)

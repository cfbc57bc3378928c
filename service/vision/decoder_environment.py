"""What OpenCV's image decoders must be told before `cv2` is first imported in a process.

OpenCV reads its pixel limit and log level from the environment once, when its library is loaded. This module
imports nothing of it, so that whoever starts a decoding process can set both.
"""

from __future__ import annotations

from service.vision.sniffing import ImageLimits


def decoder_environment(limits: ImageLimits) -> dict[str, str]:
    """Variables for the environment of a process that decodes.

    The header check of `sniff_image` is the limit that counts; with this, a decoder that reads another size than
    the header check did refuses at the same number of pixels instead of at OpenCV's own 2**30. Complaints about
    single images stay off stderr: a bad sample is reported to the client.
    """
    return {"OPENCV_IO_MAX_IMAGE_PIXELS": str(limits.max_pixels), "OPENCV_LOG_LEVEL": "SILENT"}

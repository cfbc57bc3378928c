"""A PRelu in the form that ONNX Runtime computes fast on a CPU.

Its own PRelu runs on one thread and outside the blocked memory layout of its convolutions, so that every
activation costs two reorderings as well: together they take 60 % of SFace's forward pass. The same function as two
1x1 depthwise convolutions stays in that layout and has half the run time; it differs by rounding alone (1e-6).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray


def is_channelwise(slopes: NDArray[np.generic]) -> bool:
    """Whether the slopes are one per channel of a (B, C, H, W) input; a single one is shared by all channels."""
    return slopes.ndim == 3 and len(slopes) > 1 and slopes.shape[1:] == (1, 1)


def split_prelu(
    node: onnx.NodeProto, slopes: NDArray[np.generic]
) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.generic]]]:
    """Nodes and weights of `slope * x + (1 - slope) * max(x, 0)`, which is `PRelu(x, slope)`.

    `slopes`: (C, 1, 1), one per channel.
    """
    source, result = node.input[0], node.output[0]
    kernel = slopes.astype(np.float32)[:, None]  # (C, 1, 1, 1)
    weights: dict[str, NDArray[np.generic]] = {
        f"{result}_slope": kernel,
        f"{result}_rest": np.float32(1) - kernel,
    }
    make = onnx.helper.make_node
    channels = len(slopes)
    nodes = [
        make("Relu", [source], [f"{result}_positive"]),
        make("Conv", [source, f"{result}_slope"], [f"{result}_all"], group=channels, kernel_shape=[1, 1]),
        make("Conv", [f"{result}_positive", f"{result}_rest"], [f"{result}_more"], group=channels, kernel_shape=[1, 1]),
        make("Add", [f"{result}_more", f"{result}_all"], [result]),
    ]
    return nodes, weights

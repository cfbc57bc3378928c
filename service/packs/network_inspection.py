"""What an ONNX file says of itself, to tell detectors from recognisers. Nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from service.errors import PackError
from service.runtime.external_data import names_external_data
from service.vision.alignment import ALIGNED_SIDE

_FIRST_NODES = 8
"""Where exporters put the preprocessing, if they put it into the network."""

Shape = tuple[int | None, ...]
"""None: dynamic."""


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Inputs that are no weights, and outputs, in the order of the file."""

    path: Path
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    normalises_pixels: bool
    """Subtraction and multiplication come first: the network takes 0..255."""

    @property
    def is_scrfd(self) -> bool:
        """A face detector with scores, boxes and landmarks at three strides, on a canvas of any size."""
        image = self.inputs[0] if len(self.inputs) == 1 else ()
        widths = [shape[-1] if shape else None for shape in self.outputs]
        known = all(width in (None, wanted) for width, wanted in zip(widths, _SCRFD_WIDTHS, strict=False))
        return len(image) == 4 and image[1] in (3, None) and len(self.outputs) == len(_SCRFD_WIDTHS) and known

    @property
    def is_recogniser(self) -> bool:
        """One vector for each 112x112 face of a batch of any size."""
        image = self.inputs[0] if len(self.inputs) == 1 else ()
        return (
            image[1:] == (3, ALIGNED_SIDE, ALIGNED_SIDE)
            and image[0] is None
            and len(self.outputs) == 1
            and len(self.outputs[0]) == 2
            and self.outputs[0][1] is not None
        )


_SCRFD_WIDTHS = (1, 1, 1, 4, 4, 4, 10, 10, 10)


def inspect_network(path: Path) -> NetworkShape:
    """Raises `PackError` for a file that is no ONNX network or keeps weights in other files."""
    try:
        content = path.read_bytes()
        if names_external_data(content):
            raise PackError(f"{path.name} keeps weights in other files (external data); such files are refused.")
        graph = onnx.load_model_from_string(content).graph
    except (OSError, ValueError, DecodeError) as error:
        raise PackError(f"{path.name} cannot be read as an ONNX file: {error}") from error
    weights = {tensor.name for tensor in graph.initializer}
    first = {node.op_type for node in graph.node[:_FIRST_NODES]}
    return NetworkShape(
        path=path,
        inputs=tuple(_shape(value) for value in graph.input if value.name not in weights),
        outputs=tuple(_shape(value) for value in graph.output),
        normalises_pixels={"Sub", "Mul"} <= first,
    )


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(dimension.dim_value or None for dimension in value.type.tensor_type.shape.dim)

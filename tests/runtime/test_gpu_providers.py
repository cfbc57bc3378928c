"""What TensorRT is told to build, and where it keeps it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from service.errors import DeviceUnavailableError
from service.runtime.device_graph import PIXELS, with_pixel_input
from service.runtime.gpu_providers import ImageShapes, tensorrt_options
from service.runtime.manifest import InputRange
from tests.packs.tiny_networks import recogniser

MODEL = with_pixel_input(recogniser(), InputRange(color_order="rgb", mean=127.5, std=127.5))


def with_sizes(*sizes: int) -> bytes:
    """The network, for images of these sizes; 0: any."""
    proto = onnx.load_model_from_string(MODEL)
    for dim, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, sizes, strict=True):
        dim.Clear()
        if size:
            dim.dim_value = size
    return proto.SerializeToString()


def shapes_of(model: bytes, shapes: ImageShapes, cache: Path) -> list[str]:
    options = tensorrt_options(model, shapes, cache)
    return [options[f"trt_profile_{which}_shapes"] for which in ("min", "opt", "max")]


def test_any_batch_of_aligned_faces(tmp_path: Path) -> None:
    shapes = shapes_of(MODEL, ImageShapes(64, (112,)), tmp_path)
    assert shapes == [f"{PIXELS}:{images}x112x112x3" for images in (1, 32, 64)]


def test_any_canvas_of_a_detector(tmp_path: Path) -> None:
    shapes = shapes_of(with_sizes(0, 0, 0, 3), ImageShapes(32, (128, 256, 320, 640)), tmp_path)
    assert shapes == [f"{PIXELS}:{size}x3" for size in ("1x128x128", "16x256x256", "32x640x640")]


def test_sizes_that_the_network_fixes_are_those(tmp_path: Path) -> None:
    shapes = shapes_of(with_sizes(1, 0, 0, 3), ImageShapes(32, (320, 640)), tmp_path)
    assert shapes == [f"{PIXELS}:1x{size}x3" for size in ("320x320", "320x320", "640x640")]


def test_a_network_with_other_weights_has_another_folder(tmp_path: Path) -> None:
    """Its engine would have the same name."""
    other = onnx.load_model_from_string(MODEL)
    weights = max(other.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.raw_data = bytes(len(weights.raw_data))
    folders = []
    for model in (MODEL, other.SerializeToString(), MODEL):
        options = tensorrt_options(model, ImageShapes(32, (112,)), tmp_path / "state" / "tensorrt")
        assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"]
        folders.append(Path(options["trt_engine_cache_path"]))
    assert folders[0] == folders[2] != folders[1]
    for folder in (*folders, tmp_path / "state" / "tensorrt"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(DeviceUnavailableError, match=r"cannot keep its engines in .*COREFACE_STATE_DIR"):
        tensorrt_options(MODEL, ImageShapes(32, (112,)), tmp_path / "state" / "tensorrt")

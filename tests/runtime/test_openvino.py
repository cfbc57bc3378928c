"""OpenVINO answers as ONNX Runtime does, whatever the network's input range, batch and threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from service.errors import InferenceFailedError, OutOfMemoryError, PackError
from service.protocols import PixelNetwork
from service.runtime.manifest import InputRange
from service.runtime.networks import on_pixels
from service.runtime.onnx import load_session
from service.runtime.openvino import OpenVinoNetwork, has_bfloat16
from tests.packs.tiny_networks import recogniser, scrfd_like, yunet_like

RANGES = [InputRange(color_order="bgr", mean=0.0, std=1.0), InputRange(color_order="rgb", mean=127.5, std=128.0)]


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("input_range", RANGES, ids=["bgr", "rgb"])
@pytest.mark.parametrize(
    ("model", "batches", "side"),
    [(recogniser(), (1, 3, 4), 112), (yunet_like(quantised=False), (1,), 64), (scrfd_like(), (1,), 96)],
    ids=["recogniser", "yunet", "scrfd"],
)
def test_the_same_answers_as_onnx_runtime(
    model: bytes, batches: tuple[int, ...], side: int, input_range: InputRange, tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(model)
    reference = on_pixels(load_session(path, threads=1), input_range)
    network: PixelNetwork = OpenVinoNetwork(model, path.name, input_range, half=False, threads=2)
    for batch in batches:
        images = pictures(batch, side)
        for expected, found in zip(reference.run(images), network.run(images), strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_an_answer_does_not_depend_on_the_batch_and_is_kept() -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[1], half=has_bfloat16(), threads=2)
    images = pictures(4, 112)
    [together] = network.run(images)
    alone = [network.run(image[None])[0][0] for image in images]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("passes", [1, 3])
def test_one_network_serves_many_threads(passes: int) -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[0], half=False, threads=3, passes=passes)
    images = pictures(8, 112)
    expected = [network.run(image[None])[0] for image in images]
    wrong: list[int] = []

    def work(number: int) -> None:
        answers = [network.run(images[number][None])[0] for _ in range(20)]
        wrong.extend(number for answer in answers if not np.array_equal(answer, expected[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_half_is_what_it_says() -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[1], half=True, threads=1)
    assert network.provider == "OpenVINO CPU bfloat16"
    images = pictures(2, 112)
    [exact] = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[1], half=False, threads=1).run(images)
    [rounded] = network.run(images)
    np.testing.assert_allclose(rounded, exact, rtol=0.05, atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x0a"])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(PackError, match=r"OpenVINO refuses embedder\.onnx"):
        OpenVinoNetwork(content, "embedder.onnx", RANGES[0], half=False, threads=1)


def test_images_that_do_not_fit_are_a_failed_inference() -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[0], half=False, threads=1)
    with pytest.raises(InferenceFailedError, match=r"embedder\.onnx failed on OpenVINO CPU float32"):
        network.run(pictures(1, 64))
    assert network.run(pictures(1, 112))[0].shape == (1, 8)


@pytest.mark.parametrize("told", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_memory_that_ran_out_has_an_error_of_its_own(told: Exception) -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[0], half=False, threads=1)

    class Exhausted:
        def set_input_tensor(self, _tensor: object) -> None:
            raise told

    while not network._idle.empty():
        network._idle.get()
    network._idle.put(Exhausted())  # type: ignore[arg-type]
    with pytest.raises(OutOfMemoryError):
        network.run(pictures(1, 112))


def test_images_that_do_not_lie_in_one_piece() -> None:
    network = OpenVinoNetwork(recogniser(), "embedder.onnx", RANGES[0], half=False, threads=1)
    images = pictures(8, 112)
    [expected] = network.run(np.ascontiguousarray(images[::2]))
    for _ in range(50):
        np.testing.assert_array_equal(network.run(images[::2])[0], expected)

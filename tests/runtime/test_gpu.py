"""Networks on a GPU, with sessions on the CPU that say they are on one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DeviceUnavailableError, InferenceFailedError, OutOfMemoryError, PackError
from service.runtime.device_graph import with_pixel_input
from service.runtime.gpu import GpuNetwork, _Buffers, is_gpu, obstacle_to_cuda, open_on_gpu, padded_batch
from service.runtime.gpu_providers import CUDA_PROVIDER, TENSORRT_PROVIDER, ImageShapes, tensorrt_options
from service.runtime.manifest import InputRange
from service.runtime.onnx import CPU_PROVIDER
from service.vision.pixel_range import PixelRange
from tests.packs.tiny_networks import recogniser
from tests.runtime.gpus import StubSession, gpu  # noqa: F401

RANGE = InputRange(color_order="rgb", mean=127.5, std=127.5)
MODEL = with_pixel_input(recogniser(), RANGE)
FACES = ImageShapes(32, (112,))


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)


def expected_of(images: np.ndarray) -> np.ndarray:
    """What the network answers in a plain session, one image at a time and converted by numpy."""
    session = onnxruntime.InferenceSession(recogniser(), providers=[CPU_PROVIDER])
    numbers = PixelRange(RANGE.color_order, RANGE.mean, RANGE.std).to_input(images)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: each[None]})[0] for each in numbers])


def network() -> GpuNetwork:
    return GpuNetwork(StubSession(MODEL, providers=[CPU_PROVIDER]), "embedder.onnx", "float32")


@pytest.fixture(scope="module")
def shared() -> GpuNetwork:
    return network()


@pytest.mark.parametrize(("count", "padded"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (31, 32), (33, 64)])
def test_batches_are_filled_up_to_powers_of_two(count: int, padded: int) -> None:
    assert padded_batch(count) == padded


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_what_fills_a_batch_up_is_in_no_answer(shared: GpuNetwork, counts: list[int], seed: int) -> None:
    for count in counts:
        images = pictures(count, seed)
        [found] = shared.run(images)
        np.testing.assert_allclose(found, expected_of(images), rtol=1e-4, atol=1e-5)


def test_an_answer_stays_when_the_next_pass_writes_its_own(shared: GpuNetwork) -> None:
    [first] = shared.run(pictures(2, 1))
    kept = first.copy()
    shared.run(pictures(2, 2))
    np.testing.assert_array_equal(first, kept)


def test_many_threads_share_one_network(shared: GpuNetwork) -> None:
    expected = {seed: expected_of(pictures(3, seed)) for seed in range(6)}
    wrong: list[int] = []

    def work(seed: int) -> None:
        answers = [shared.run(pictures(3, seed))[0] for _ in range(10)]
        wrong.extend(seed for answer in answers if not np.allclose(answer, expected[seed], atol=1e-5))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_next_pass_is_laid_out_while_one_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass ends only when the second one's images lie in their buffers."""
    made = network()
    laid_out = threading.Semaphore(0)
    compute, lay_out = _Buffers.compute, _Buffers.lay_out

    def signal_laid_out(self: _Buffers, images_bgr: np.ndarray) -> None:
        lay_out(self, images_bgr)
        laid_out.release()

    def compute_when_both_are_there(self: _Buffers) -> None:
        assert laid_out.acquire(timeout=10)
        assert laid_out.acquire(timeout=10)
        laid_out.release(2)
        compute(self)

    monkeypatch.setattr(_Buffers, "lay_out", signal_laid_out)
    monkeypatch.setattr(_Buffers, "compute", compute_when_both_are_there)
    with ThreadPoolExecutor(2) as threads:
        for seed, answers in zip((1, 2), threads.map(lambda seed: made.run(pictures(2, seed)), (1, 2)), strict=True):
            np.testing.assert_allclose(answers[0], expected_of(pictures(2, seed)), rtol=1e-4, atol=1e-5)


def test_buffers_are_used_again_but_not_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    count = 0
    plain = _Buffers.__init__

    def counted(*arguments: Any) -> None:
        nonlocal count
        count += 1
        plain(*arguments)

    monkeypatch.setattr(_Buffers, "__init__", counted)
    for size in (3, 4, 3):
        made.run(pictures(size))
    assert count == 1
    with monkeypatch.context() as broken:
        broken.setattr(_Buffers, "compute", lambda _buffers: (_ for _ in ()).throw(MemoryError("bad_alloc")))
        with pytest.raises(OutOfMemoryError):
            made.run(pictures(4))
    made.run(pictures(4))
    assert count == 2


def test_images_that_do_not_fit_are_a_failed_inference() -> None:
    made = network()
    with pytest.raises(InferenceFailedError, match=r"embedder\.onnx failed on CPUExecutionProvider float32"):
        made.run(np.zeros((1, 64, 64, 3), np.uint8))
    assert len(made.run(pictures(1))[0]) == 1


def test_memory_that_ran_out_has_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()

    def exhausted(*_arguments: object, **_options: object) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("CUDA failure 2: out of memory")

    monkeypatch.setattr(made._session, "run_with_iobinding", exhausted)
    with pytest.raises(OutOfMemoryError):
        made.run(pictures(1))


def test_cuda_really_runs(gpu: type[StubSession]) -> None:  # noqa: F811
    assert obstacle_to_cuda() is None
    made = open_on_gpu(MODEL, "embedder.onnx", precision="float16", shapes=FACES, tensorrt_cache=None)
    assert made.provider == "CUDAExecutionProvider float16"
    assert is_gpu(made.provider)
    assert len(made.run(pictures(3))[0]) == 3
    (name, options), last = gpu.opened[-1]
    assert (name, last) == (CUDA_PROVIDER, CPU_PROVIDER)
    assert options["use_tf32"] == "0"


def test_a_build_without_cuda() -> None:
    obstacle_to_cuda.cache_clear()
    if CUDA_PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA")
    assert obstacle_to_cuda() == "this build of ONNX Runtime has no CUDA."


def test_onnx_runtime_falls_back_without_a_word(gpu: type[StubSession]) -> None:  # noqa: F811
    gpu.working = ()
    assert obstacle_to_cuda() == "the CUDA libraries or the driver could not be loaded."
    with pytest.raises(DeviceUnavailableError, match="runs on CPUExecutionProvider, not on CUDAExecutionProvider"):
        open_on_gpu(MODEL, "embedder.onnx", precision="float32", shapes=FACES, tensorrt_cache=None)


def test_a_device_that_fails_its_first_pass(gpu: type[StubSession], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def broken(*_arguments: object) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.Fail("CUDA failure 999: unknown error")

    monkeypatch.setattr(gpu, "run", broken, raising=False)
    obstacle = obstacle_to_cuda()
    assert obstacle is not None and "CUDA failure 999" in obstacle


def test_a_file_that_onnx_runtime_refuses(gpu: type[StubSession]) -> None:  # noqa: F811
    with pytest.raises(PackError, match=r"embedder\.onnx"):
        open_on_gpu(b"nothing", "embedder.onnx", precision="float32", shapes=FACES, tensorrt_cache=None)


def test_tensorrt_comes_before_cuda(gpu: type[StubSession], tmp_path: Path) -> None:  # noqa: F811
    made = open_on_gpu(MODEL, "embedder.onnx", precision="float16", shapes=FACES, tensorrt_cache=tmp_path)
    assert made.provider == "TensorrtExecutionProvider float16"
    assert is_gpu(made.provider)
    (name, options), (second, _), last = gpu.opened[-1]
    assert (name, second, last) == (TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER)
    assert options == tensorrt_options(MODEL, FACES, tmp_path)


def test_tensorrt_that_cannot_be_loaded(gpu: type[StubSession], tmp_path: Path) -> None:  # noqa: F811
    gpu.working = (CUDA_PROVIDER,)
    with pytest.raises(DeviceUnavailableError, match="not on TensorrtExecutionProvider"):
        open_on_gpu(MODEL, "embedder.onnx", precision="float32", shapes=FACES, tensorrt_cache=tmp_path)

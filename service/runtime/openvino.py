"""OpenVINO behind the `PixelNetwork` seam, for CPUs. The only importer of openvino.

It computes in bfloat16 where the CPU has it in hardware, in half the time of float32. Its answers do not depend on the
number of threads or on what else is in a batch, bit for bit.
"""

from __future__ import annotations

from queue import SimpleQueue

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import ColorFormat, PrePostProcessor

from service.errors import PackError
from service.runtime.failures import failure_of, first_line
from service.runtime.manifest import InputRange

_DEVICE = "CPU"


class OpenVinoNetwork:
    """A compiled network. Thread-safe: `passes` forward passes at once, others wait for one of them; the first of those
    waits with OpenVINO, which begins it without a word to Python."""

    def __init__(
        self, model: bytes, name: str, input_range: InputRange, *, half: bool, threads: int, passes: int = 1
    ) -> None:
        """`model`: a self-contained ONNX file, called `name` in errors. `half`: compute in bfloat16. `threads`: of all
        passes together.

        Raises `PackError` for a file that OpenVINO refuses.
        """
        self._name = name
        self._half = half
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": passes,
            # The workers of a machine would all pin themselves to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            core = openvino.Core()
            compiled = core.compile_model(_with_pixel_input(core.read_model(model), input_range), _DEVICE, options)
            self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
            for _ in range(passes + 1):
                self._idle.put(compiled.create_infer_request())
        except RuntimeError as error:
            raise PackError(f"OpenVINO refuses {name}: {first_line(error)}") from error
        self._outputs = range(len(compiled.outputs))

    @property
    def provider(self) -> str:
        return f"OpenVINO {_DEVICE} {'bfloat16' if self._half else 'float32'}"

    def run(self, images_bgr: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        """Of (B, H, W, 3). The channels' order, mean and scale are part of the compiled network."""
        request = self._idle.get()
        try:
            pixels = np.ascontiguousarray(images_bgr)  # Has a name, for the tensor does not keep it alive.
            request.set_input_tensor(openvino.Tensor(pixels, shared_memory=True))
            request.infer()
            # Copied: the request's own memory is written over by the next pass.
            return [request.get_output_tensor(output).data.copy() for output in self._outputs]
        except (RuntimeError, MemoryError) as error:
            raise failure_of(error, self._name, self.provider) from error
        finally:
            self._idle.put(request)


def has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 itself; emulated, it would be slower than float32."""
    return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def _with_pixel_input(model: openvino.Model, input_range: InputRange) -> openvino.Model:
    """The network behind the conversion of uint8 (B, H, W, 3), BGR, to its own input."""
    processor = PrePostProcessor(model)
    pixels = processor.input()
    pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pixels.tensor().set_color_format(ColorFormat.BGR)
    pixels.model().set_layout(openvino.Layout("NCHW"))
    steps = pixels.preprocess()
    if input_range.color_order == "rgb":
        steps.convert_color(ColorFormat.RGB)
    steps.convert_element_type(openvino.Type.f32)
    if input_range.mean != 0:
        steps.mean(input_range.mean)
    if input_range.std != 1:
        steps.scale(input_range.std)
    return processor.build()

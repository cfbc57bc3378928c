"""The rewritten activation is the same function."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.packs.fast_prelu import is_channelwise, split_prelu


def test_the_same_function_for_any_slopes() -> None:
    slopes = np.array([0.0, 0.25, 1.0, -0.5, 3.0], np.float32).reshape(5, 1, 1)
    nodes, weights = split_prelu(helper.make_node("PRelu", ["x", "slope"], ["y"]), slopes)
    graph = helper.make_graph(
        nodes,
        "activation",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 5, None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 5, None, None])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(0, 3, (4, 5, 6, 7)).astype(np.float32)
    [y] = session.run(None, {"x": x})
    np.testing.assert_allclose(y, np.where(x >= 0, x, slopes * x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"), [((5, 1, 1), True), ((1, 1, 1), False), ((5,), False), ((5, 2, 1), False), ((0,), False)]
)
def test_only_slopes_per_channel_are_rewritten(shape: tuple[int, ...], expected: bool) -> None:
    assert is_channelwise(np.zeros(shape, np.float32)) is expected

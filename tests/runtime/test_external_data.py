"""Weights outside the file are seen wherever they hide."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from service.runtime.external_data import names_external_data
from tests.runtime.networks import doubling_network, with_external_data


def external_tensor() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def test_a_self_contained_network() -> None:
    assert not names_external_data(doubling_network().SerializeToString())


def test_an_outside_weight() -> None:
    assert names_external_data(with_external_data(doubling_network(), "weights.bin").SerializeToString())


def test_names_alone_are_no_external_data() -> None:
    model = doubling_network()
    model.graph.node[0].name = "location"
    model.graph.doc_string = "external_data location"
    assert not names_external_data(model.SerializeToString())


@pytest.mark.parametrize("spoiled", ["entry only", "location only"])
def test_half_a_mark_is_enough(spoiled: str) -> None:
    tensor = external_tensor()
    if spoiled == "entry only":
        tensor.ClearField("data_location")
    else:
        tensor.ClearField("external_data")
    model = doubling_network()
    model.graph.initializer.append(tensor)
    assert names_external_data(model.SerializeToString())


def test_a_constant_deep_inside_a_branch() -> None:
    constant = helper.make_node("Constant", [], ["inner"], value=external_tensor())
    branch = helper.make_graph(
        [constant], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [4])]
    )
    model = doubling_network()
    model.graph.node.append(helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch))
    assert names_external_data(model.SerializeToString())


def test_a_sparse_weight_and_a_function() -> None:
    model = doubling_network()
    sparse = onnx.SparseTensorProto(values=external_tensor(), dims=[4])
    model.graph.sparse_initializer.append(sparse)
    assert names_external_data(model.SerializeToString())
    model = doubling_network()
    constant = helper.make_node("Constant", [], ["inner"], value=external_tensor())
    model.functions.append(helper.make_function("d", "f", [], ["inner"], [constant], [helper.make_opsetid("", 21)]))
    assert names_external_data(model.SerializeToString())


@pytest.mark.parametrize("data", [b"\x3a\xff", b"\x3a\x05ab", b"\xff" * 20, b"\x3b"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        names_external_data(data)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    try:
        assert names_external_data(data) in (True, False)
    except ValueError:
        return

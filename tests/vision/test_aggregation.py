"""Sets to templates: what is fed to the network, and what is believed of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InferenceFailedError
from service.types import Embedding
from service.vision.aggregation import OnnxSetAggregator
from tests.vision.fake_session import FakeSession


def embeddings(count: int, width: int = 8) -> list[Embedding]:
    vectors = np.random.default_rng(count).normal(size=(count, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Embedding(vector.astype(np.float32), 5.0 + index) for index, vector in enumerate(vectors)]


def average(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """The plain average as an aggregator that keeps the contract; the core is the first two samples."""
    values = np.asarray(inputs["embeddings"], np.float32)
    mean = values.mean(axis=1)
    norms = np.linalg.norm(mean, axis=1)
    size = values.shape[1]
    core = np.array([[0, 1 if size > 1 else -1, -1]])
    weights = np.full((1, size), 1 / size, np.float32)
    return [mean / norms[:, None], norms, core, weights]


def test_sets_of_any_size() -> None:
    session = FakeSession(average)
    sets = [embeddings(3), embeddings(1), embeddings(5)]
    aggregations = OnnxSetAggregator(session).aggregate(sets)
    assert [len(aggregation.weights) for aggregation in aggregations] == [3, 1, 5]
    assert [aggregation.core_indices for aggregation in aggregations] == [(0, 1), (0,), (0, 1)]
    for inputs, given in zip(session.passes, sets, strict=True):
        assert inputs["valid"].dtype == np.bool_
        assert inputs["valid"].all()
        np.testing.assert_array_equal(inputs["embeddings"][0], [embedding.vector for embedding in given])
        np.testing.assert_array_equal(inputs["norms"][0], np.float32([embedding.norm for embedding in given]))


def test_the_template_has_unit_length() -> None:
    [aggregation] = OnnxSetAggregator(FakeSession(average)).aggregate([embeddings(4)])
    assert np.linalg.norm(aggregation.vector.astype(np.float64)) == pytest.approx(1, abs=1e-6)
    assert aggregation.vector.dtype == np.float32


Spoil = Callable[[list[NDArray[np.generic]]], None]


def spoil_template_nan(outputs: list[NDArray[np.generic]]) -> None:
    outputs[0] = np.full_like(outputs[0], np.nan)


def spoil_template_length(outputs: list[NDArray[np.generic]]) -> None:
    outputs[0] = outputs[0] * 2


def spoil_template_zero(outputs: list[NDArray[np.generic]]) -> None:
    outputs[0] = np.zeros_like(outputs[0])


def spoil_norm(outputs: list[NDArray[np.generic]]) -> None:
    outputs[1] = np.array([np.inf], np.float32)


def spoil_core(outputs: list[NDArray[np.generic]]) -> None:
    outputs[2] = np.array([[9, -1, -1]])


def spoil_empty_core(outputs: list[NDArray[np.generic]]) -> None:
    outputs[2] = np.array([[-1, -1, -1]])


def spoil_weights(outputs: list[NDArray[np.generic]]) -> None:
    outputs[3] = outputs[3][:, :-1]


def spoil_number(outputs: list[NDArray[np.generic]]) -> None:
    del outputs[3]


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_template_nan,
        spoil_template_length,
        spoil_template_zero,
        spoil_norm,
        spoil_core,
        spoil_empty_core,
        spoil_weights,
        spoil_number,
    ],
)
def test_an_answer_outside_the_contract_is_a_failed_inference(spoil: Spoil) -> None:
    def answer(inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        outputs = average(inputs)
        spoil(outputs)
        return outputs

    with pytest.raises(InferenceFailedError):
        OnnxSetAggregator(FakeSession(answer)).aggregate([embeddings(3)])

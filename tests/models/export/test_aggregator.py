"""The exported files, in ONNX Runtime: what the contract of the aggregator promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.export.parity import PARITY_COSINE, lowest_parity_cosine
from service.runtime.onnx import OnnxSession, load_session
from tests.models.sets import random_sets

PACKS = Path(__file__).parents[3] / "models" / "packs"
FILES = {"opencv-sface": 128, "buffalo_s": 512, "insightface": 512}
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=FILES)
def pack(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def session(pack: str) -> OnnxSession:
    return load_session(PACKS / pack / "aggregator.onnx", threads=1)


Outputs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def run(session: OnnxSession, embeddings: np.ndarray, norms: np.ndarray, valid: np.ndarray) -> Outputs:
    template, norm, core, weights = session.run(
        {"embeddings": embeddings.astype(np.float32), "norms": norms.astype(np.float32), "valid": valid}
    )
    return template, norm, core, weights


def draw(pack: str, seed: int, size: int, sets: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn = random_sets(np.random.default_rng(seed), sets, size, FILES[pack])
    return drawn.embeddings, drawn.norms, drawn.valid


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 40)


@settings(max_examples=30, deadline=None)
@given(seeds, sizes)
def test_outputs_keep_their_contract(pack: str, session: OnnxSession, seed: int, size: int) -> None:
    template, norm, core, weights = run(session, *draw(pack, seed, size, sets=3))
    assert template.shape == (3, FILES[pack])
    assert np.allclose(np.linalg.norm(template, axis=1), 1.0, atol=1e-5)
    assert (norm > 0).all()
    assert core.shape == (3, 3)
    assert (np.sum(core >= 0, axis=1) == min(size, 3)).all()
    assert (weights >= 0).all()
    assert np.allclose(weights.sum(axis=1), 1.0, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seeds, sizes)
def test_order_does_not_matter(pack: str, session: OnnxSession, seed: int, size: int) -> None:
    embeddings, norms, valid = draw(pack, seed, size)
    order = np.random.default_rng(seed).permutation(size)
    template, _, core, weights = run(session, embeddings, norms, valid)
    shuffled, _, shuffled_core, shuffled_weights = run(session, embeddings[:, order], norms[:, order], valid)
    assert np.allclose(shuffled, template, atol=TOLERANCE)
    assert np.allclose(shuffled_weights[0], weights[0, order], atol=TOLERANCE)
    assert [order[index] for index in shuffled_core[0] if index >= 0] == [index for index in core[0] if index >= 0]


@settings(max_examples=30, deadline=None)
@given(seeds, sizes, st.integers(1, 20), st.sampled_from([np.nan, np.inf, 1e30, -1.0]))
def test_padding_does_not_matter(
    pack: str, session: OnnxSession, seed: int, size: int, padding: int, garbage: float
) -> None:
    embeddings, norms, valid = draw(pack, seed, size)
    padded = (
        np.concatenate([embeddings, np.full((1, padding, FILES[pack]), garbage, np.float32)], axis=1),
        np.concatenate([norms, np.full((1, padding), garbage, np.float32)], axis=1),
        np.concatenate([valid, np.zeros((1, padding), bool)], axis=1),
    )
    template, norm, core, weights = run(session, embeddings, norms, valid)
    padded_template, padded_norm, padded_core, padded_weights = run(session, *padded)
    assert np.allclose(padded_template, template, atol=TOLERANCE)
    assert np.allclose(padded_norm, norm, rtol=1e-4)
    assert np.array_equal(padded_core, core)
    assert np.allclose(padded_weights[:, :size], weights, atol=TOLERANCE)
    assert (padded_weights[:, size:] == 0).all()


@settings(max_examples=20, deadline=None)
@given(seeds, sizes, st.integers(2, 6))
def test_neighbours_in_the_batch_do_not_matter(
    pack: str, session: OnnxSession, seed: int, size: int, sets: int
) -> None:
    together = draw(pack, seed, size, sets=sets)
    template, *_ = run(session, *together)
    for index in range(sets):
        alone, *_ = run(session, *(values[index : index + 1] for values in together))
        assert np.allclose(alone[0], template[index], atol=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(seeds, sizes, st.floats(-3, 3))
def test_templates_stay_finite_from_tiny_to_huge_norms(
    pack: str, session: OnnxSession, seed: int, size: int, magnitude: float
) -> None:
    embeddings, norms, valid = draw(pack, seed, size)
    template, norm, _, weights = run(session, embeddings, np.full_like(norms, 10.0**magnitude), valid)
    assert np.isfinite(template).all()
    assert np.isfinite(norm).all()
    assert np.isfinite(weights).all()


@settings(max_examples=20, deadline=None)
@given(seeds, sizes)
def test_a_duplicate_does_not_change_the_core(pack: str, session: OnnxSession, seed: int, size: int) -> None:
    embeddings, norms, valid = draw(pack, seed, size)
    again = int(np.random.default_rng(seed).integers(size))
    _, _, core, _ = run(session, embeddings, norms, valid)
    _, _, with_duplicate, _ = run(
        session,
        np.concatenate([embeddings, embeddings[:, again : again + 1]], axis=1),
        np.concatenate([norms, norms[:, again : again + 1]], axis=1),
        np.ones((1, size + 1), bool),
    )
    assert np.array_equal(with_duplicate, core)


def test_one_sample_is_its_own_core(pack: str, session: OnnxSession) -> None:
    template, _, core, weights = run(session, *draw(pack, 0, 1))
    assert core.tolist() == [[0, -1, -1]]
    assert weights.tolist() == [[1.0]]
    assert np.isfinite(template).all()


def test_a_lone_sample_keeps_its_direction_in_the_untrained_mean() -> None:
    session = load_session(PACKS / "insightface" / "aggregator.onnx", threads=1)
    embeddings, norms, valid = draw("insightface", 0, 1)
    template, *_ = run(session, embeddings, norms, valid)
    assert float(template[0] @ embeddings[0, 0]) >= 1 - 1e-6


@pytest.mark.slow
def test_onnx_runtime_agrees_with_pytorch_on_ten_thousand_sets(pack: str) -> None:
    path = PACKS / pack / "aggregator.onnx"
    assert lowest_parity_cosine(path, sets=10_000, progress=lambda done, total: None) >= PARITY_COSINE

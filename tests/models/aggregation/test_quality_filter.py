from __future__ import annotations

import numpy as np
import pytest
import torch

from models.aggregation.quality_filter import QualityFilter
from tests.models.sets import unit

WIDTH = 12


def people_in_noise(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, quality, norms, people, images and true directions: the worse a sample, the more noise fills its first
    three channels."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.normal(size=(60, WIDTH)))
    person = np.repeat(np.arange(60), 40)
    image = np.repeat(np.arange(60 * 8), 5)
    quality = rng.uniform(-1.5, 1.5, len(person)).astype(np.float32)
    noise = 0.1 * rng.normal(size=(len(person), WIDTH))
    noise[:, :3] += np.exp(-quality)[:, None] * rng.normal(size=(len(person), 3))
    vectors = (directions[person] + noise).astype(np.float32)
    return vectors, quality, np.exp(quality), person, image, directions


@pytest.fixture(scope="module")
def fitted() -> QualityFilter:
    quality_filter = QualityFilter(WIDTH)
    quality_filter.fit(*people_in_noise(0)[:5])
    return quality_filter


def likeness(vectors: np.ndarray, directions: np.ndarray) -> float:
    return float((unit(vectors) * directions).sum(axis=1).mean())


def test_directions_full_of_noise_are_damped_and_people_are_better_seen(fitted: QualityFilter) -> None:
    vectors, quality, _, person, _, directions = people_in_noise(1)
    filtered = fitted(torch.from_numpy(vectors)[None], torch.from_numpy(quality)[None])[0].numpy()
    bad, good = quality < -0.5, quality > 1.0
    assert likeness(filtered[bad], directions[person[bad]]) > likeness(vectors[bad], directions[person[bad]]) + 0.2
    assert likeness(filtered[good], directions[person[good]]) > likeness(vectors[good], directions[person[good]]) - 0.02
    np.testing.assert_allclose(np.linalg.norm(filtered, axis=1), 1.0, atol=1e-5)


def test_it_is_continuous_in_quality_and_constant_beyond_what_was_seen(fitted: QualityFilter) -> None:
    vector = torch.from_numpy(people_in_noise(2)[0][:1]).repeat(400, 1)[None]
    filtered = fitted(vector, torch.linspace(-2.0, 2.0, 400)[None])[0]
    assert float((filtered[1:] - filtered[:-1]).norm(dim=1).max()) < 0.05
    ends = fitted(vector[:, :3], torch.tensor([[9.0, 30.0, float(fitted.knots[-1])]]))[0]
    assert torch.equal(ends[0], ends[1])
    torch.testing.assert_close(ends[0], ends[2])


def test_at_a_knot_the_filter_of_the_knot_is_meant(fitted: QualityFilter) -> None:
    vector = torch.from_numpy(people_in_noise(2)[0][:1])
    for knot, transposed in zip(fitted.knots, fitted.maps.split(WIDTH, dim=1), strict=True):
        expected = torch.nn.functional.normalize(vector @ transposed, dim=1)
        torch.testing.assert_close(fitted(vector[None], knot.reshape(1, 1))[0], expected)


def test_padding_stays_zero_and_an_unfitted_filter_keeps_directions() -> None:
    vectors = torch.zeros(1, 2, WIDTH)
    vectors[0, 0, 0] = 3.0
    filtered = QualityFilter(WIDTH)(vectors, torch.tensor([[0.3, 0.3]]))
    assert torch.equal(filtered[0, 1], torch.zeros(WIDTH))
    torch.testing.assert_close(filtered[0, 0], vectors[0, 0] / 3.0)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.aggregation.data import CLEAN, EmbeddingCache, draw_samples, gather_sets
from tests.models.sets import synthetic_people


def test_a_cache_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    cache = synthetic_people(np.random.default_rng(0), 3, 2, 2)
    cache.save(tmp_path / "deep" / "cache.npz")
    loaded = EmbeddingCache.load(tmp_path / "deep" / "cache.npz")
    assert loaded.names == cache.names
    for name in ("person", "image", "version", "embeddings", "norms"):
        assert np.array_equal(getattr(loaded, name), getattr(cache, name))


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 20), clip=st.integers(1, 4), share=st.floats(0.0, 1.0))
def test_a_set_holds_distinct_samples_of_its_images_only(seed: int, size: int, clip: int, share: float) -> None:
    cache = synthetic_people(np.random.default_rng(0), 3, 3, 2)
    person = cache.people()[1]
    rows = draw_samples(
        person.images[:2], np.random.default_rng(seed), size=size, degraded_share=share, longest_clip=clip
    )
    assert 1 <= len(rows) <= size
    assert len(set(rows.tolist())) == len(rows)
    assert set(cache.image[rows]) <= {3, 4}


def test_the_share_of_degraded_samples_is_kept() -> None:
    cache = synthetic_people(np.random.default_rng(0), 1, 40, 4)
    images = cache.people()[0].images
    rng = np.random.default_rng(0)
    rows = np.concatenate([draw_samples(images, rng, size=10, degraded_share=0.8, longest_clip=1) for _ in range(300)])
    assert np.mean(cache.version[rows] != CLEAN) == pytest.approx(0.8, abs=0.03)


def test_sets_are_padded_and_marked() -> None:
    cache = synthetic_people(np.random.default_rng(0), 2, 2, 1)
    sets = gather_sets(cache, [np.array([1, 2]), np.array([3])])
    assert sets.valid.tolist() == [[True, True], [True, False]]
    assert np.array_equal(sets.embeddings[1, 0], cache.embeddings[3])
    assert sets.embeddings[1, 1].tolist() == [0.0] * 16 and sets.norms[1, 1] == 1.0


def test_prototypes_come_from_clean_images() -> None:
    cache = synthetic_people(np.random.default_rng(0), 4, 3, 5)
    prototypes = cache.clean_prototypes()
    clean = cache.version == CLEAN
    cosines = (cache.embeddings[clean] * prototypes[cache.person[clean]]).sum(axis=1)
    assert prototypes.shape == (4, 16) and cosines.min() > 0.9

"""Sample sets made up for tests."""

from __future__ import annotations

import numpy as np

from models.aggregation.data import EmbeddingCache, SampleSets


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_sets(rng: np.random.Generator, sets: int, size: int, width: int, spread: float = 1.0) -> SampleSets:
    """Samples around one direction a set, norms 3 to 15 as a face embedder gives them, no padding."""
    subjects = rng.normal(size=(sets, 1, width))
    vectors = unit(subjects + spread * rng.normal(size=(sets, size, width)))
    norms = rng.uniform(3.0, 15.0, (sets, size)).astype(np.float32)
    return SampleSets(vectors, norms, np.ones((sets, size), dtype=bool), np.tile(np.arange(size), (sets, 1)))


def synthetic_people(
    rng: np.random.Generator, people: int, images: int, versions: int, width: int = 16
) -> EmbeddingCache:
    """People whose degraded versions are noisier, of lower norm, and drawn to one common direction."""
    person, image, version, vectors, norms = [], [], [], [], []
    common = unit(rng.normal(size=width))
    for p in range(people):
        subject = unit(rng.normal(size=width))
        for i in range(images):
            for v in range(versions + 1):
                badness = 0.15 if v == 0 else rng.uniform(0.3, 1.0)
                noise = unit(rng.normal(size=width))
                vectors.append((1.0 - badness) * subject + badness * (0.5 * noise + 0.5 * common))
                norms.append(14.0 - 9.0 * badness)
                person.append(p)
                image.append(p * images + i)
                version.append(v)
    return EmbeddingCache(
        names=tuple(f"person {p}" for p in range(people)),
        person=np.array(person),
        image=np.array(image),
        version=np.array(version),
        embeddings=unit(np.array(vectors)),
        norms=np.array(norms, dtype=np.float32),
        images_without_face=0,
    )

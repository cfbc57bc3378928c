"""Embeddings of people's images, clean and degraded, and the sample sets drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

CLEAN = 0
"""The version number of an image as it was taken."""


@dataclass(frozen=True, slots=True)
class EmbeddingCache:
    """One row for each embedded version of each image, grouped by person and image, clean version first."""

    names: tuple[str, ...]
    """Person p is names[p]."""
    person: Rows  # (R,)
    image: Rows  # (R,)
    """Number of the source image, distinct over all people."""
    version: Rows  # (R,)
    """`CLEAN`, or 1, 2, ... for its degraded copies."""
    embeddings: NDArray[np.float32]  # (R, D)
    """Unit length."""
    norms: NDArray[np.float32]  # (R,)
    images_without_face: int
    """Clean images in which no usable face was found; they have no row."""

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            names=np.array(self.names),
            person=self.person,
            image=self.image,
            version=self.version,
            embeddings=self.embeddings,
            norms=self.norms,
            images_without_face=np.array(self.images_without_face),
        )

    @classmethod
    def load(cls, path: Path) -> EmbeddingCache:
        """Raises OSError when there is none, KeyError or ValueError when it is not one."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                names=tuple(map(str, stored["names"])),
                person=stored["person"],
                image=stored["image"],
                version=stored["version"],
                embeddings=stored["embeddings"],
                norms=stored["norms"],
                images_without_face=int(stored["images_without_face"]),
            )

    def people(self) -> list[PersonImages]:
        """The people with at least one row, in order."""
        people = []
        for index in np.unique(self.person):
            rows = np.flatnonzero(self.person == index)
            images = []
            for image in np.unique(self.image[rows]):
                of_image = rows[self.image[rows] == image]
                clean = self.version[of_image] == CLEAN
                images.append(ImageVersions(of_image[clean], of_image[~clean]))
            people.append(PersonImages(int(index), tuple(images)))
        return people

    def select(self, kept: NDArray[np.bool_]) -> EmbeddingCache:
        """Only the people at which `kept` (P,) is True, in the same order."""
        rows = kept[self.person]
        number = np.cumsum(kept) - 1
        return replace(
            self,
            names=tuple(name for name, is_kept in zip(self.names, kept, strict=True) if is_kept),
            person=number[self.person[rows]],
            image=self.image[rows],
            version=self.version[rows],
            embeddings=self.embeddings[rows],
            norms=self.norms[rows],
        )

    def clean_prototypes(self) -> NDArray[np.float32]:
        """Norm-weighted mean direction of each person's clean images. (P, D), in the order of `people()`."""
        prototypes = []
        for person in self.people():
            rows = np.concatenate([image.clean for image in person.images])
            mean = (self.embeddings[rows] * self.norms[rows, None]).sum(axis=0)
            prototypes.append(mean / np.linalg.norm(mean))
        return np.stack(prototypes).astype(np.float32)


def join_caches(caches: Sequence[EmbeddingCache]) -> EmbeddingCache:
    """The people of all caches, one after another."""
    people = np.cumsum([0, *(len(cache.names) for cache in caches)])
    images = np.cumsum([0, *(int(cache.image.max()) + 1 for cache in caches)])
    return EmbeddingCache(
        names=tuple(name for cache in caches for name in cache.names),
        person=np.concatenate([cache.person + start for cache, start in zip(caches, people, strict=False)]),
        image=np.concatenate([cache.image + start for cache, start in zip(caches, images, strict=False)]),
        version=np.concatenate([cache.version for cache in caches]),
        embeddings=np.concatenate([cache.embeddings for cache in caches]),
        norms=np.concatenate([cache.norms for cache in caches]),
        images_without_face=sum(cache.images_without_face for cache in caches),
    )


@dataclass(frozen=True, slots=True)
class ImageVersions:
    """Rows of one source image."""

    clean: Rows  # (0 or 1,)
    degraded: Rows  # (V,)


@dataclass(frozen=True, slots=True)
class PersonImages:
    """All rows of one person."""

    person: int
    images: tuple[ImageVersions, ...]


@dataclass(frozen=True, slots=True)
class SampleSets:
    """Sets padded to one size, ready for an aggregator."""

    embeddings: NDArray[np.float32]  # (B, N, D)
    norms: NDArray[np.float32]  # (B, N)
    valid: NDArray[np.bool_]  # (B, N)
    media: Rows  # (B, N)
    """Number of the photograph or video that each sample comes from; -1 on padding."""


def draw_samples(
    images: Sequence[ImageVersions],
    rng: np.random.Generator,
    *,
    size: int,
    degraded_share: float,
    longest_clip: int,
) -> Rows:
    """Rows of one set of `size` distinct samples, fewer when the images hold no more.

    Simulated clips, as in the FaceCoresetNet recipe: an image is picked at random and gives 1 to `longest_clip`
    samples, each a degraded version with probability `degraded_share`, until the set is full. An image has one
    clean version; once it is used, its further samples are degraded ones.
    """
    piles = [(rng.permutation(image.clean).tolist(), rng.permutation(image.degraded).tolist()) for image in images]
    rows: list[int] = []
    while piles and len(rows) < size:
        picked = int(rng.integers(len(piles)))
        clean, degraded = piles[picked]
        for _ in range(min(int(rng.integers(1, longest_clip + 1)), size - len(rows))):
            pile = clean if clean and rng.random() >= degraded_share else degraded
            if not pile:
                del piles[picked]
                break
            rows.append(pile.pop())
    return np.array(rows, dtype=np.int64)


def pad_rows(sets: Sequence[Rows]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows (B, N), 0 in the padding, and which of them are of the set (B, N)."""
    longest = max(len(rows) for rows in sets)
    valid = np.zeros((len(sets), longest), dtype=bool)
    padded = np.zeros((len(sets), longest), dtype=np.int64)
    for index, rows in enumerate(sets):
        padded[index, : len(rows)] = rows
        valid[index, : len(rows)] = True
    return padded, valid


def gather_sets(cache: EmbeddingCache, sets: Sequence[Rows]) -> SampleSets:
    """Pad sets of rows into arrays; padding is zero with norm 1."""
    padded, valid = pad_rows(sets)
    embeddings = np.where(valid[:, :, None], cache.embeddings[padded], np.float32(0.0))
    norms = np.where(valid, cache.norms[padded], np.float32(1.0))
    return SampleSets(embeddings, norms, valid, np.where(valid, cache.image[padded], -1))

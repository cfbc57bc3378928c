"""Whose embeddings a run learns from, put together as its configuration says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np

from models.aggregation.data import EmbeddingCache, join_caches
from models.aggregation.extraction import Progress, extract_cached, extract_celeba, extract_split
from models.datasets.lfw import Split
from models.datasets.people import people_in_folders
from models.training.configuration import DataConfig
from service.runtime.pack import Pack

_ALIKE = 0.5
"""Cosine of two means: far above the threshold of FMR 1e-4 of either embedder, so that few are left out by chance."""
_HELD_OUT = (Split.VALIDATION, Split.SINGLE_TRAIN, Split.TEST, Split.SINGLE_TEST)


class ProgressBar(Protocol):
    """Opens a bar with a title."""

    def __call__(self, title: str) -> AbstractContextManager[Progress]: ...


def training_people(
    pack: Pack, config: DataConfig, data: Path, *, cache_directory: Path, progress_bar: ProgressBar
) -> EmbeddingCache:
    """Everyone the configuration names, embedded by the pack's networks. Raises ValueError where that is nobody."""
    own: list[EmbeddingCache] = []
    others: list[EmbeddingCache] = []
    versions = config.degraded_versions
    if config.lfw:
        with progress_bar("embeddings of the train people of LFW") as show:
            own.append(
                extract_split(
                    pack,
                    data,
                    Split.TRAIN,
                    degraded_versions=versions,
                    cache_directory=cache_directory,
                    progress=show,
                )
            )
    if config.celeba:
        with progress_bar("embeddings of the people of CelebA") as show:
            others.append(extract_celeba(pack, data, versions, cache_directory=cache_directory, progress=show))
    for folder in config.folders:
        people = people_in_folders(data / folder, fewest_images=2)[: config.most_people]
        with progress_bar(f"embeddings of the people in {folder.name}") as show:
            others.append(
                extract_cached(
                    pack,
                    folder.name,
                    people,
                    versions,
                    aligned=config.aligned,
                    cache_directory=cache_directory,
                    progress=show,
                )
            )
    if config.leave_out_alike and others:
        with progress_bar("embeddings of the people who tune or report") as show:
            held_out = [
                extract_split(pack, data, split, cache_directory=cache_directory, progress=show) for split in _HELD_OUT
            ]
        others = [leave_out_alike(cache, [*own, *held_out]) for cache in others]
    if not own + others:
        raise ValueError("the configuration names nobody to learn from")
    return join_caches(own + others)


def leave_out_alike(cache: EmbeddingCache, others: Sequence[EmbeddingCache]) -> EmbeddingCache:
    """Without the people who may be one of `others` under another name, judged by the mean of their clean images, and
    without those who have no embedding at all."""
    theirs = np.concatenate([other.clean_prototypes() for other in others])
    kept = np.zeros(len(cache.names), dtype=bool)
    kept[np.unique(cache.person)] = (cache.clean_prototypes() @ theirs.T).max(axis=1) < _ALIKE
    return cache.select(kept)

"""Training: sets of people are drawn, aggregated, and judged by identity and against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.aggregation.cone import ConeFusion
from models.aggregation.configuration import AggregatorConfig
from models.aggregation.data import EmbeddingCache, PersonImages, Rows, draw_samples, gather_sets
from models.aggregation.fusion import AttentionFusion
from models.aggregation.losses import AdaFaceHead, set_against_set
from models.aggregation.network import FaceCoresetNet


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Chosen on the validation people; see docs/decisions/0003-aggregator-shipped.md."""

    steps: int = 800
    people_per_step: int = 128
    largest_set: int = 16
    """Set sizes are uniform from 1 to this."""
    longest_clip: int = 3
    degraded_shares: tuple[float, ...] = (0.5, 0.8, 1.0)
    """Each set takes one of these."""
    learning_rate: float = 1e-3
    gamma_learning_rate: float = 1e-4
    head_learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    gradient_clip: float = 1.0
    identity_margin: float = 0.4
    """m of the AdaFace head; the paper's 0.8 is for ten times the identities."""
    pair_scale: float = 32.0
    pair_margin: float = 0.2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    labels: Tensor  # (P,)
    embeddings: Tensor  # (2 P, N, D): the first sets of all people, then the second ones
    norms: Tensor  # (2 P, N)
    valid: Tensor  # (2 P, N)


def train_aggregator(
    config: AggregatorConfig,
    recipe: TrainingRecipe,
    cache: EmbeddingCache,
    progress: Callable[[int, int], None],
) -> FaceCoresetNet:
    """A trained network in `eval()`: the same weights for the same arguments, on one CPU thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(config, recipe, cache, progress)
    finally:
        torch.set_num_threads(threads)


def _train(
    config: AggregatorConfig, recipe: TrainingRecipe, cache: EmbeddingCache, progress: Callable[[int, int], None]
) -> FaceCoresetNet:
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    people = cache.people()
    network = FaceCoresetNet(config)
    fit_statistics(network, cache)
    head = AdaFaceHead(torch.from_numpy(cache.clean_prototypes()), margin=recipe.identity_margin)
    weights = [parameter for name, parameter in network.named_parameters() if name != "gamma"]
    optimiser = torch.optim.AdamW(
        [
            {"params": weights, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
            # gamma is one number that balances two quantities: it needs its own rate, and no pull towards 0.
            {"params": [network.gamma], "lr": recipe.gamma_learning_rate, "weight_decay": 0.0},
            {"params": head.parameters(), "lr": recipe.head_learning_rate, "weight_decay": recipe.weight_decay},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [float(group["lr"]) for group in optimiser.param_groups], total_steps=recipe.steps, pct_start=0.1
    )
    network.train()
    head.train()
    for step in range(recipe.steps):
        batch = _draw_batch(people, cache, recipe, rng)
        output = network(batch.embeddings, batch.norms, batch.valid)
        references, probes = output.template.chunk(2)
        loss = head(output.template, output.template_norm, batch.labels.repeat(2)) + set_against_set(
            references, probes, scale=recipe.pair_scale, margin=recipe.pair_margin
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        optimiser.step()
        schedule.step()
        progress(step + 1, recipe.steps)
    return network.eval()


def fit_statistics(network: FaceCoresetNet, cache: EmbeddingCache) -> None:
    """Set what is measured rather than learned: the embedder's norm statistics and the quality centre's start."""
    fusion = network.fusion
    if not isinstance(fusion, AttentionFusion | ConeFusion):
        raise ValueError(f"the fusion {network.config.fusion} has nothing to train")
    fusion.statistics.fit(cache.norms)
    if isinstance(fusion, ConeFusion) and fusion.centre is not None:
        standardised = fusion.statistics(torch.from_numpy(cache.norms)).numpy()
        fusion.centre.fit(cache.embeddings, standardised, cache.person)


def _draw_batch(
    people: list[PersonImages], cache: EmbeddingCache, recipe: TrainingRecipe, rng: np.random.Generator
) -> _Batch:
    chosen = rng.choice(len(people), min(recipe.people_per_step, len(people)), replace=False)
    sides = [_draw_two_sets(people[index], recipe, rng) for index in chosen]
    sets = gather_sets(cache, [first for first, _ in sides] + [second for _, second in sides])
    return _Batch(
        torch.from_numpy(chosen),
        torch.from_numpy(sets.embeddings),
        torch.from_numpy(sets.norms),
        torch.from_numpy(sets.valid),
    )


def _draw_two_sets(person: PersonImages, recipe: TrainingRecipe, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """From disjoint halves of the person's images, so that no image can vouch for itself; from the same image
    where there is only one."""
    images = [person.images[index] for index in rng.permutation(len(person.images))]
    middle = len(images) // 2
    halves = (images[:middle] or images, images[middle:])
    first, second = (
        draw_samples(
            half,
            rng,
            size=int(rng.integers(1, recipe.largest_set + 1)),
            degraded_share=float(rng.choice(recipe.degraded_shares)),
            longest_clip=recipe.longest_clip,
        )
        for half in halves
    )
    return first, second

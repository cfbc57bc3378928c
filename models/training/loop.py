"""The training loop: any number of processes and any precision through accelerate, resumable at every checkpoint.

What a step draws (people, sets, dropout, Gumbel noise) hangs on the seed, the step and the process alone, so a run
that was stopped and resumed ends at the very weights of one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from models.aggregation.configuration import AggregatorConfig
from models.aggregation.data import EmbeddingCache
from models.aggregation.methods import build_network
from models.aggregation.network import SetAggregatorModule
from models.training.configuration import RunConfig, TrainingRecipe
from models.training.objective import TrainingObjective, make_schedule, parameter_groups
from models.training.sets import TrainingSets, draw_training_sets
from models.training.tracking import CsvTracker, tensorboard_tracker

Progress = Callable[[int, int], None]
_CHECKPOINT = "checkpoint"
_STATE_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run keeps its logs and checkpoint, and whether it goes on from the checkpoint that lies there."""

    directory: Path
    resume: bool = False


def train_aggregator(
    config: AggregatorConfig,
    recipe: TrainingRecipe,
    cache: EmbeddingCache,
    progress: Progress,
    *,
    run: RunConfig | None = None,
    place: RunPlace | None = None,
) -> SetAggregatorModule:
    """A trained network in `eval()`, on the CPU: the same weights for the same arguments on one CPU process.

    Without a `place` nothing is logged or kept. Raises ValueError for a method with nothing to train, and where a
    checkpoint to resume from is missing or is another run's.
    """
    threads = torch.get_num_threads()
    # Sums over threads would depend on how many there are.
    torch.set_num_threads(1)
    try:
        return _Run(config, recipe, cache, run or RunConfig(), place).train(progress)
    finally:
        torch.set_num_threads(threads)


class _Run:
    def __init__(
        self,
        config: AggregatorConfig,
        recipe: TrainingRecipe,
        cache: EmbeddingCache,
        run: RunConfig,
        place: RunPlace | None,
    ) -> None:
        self._recipe, self._cache, self._run, self._place = recipe, cache, run, place
        self._people = cache.people()
        torch.manual_seed(recipe.seed)
        network = build_network(config)
        fit_statistics(network, cache)
        objective = TrainingObjective(network, torch.from_numpy(cache.clean_prototypes()), recipe)
        trackers = [] if place is None else [CsvTracker(place.directory), tensorboard_tracker(place.directory)]
        self._accelerator = Accelerator(mixed_precision=run.mixed_precision, log_with=trackers or None)
        if trackers:
            self._accelerator.init_trackers("training")
        optimiser = torch.optim.AdamW(parameter_groups(objective, recipe))
        schedule = make_schedule(optimiser, recipe)
        # The schedule is stepped here, once a step: accelerate would step it once for each process.
        self._objective, self._optimiser = self._accelerator.prepare(objective, optimiser)
        self._schedule = schedule
        self._accelerator.register_for_checkpointing(self._schedule)

    def train(self, progress: Progress) -> SetAggregatorModule:
        recipe = self._recipe
        self._objective.train()
        for step in range(self._resume(), recipe.steps):
            parts = self._step(step)
            done = step + 1
            if self._place is not None and (done % self._run.log_every == 0 or done == recipe.steps):
                self._accelerator.log({name: float(value.detach()) for name, value in parts.items()}, step=done)
            if self._place is not None and (done % self._run.checkpoint_every == 0 or done == recipe.steps):
                self._save(done)
            progress(done, recipe.steps)
        self._accelerator.end_training()
        objective: TrainingObjective = self._accelerator.unwrap_model(self._objective)
        return objective.network.cpu().eval()

    def _step(self, step: int) -> dict[str, torch.Tensor]:
        rank = self._accelerator.process_index
        rng = np.random.default_rng([self._recipe.seed, step, rank])
        torch.manual_seed(int(rng.integers(2**62)))
        drawn = draw_training_sets(self._people, self._cache, self._recipe, rng)
        sets = TrainingSets(*(part.to(self._accelerator.device) for part in drawn))
        parts: dict[str, torch.Tensor] = self._objective(sets)
        self._optimiser.zero_grad()
        self._accelerator.backward(parts["loss"])
        network = self._accelerator.unwrap_model(self._objective).network
        self._accelerator.clip_grad_norm_(network.parameters(), self._recipe.gradient_clip)
        self._optimiser.step()
        self._schedule.step()
        return parts

    def _save(self, done: int) -> None:
        assert self._place is not None
        directory = self._place.directory / _CHECKPOINT
        self._accelerator.save_state(str(directory))
        if self._accelerator.is_main_process:
            (directory / _STATE_FILE).write_text(json.dumps({"done": done, **self._identity()}), encoding="utf-8")

    def _resume(self) -> int:
        """Steps that are done already."""
        if self._place is None or not self._place.resume:
            return 0
        directory = self._place.directory / _CHECKPOINT
        try:
            state = json.loads((directory / _STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{directory} holds no checkpoint to resume from") from error
        if {**self._identity(), "done": state["done"]} != state:
            raise ValueError(f"{directory} is the checkpoint of another run: its recipe, method or data differ")
        self._accelerator.load_state(str(directory))
        return int(state["done"])

    def _identity(self) -> dict[str, object]:
        network = self._accelerator.unwrap_model(self._objective).network
        return {
            "config": network.config.to_json(),
            "recipe": self._recipe.model_dump(mode="json"),
            "people": len(self._people),
            "embeddings": len(self._cache.norms),
        }


def fit_statistics(network: SetAggregatorModule, cache: EmbeddingCache) -> None:
    """Set what is measured rather than learned: the embedder's norm statistics, the mean embedding of each quality, and
    the filter of each quality."""
    statistics = network.norm_statistics()
    if statistics is None:
        raise ValueError(f"{network.config.fusion} has nothing to train")
    statistics.fit(cache.norms)
    centre, quality_filter = network.quality_centre(), network.quality_filter()
    if centre is None:
        return
    quality = statistics(torch.from_numpy(cache.norms))
    centre.fit(cache.embeddings, quality.numpy(), cache.person)
    if quality_filter is not None:
        centred = cache.embeddings - centre(quality[None])[0].numpy()
        quality_filter.fit(centred, quality.numpy(), cache.norms, cache.person, cache.image)

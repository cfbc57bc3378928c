"""What each choice is worth: the shipped configuration with one thing changed at a time, trained alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from models.aggregation.configuration import Fusion
from models.aggregation.network import SetAggregatorModule
from models.aggregation.weights import load_weights, save_weights
from models.commands import progress_bar, write_json
from models.training.configuration import TrainingConfig
from models.training.loop import train_aggregator
from models.training.people import training_people
from service.runtime.pack import load_pack

_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """One run."""

    group: str
    name: str
    config: TrainingConfig

    @property
    def slug(self) -> str:
        return "-".join(f"{self.group} {self.name}".replace("%", "percent").split())


@dataclass(frozen=True, slots=True)
class Place:
    """What a run reads and writes."""

    pack: Path
    data: Path
    cache: Path
    output: Path


def variants(base: TrainingConfig, steps: int) -> list[Variant]:
    """The base first, then its variants by what they change; all of `steps` steps."""
    base = base.model_copy(update={"recipe": base.recipe.model_copy(update={"steps": steps})})

    def changed(group: str, name: str, **fields: object) -> Variant:
        aggregator = base.aggregator.model_copy(update=fields)
        return Variant(group, name, base.model_copy(update={"aggregator": aggregator}))

    contaminated = base.recipe.model_copy(update={"contaminated_share": 0.0})
    start = base.aggregator.gamma_start
    return [
        Variant("as shipped", base.aggregator.fusion.value, base),
        *(
            changed("fusion", fusion.value, fusion=fusion)
            for fusion in Fusion
            if fusion not in (base.aggregator.fusion, Fusion.CORESET_MEAN)
        ),
        *(changed("K", str(size), core_size=size) for size in (1, 2, 4, 6) if size != base.aggregator.core_size),
        changed("gamma", "0, fixed", gamma_start=0.0, learn_gamma=False),
        changed("gamma", f"{start:g}, fixed", gamma_start=start, learn_gamma=False),
        changed("gamma", "learned from 0.01", gamma_start=0.01),
        changed("encoding", "norms as they are", standardise_norms=False),
        Variant("training sets", "no strangers in them", base.model_copy(update={"recipe": contaminated})),
    ]


def train_variants(
    wanted: list[Variant], place: Place, progress: Callable[[int, int], None]
) -> dict[str, SetAggregatorModule]:
    """Networks by slug. What was trained before with the same configuration is read, not trained again."""
    # PyTorch's threads do not survive a fork.
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(_train, variant, place) for variant in wanted]
        for number, run in enumerate(runs):
            run.result()
            progress(number + 1, len(wanted))
    return {variant.slug: load_weights(_weights(variant, place)) for variant in wanted}


def _train(variant: Variant, place: Place) -> None:
    path = _weights(variant, place)
    record = path.with_name("training.json")
    pack = load_pack(place.pack)
    wanted = {"fingerprint": pack.fingerprint, "configuration": variant.config.model_dump(mode="json")}
    if path.is_file() and record.is_file() and json.loads(record.read_text(encoding="utf-8")) == wanted:
        return
    config = variant.config
    people = training_people(pack, config.data, place.data, cache_directory=place.cache, progress_bar=progress_bar)
    network = train_aggregator(
        config.aggregator.for_width(pack.manifest.embedder.width), config.recipe, people, lambda done, total: None
    )
    save_weights(network, path)
    write_json(record, wanted)


def _weights(variant: Variant, place: Place) -> Path:
    return place.output / variant.slug / "weights.npz"

"""`python -m models.aggregation.train`: extract the training people's embeddings and train an aggregator on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.extraction import extract_split
from models.aggregation.training import TrainingRecipe, train_aggregator
from models.aggregation.weights import save_weights
from models.commands import parser_of, progress_bar, write_json
from models.datasets.lfw import Split
from service.runtime.pack import load_pack

_TRAINABLE = [fusion.value for fusion in Fusion if fusion is not Fusion.CORESET_MEAN]


def main(arguments: list[str] | None = None) -> None:
    """Writes weights.npz and training.json. The same command gives the same weights."""
    parser = parser_of(
        "Train an aggregator on the `train` people. Extraction takes about 13 minutes on 2 cores the first time, "
        "training one to two."
    )
    parser.add_argument("--output", type=Path, default=Path("artefacts/training"), help="directory for the weights")
    parser.add_argument("--fusion", choices=_TRAINABLE, default=Fusion.CENTRED_CONE.value, help="variant to train")
    parser.add_argument("--steps", type=int, default=TrainingRecipe().steps, help="optimiser steps")
    parser.add_argument("--seed", type=int, default=TrainingRecipe().seed, help="seed of weights, sets and noise")
    options = parser.parse_args(arguments)
    pack = load_pack(options.pack)
    config = AggregatorConfig.for_training(Fusion(options.fusion), pack.manifest.embedder.width)
    recipe = TrainingRecipe(steps=options.steps, seed=options.seed)
    with progress_bar("embeddings of the train people") as show:
        cache = extract_split(pack, options.data, Split.TRAIN, cache_directory=options.cache, progress=show)
    with progress_bar("training") as show:
        network = train_aggregator(config, recipe, cache, show)
    save_weights(network, options.output / "weights.npz")
    write_json(
        options.output / "training.json",
        {
            "config": dataclasses.asdict(config),
            "recipe": dataclasses.asdict(recipe),
            "people": len(cache.names),
            "embeddings": len(cache.norms),
            "images_without_face": cache.images_without_face,
        },
    )
    print(f"{options.output / 'weights.npz'}: {sum(p.numel() for p in network.parameters()):,} parameters")


if __name__ == "__main__":
    main()

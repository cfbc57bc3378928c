"""`coreface-train`: extract the training people's embeddings and train a method on them."""

from __future__ import annotations

from pathlib import Path

from models.aggregation.weights import save_weights
from models.commands import CACHE_DIRECTORY, command_parser, named_pack, progress_bar, write_json
from models.training.configuration import read_config
from models.training.loop import RunPlace, train_aggregator
from models.training.people import training_people


def main(arguments: list[str] | None = None) -> None:
    """Writes weights.npz, training.json, training.csv, tensorboard/ and checkpoint/ to the output directory.

    On one CPU process the same command gives the same weights, interrupted and resumed or not. For several
    processes or GPUs: `accelerate launch -m models.training.command ...`.
    """
    parser = command_parser("coreface-train", "Train an aggregator as a configuration file says.")
    parser.add_argument("--config", type=Path, required=True, help="TOML file, such as models/aggregation/configs/*")
    parser.add_argument("--data", type=Path, required=True, help="directory of the data sets that the file names")
    parser.add_argument("--pack", required=True, help="installed pack, or its directory: the detector and embedder")
    parser.add_argument("--output", type=Path, default=Path("artefacts/training"), help="directory for what is made")
    parser.add_argument("--cache", type=Path, default=CACHE_DIRECTORY, help="directory of extracted embeddings")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output directory")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    try:
        config = read_config(options.config)
        people = training_people(
            pack, config.data, options.data, cache_directory=options.cache, progress_bar=progress_bar
        )
        with progress_bar("training") as show:
            network = train_aggregator(
                config.aggregator.for_width(pack.manifest.embedder.width),
                config.recipe,
                people,
                show,
                run=config.run,
                place=RunPlace(options.output, options.resume),
            )
    except ValueError as error:
        parser.exit(2, f"coreface-train: {error}\n")
    save_weights(network, options.output / "weights.npz")
    write_json(
        options.output / "training.json",
        {
            "pack": pack.manifest.name,
            "configuration_file": options.config.name,
            "configuration": config.model_dump(mode="json"),
            "people": len(people.names),
            "embeddings": len(people.norms),
            "images_without_face": people.images_without_face,
        },
    )
    print(f"{options.output / 'weights.npz'}: {sum(p.numel() for p in network.parameters()):,} parameters")


if __name__ == "__main__":
    main()

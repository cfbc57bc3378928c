"""What a training run is: one TOML file, read strictly, so that a wrong name is an error and not a default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.aggregation.configuration import AggregatorConfig, Fusion

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """Whom it learns from. Paths are below the directory that the command is given."""

    lfw: bool = False
    """The `train` people of LFW."""
    celeba: bool = False
    """The people of `celeba_small` with two images or more."""
    folders: tuple[Path, ...] = ()
    """Directories with a folder of images for each identity, as WebFace4M has them."""
    aligned: bool = False
    """The folders hold aligned 112x112 faces, as WebFace4M is handed round: nothing is detected in them."""
    most_people: Annotated[int, Field(ge=2)] | None = None
    """Of each folder: the first ones by name."""
    degraded_versions: Annotated[int, Field(ge=0)] = 6
    """Degraded copies embedded of each image."""
    leave_out_alike: bool = True
    """Leave out people of CelebA and folders who may be in LFW under another name, in any of its splits: nobody who
    tunes or reports is learned from, and nobody has two labels."""


class AggregatorChoice(_Strict):
    """The fields of `AggregatorConfig` but for the width, which is the pack's."""

    fusion: Fusion
    core_size: Annotated[int, Field(ge=1)] = 3
    heads: Annotated[int, Field(ge=1)] = 8
    dropout: Share = 0.1
    temperature: Annotated[float, Field(gt=0)] = 1.0
    gamma_start: float = 0.01
    learn_gamma: bool = True
    norm_power_start: float = 5.0
    judge_width: Annotated[int, Field(ge=1)] = 64
    standardise_norms: bool = True

    def for_width(self, width: int) -> AggregatorConfig:
        return AggregatorConfig(width=width, **self.model_dump())


class TrainingRecipe(_Strict):
    """How it learns. The defaults were chosen on the validation people; docs/decisions/0003-aggregator-shipped.md."""

    steps: Annotated[int, Field(ge=1)] = 800
    people_per_step: Annotated[int, Field(ge=2)] = 128
    """In each process."""
    largest_set: Annotated[int, Field(ge=1)] = 16
    """Set sizes are uniform from 1 to this."""
    longest_clip: Annotated[int, Field(ge=1)] = 3
    degraded_shares: tuple[Share, ...] = (0.5, 0.8, 1.0)
    """Each set takes one of these."""
    contaminated_share: Share = 0.0
    """Share of the sets of three samples or more that hold samples of somebody else as well: one for every five."""
    learning_rate: float = 1e-3
    gamma_learning_rate: float = 1e-4
    head_learning_rate: float = 1e-4
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    weight_decay: float = 1e-3
    gradient_clip: float = 1.0
    identity_scale: float = 48.0
    """s of the AdaFace head."""
    identity_margin: float = 0.4
    """m of the AdaFace head; the paper's 0.8 is for ten times the identities."""
    pair_weight: float = 1.0
    """Of the loss that sets one set of each person against the other's; 0 is the paper's recipe."""
    pair_scale: float = 32.0
    pair_margin: float = 0.2
    seed: int = 0


class RunConfig(_Strict):
    """How it is run; none of this changes what is learned on one CPU process."""

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    log_every: Annotated[int, Field(ge=1)] = 10
    checkpoint_every: Annotated[int, Field(ge=1)] = 200


class TrainingConfig(_Strict):
    """A whole run."""

    data: DataConfig
    aggregator: AggregatorChoice
    recipe: TrainingRecipe = TrainingRecipe()
    run: RunConfig = RunConfig()


def read_config(path: Path) -> TrainingConfig:
    """Raises ValueError, which names the file and each field that is wrong."""
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: {faults}") from error

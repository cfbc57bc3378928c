from __future__ import annotations

from pathlib import Path

import pytest

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.training.configuration import AggregatorChoice, read_config

CONFIGS = Path(__file__).parents[3] / "models" / "aggregation" / "configs"
MINIMAL = '[data]\nlfw = true\n[aggregator]\nfusion = "faithful"\n'


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_that_ships_is_read(path: Path) -> None:
    config = read_config(path)
    assert config.aggregator.for_width(64).width == 64
    assert config.data.lfw or config.data.folders


def test_the_paper_is_the_paper() -> None:
    config = read_config(CONFIGS / "paper.toml")
    aggregator, recipe = config.aggregator, config.recipe
    assert (aggregator.fusion, aggregator.core_size, aggregator.heads, aggregator.dropout) == (
        Fusion.FAITHFUL,
        3,
        8,
        0.1,
    )
    assert (aggregator.gamma_start, aggregator.temperature, aggregator.standardise_norms) == (0.01, 1.0, False)
    assert 2 * recipe.people_per_step == 20 and recipe.largest_set == 20 and recipe.longest_clip == 3
    assert (recipe.learning_rate, recipe.weight_decay, recipe.gradient_clip) == (1e-4, 1e-3, 1.0)
    assert (recipe.identity_scale, recipe.identity_margin, recipe.pair_weight) == (48.0, 0.8, 0.0)


def test_a_choice_is_a_configuration_without_its_width() -> None:
    assert AggregatorChoice(fusion=Fusion.FAITHFUL).for_width(128) == AggregatorConfig(Fusion.FAITHFUL, 128)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[data]\nlfw = true\n", "aggregator"),
        (MINIMAL + "heds = 4\n", "aggregator.heds"),
        (MINIMAL.replace("faithful", "magic"), "aggregator.fusion"),
        (MINIMAL + "[recipe]\nsteps = 0\n", "recipe.steps"),
        (MINIMAL + "[recipe]\ndegraded_shares = [1.5]\n", "recipe.degraded_shares.0"),
        ("[data", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"wrong\.toml.*{named}"):
        read_config(tmp_path / "wrong.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml"):
        read_config(tmp_path / "none.toml")

from __future__ import annotations

from models.aggregation.configuration import Fusion
from models.evaluation.report.ablation import variants
from models.evaluation.report.command import _CONFIG as CONFIG
from models.training.configuration import read_config


def test_each_variant_changes_one_thing_and_none_is_there_twice() -> None:
    base = read_config(CONFIG)
    first, *others = variants(base, 50)
    assert first.config.recipe.steps == 50
    assert len({variant.slug for variant in (first, *others)}) == len(others) + 1
    names = {variant.name for variant in others if variant.group == "fusion"}
    assert names == {fusion.value for fusion in Fusion} - {base.aggregator.fusion.value, Fusion.CORESET_MEAN.value}
    for variant in others:
        changed = [
            name
            for name in ("data", "recipe", "run", "aggregator")
            if getattr(variant.config, name) != getattr(first.config, name)
        ]
        assert changed == (["recipe"] if variant.group == "training sets" else ["aggregator"]), variant.slug
    assert {variant.group for variant in others} == {"fusion", "K", "gamma", "encoding", "training sets"}

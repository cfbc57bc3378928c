from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.methods import build_network
from models.evaluation.cost import SIZES, AggregatorCost, SetCost, count_multiply_adds, describe, main


def test_a_linear_layer_costs_its_weights() -> None:
    network = build_network(AggregatorConfig(Fusion.FAITHFUL, 64))
    one, two, three = (count_multiply_adds(network, 64, size) for size in (10, 20, 30))
    assert two - one == three - two  # linear in the size of the set
    # Key and value projections of the cross-attention alone: two matrices for each sample.
    assert (two - one) / 10 >= 2 * 64 * 64


def test_what_is_printed() -> None:
    cost = AggregatorCost(1234, (SetCost(1, 2_000_000, 0.5),), 0.5, 0.001, 0.99)
    text = describe(cost)
    assert "1,234 parameters" in text and "1.00 us a sample" in text
    assert "| 1 | 2.00 M | 0.500 ms |" in text


@pytest.mark.slow
def test_the_command_measures_the_default_pack(
    default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--pack", str(default_pack_path), "--output", str(tmp_path / "cost.json")])
    assert "parameters" in capsys.readouterr().out
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert [row["size"] for row in cost["sets"]] == list(SIZES)
    assert cost["sets"][-1]["multiply_adds"] > cost["sets"][0]["multiply_adds"]

"""What valgrind says, and what counts as a loss."""

from __future__ import annotations

import json

import pytest

from benchmarks.hot_functions import hot_functions
from benchmarks.instructions import KEPT, grown, read_total


def test_the_summary_of_a_run() -> None:
    assert read_total("events: Ir\nfn=main\n1 5\nsummary: 1673596985\n") == 1_673_596_985
    with pytest.raises(ValueError, match="no summary"):
        read_total("events: Ir\n")


def test_only_what_grew_beyond_the_tolerance_is_told() -> None:
    kept = {"steady": 100, "grown": 100, "gone": 5}
    said = grown(kept, {"steady": 114, "grown": 116, "new": 7})
    assert len(said) == 3
    assert any(line.startswith("grown: 116 instructions, 1.16 times") for line in said)


@pytest.mark.parametrize("name", hot_functions())
def test_every_hot_function_runs_and_is_kept(name: str) -> None:
    hot_functions()[name]()
    assert name in json.loads(KEPT.read_text())

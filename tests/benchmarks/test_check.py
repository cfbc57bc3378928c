"""Which ratios are a loss."""

from __future__ import annotations

import json

from benchmarks.check import KEPT, lost


def test_a_loss_of_more_than_15_per_cent_is_told() -> None:
    kept = {"same": 1.0, "a little": 1.0, "much": 1.0, "gone": 2.0, "better": 1.0}
    found = {"same": 1.0, "a little": 0.86, "much": 0.84, "better": 3.0}
    assert lost(kept, found) == ["much: 0.84, kept 1.", "gone: 0, kept 2."]
    assert lost(kept, kept | {"much": float("nan")}) == ["much: nan, kept 1."]


def test_the_kept_ratios_are_met_by_themselves() -> None:
    kept = json.loads(KEPT.read_text())
    assert kept
    assert lost(kept, kept) == []

from __future__ import annotations

import numpy as np
import pytest

from service.calibration.comparisons import buckets_of, compare_groups, level_edges, level_of
from tests.calibration.groups import make_group


def test_every_two_people_are_compared_once_for_every_two_kinds() -> None:
    group = make_group(np.random.default_rng(0), 9, 4)
    [scores] = compare_groups(group, [], ()).values()
    assert len(scores.non_mated) == 36 * 4 and len(scores.mated) == 4 * 4
    assert {tuple(pair) for pair in scores.non_mated_people.tolist()} == {(a, b) for b in range(9) for a in range(b)}
    first = group.kinds[0].reference.vectors[0] @ group.kinds[0].probe.vectors[1]
    assert scores.non_mated[0] == pytest.approx(first)


def test_buckets_part_the_comparisons_and_lose_none() -> None:
    rng = np.random.default_rng(0)
    group, again = make_group(rng, 40, 20), [make_group(rng, 20, 20)]
    edges = level_edges([group], 3)
    parts = compare_groups(group, again, edges)
    assert set(parts) == set(buckets_of(3)) == {(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)}
    [whole] = compare_groups(group, again, ()).values()
    for name in ("mated", "non_mated"):
        joined = np.concatenate([getattr(part, name) for part in parts.values()])
        assert sorted(joined.tolist()) == sorted(getattr(whole, name).tolist())
    assert parts[0, 0].non_mated.mean() > parts[2, 2].non_mated.mean() + 0.1


def test_a_bucket_holds_just_its_levels() -> None:
    group = make_group(np.random.default_rng(1), 6, 6, kinds=1)
    edges = level_edges([group], 2)
    [kind] = group.kinds
    expected = sorted(
        float(kind.reference.vectors[a] @ kind.probe.vectors[b])
        for b in range(6)
        for a in range(b)
        if level_of(kind.reference.norms[[a]], edges)[0] == level_of(kind.probe.norms[[b]], edges)[0] == 1
    )
    assert sorted(compare_groups(group, [], edges)[1, 1].non_mated.tolist()) == pytest.approx(expected, abs=1e-6)


def test_a_norm_at_an_edge_is_above_it() -> None:
    assert level_of(np.array([1.0, 2.0, 2.5, 3.0]), (2.0, 3.0)).tolist() == [0, 1, 1, 2]

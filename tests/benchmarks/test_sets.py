"""How rates become ratios."""

from __future__ import annotations

import pytest

from benchmarks.http_load import LoadResult
from benchmarks.sets import compare, describe_load


def test_the_fastest_engine_of_each_way_is_what_http_is_held_to() -> None:
    forward = {
        "a, one at a time": 20.0,
        "b, one at a time": 10.0,
        "a, batched": 8.0,
        "b, batched": 9.0,
        "a, batched, in parallel": 6.0,
        "b, batched, in parallel": 5.0,
    }
    rates = {"http tiny": 100.0, "http buffalo_s": 60.0, "insightface": 20.0}
    assert compare("tiny", rates, forward)["ratios"] == {
        "http / forward, one at a time": pytest.approx(1.0),
        "http / forward, batched": pytest.approx(0.8),
        "http / forward, batched, in parallel": pytest.approx(0.5),
        "http / insightface": pytest.approx(5.0),
        "http / insightface, same weights": pytest.approx(3.0),
    }


def test_figures_of_a_load_are_by_image() -> None:
    figures = describe_load(LoadResult((0.1, 0.3), 0.5, 0.02, 0), size=10, service_cpu_s=0.4)
    assert figures == {
        "images_per_s": pytest.approx(40.0),
        "p50_ms": pytest.approx(200.0),
        "p99_ms": pytest.approx(300.0),
        "service_cpu_ms": pytest.approx(20.0),
        "client_cpu_ms": pytest.approx(1.0),
    }
    with pytest.raises(SystemExit, match="1 of 2 sets failed"):
        describe_load(LoadResult((0.1, 0.3), 0.5, 0.02, 1), size=10, service_cpu_s=0.4)

"""The harness functions of the fuzzer in the ordinary tests: over seeds, over what once broke something, and over
damaged copies of both."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing.mutation import mutated
from tests.fuzzing.regressions import REGRESSIONS
from tests.fuzzing.seeds import seeds_of
from tests.fuzzing.targets import TARGETS

_EXAMPLES = 150


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    seeds = seeds_of(target)
    assert seeds
    for seed in seeds:
        TARGETS[target](seed)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_once_broke_something(name: str) -> None:
    target, data = REGRESSIONS[name]
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_seeds(target: str, request: pytest.FixtureRequest) -> None:
    long = bool(request.config.getoption("--long"))
    seeds = [*seeds_of(target), *(data for name, data in REGRESSIONS.values() if name == target)]

    @settings(
        max_examples=10 * _EXAMPLES if long else _EXAMPLES,
        derandomize=not long,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=mutated(seeds) | st.binary(max_size=64))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()

"""One set's work, cut into even shares."""

from __future__ import annotations

import itertools

import pytest

from service.pipeline.batch_limits import BatchLimits, limits_on_cpu, limits_on_gpu, share_out


@pytest.mark.parametrize(
    ("parts", "most", "parallel", "sizes"),
    [
        (0, 4, 2, []),
        (1, 4, 2, [1]),
        (2, 4, 1, [2]),
        (2, 4, 2, [1, 1]),
        (5, 8, 2, [2, 3]),
        (9, 4, 2, [3, 3, 3]),
        (10, 4, 1, [3, 3, 4]),
        (3, 8, 4, [1, 1, 1]),
    ],
)
def test_even_shares_for_all_that_compute_at_once(parts: int, most: int, parallel: int, sizes: list[int]) -> None:
    shares = share_out(range(parts), most, parallel)
    assert [len(share) for share in shares] == sizes
    assert list(itertools.chain.from_iterable(shares)) == list(range(parts))


def test_the_settings_lower_what_a_device_would_take() -> None:
    assert limits_on_cpu(32, 2) == BatchLimits(images=8, faces=4, parallel=2)
    assert limits_on_cpu(3, 1).faces == 3
    assert limits_on_gpu(16) == BatchLimits(images=32, faces=16, parallel=1)

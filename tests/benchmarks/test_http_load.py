"""The load generator against a real endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.http_load import closed_load, open_load, quantile
from benchmarks.pictures import OneRequest, SetRequests, json_request
from benchmarks.plain_endpoint import running_plain_endpoint


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running_plain_endpoint() as port:
        yield port


def test_quantiles_are_values_that_were_seen() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [quantile(values, share) for share in (0.01, 0.25, 0.5, 0.99, 1.0)] == [1.0, 1.0, 2.0, 4.0, 4.0]


def test_clients_in_a_closed_loop(port: int) -> None:
    side = {"template_id": "x"}
    source = OneRequest(json_request("/compare", {"reference": side, "probe": side}))
    result = closed_load(port, source, concurrency=3, seconds=0.3)
    assert result.failed == 0
    assert len(result.seconds) >= 3
    assert result.per_second == pytest.approx(len(result.seconds) / result.elapsed_s)
    assert 0 < result.p50_ms <= result.p99_ms


def test_requests_at_their_own_times(port: int) -> None:
    result = open_load(port, SetRequests((b"picture",), 2, path="/upload"), per_second=50.0, seconds=0.5)
    assert result.failed == 0
    assert 5 <= len(result.seconds) <= 60


def test_refusals_are_counted(port: int) -> None:
    result = closed_load(port, OneRequest(json_request("/compare", {})), concurrency=1, seconds=0.1)
    assert result.failed == len(result.seconds) > 0


def test_no_two_sets_are_alike() -> None:
    sets = SetRequests((b"one", b"two"), 2)
    bodies = {sets.request(number).partition(b"\r\n\r\n")[2] for number in range(4)}
    assert len(bodies) == 4
    assert all(body.count(b"one") == body.count(b"two") == 1 for body in bodies)
    head, _, body = sets.request(0).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head

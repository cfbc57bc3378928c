"""The same walk on a pack of the insightface model zoo, with the aggregator that was trained for its embedder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.end_to_end.running_service import RunningService
from tests.end_to_end.test_walk import encoded, enrol, pictures, upload

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("insightface")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, zoo_pack_path: Path) -> Iterator[httpx.Client]:
    with RunningService(tmp_path_factory.mktemp("state"), zoo_pack_path) as service, service.client() as client:
        yield client


def test_templates_of_one_person_are_near_and_of_two_are_not(client: httpx.Client, shared_data: Path) -> None:
    first, second, other = (
        enrol(client, pictures(shared_data, person, start, start + 4), include="vector")
        for person, start in (("George_W_Bush", 1), ("George_W_Bush", 6), ("Colin_Powell", 1))
    )
    vectors = [np.array(answer["vector"]) for answer in (first, second, other)]
    assert all(vector.shape == (512,) for vector in vectors)
    np.testing.assert_allclose([np.linalg.norm(vector) for vector in vectors], 1.0, atol=1e-6)
    assert vectors[0] @ vectors[1] > 0.6
    assert abs(vectors[0] @ vectors[2]) < 0.3


def test_several_faces_and_no_face_are_refused(client: httpx.Client, shared_data: Path) -> None:
    for name, reason in (("crowd.jpg", "several_faces"), ("no_face_landscape.jpg", "no_face")):
        response = upload(client, [shared_data / "photos" / name], face_policy="only")
        assert response.status_code == 422
        assert response.json()["samples"][0]["reason"] == reason


def test_one_person_matches_and_two_do_not(client: httpx.Client, shared_data: Path) -> None:
    reference = encoded(pictures(shared_data, "Colin_Powell", 1, 3))
    for person, decision in (("Colin_Powell", "match"), ("Tony_Blair", "non_match")):
        probe = encoded(pictures(shared_data, person, 4, 6))
        response = client.post("/v1/verify", json={"reference": reference, "probe": probe})
        assert (response.status_code, response.json()["decision"]) == (200, decision), response.text


def test_the_pack_says_what_it_is(client: httpx.Client) -> None:
    (pack,) = client.get("/v1/packs").json()["packs"]
    assert pack["name"] == "buffalo_s"
    assert (pack["aggregation"], pack["aggregator_trained"]) == ("facecoresetnet", True)
    assert [point["name"] for point in pack["operating_points"]] == ["fmr_1e-2", "fmr_1e-3", "fmr_1e-4", "fmr_1e-5"]
    assert not pack["license"]["commercial_use"]

"""A site of two API processes and three workers goes on while its members are killed and replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis.exceptions import AuthenticationError

from tests.cluster.cluster import Cluster, Work
from tests.cluster.load import Load
from tests.pipeline.fakes import png


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Iterator[Cluster]:
    """With stand-ins for workers; every test leaves it whole."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


def test_requests_are_spread_over_the_api_processes(cluster: Cluster) -> None:
    with Load(cluster.url) as load:
        load.wait_for(40)
    assert load.failures == []
    for url in cluster.api_urls:
        assert 'coreface_requests_total{method="POST",route="/v1/templates"' in httpx.get(f"{url}/metrics").text


def test_a_rolling_restart_fails_no_request(cluster: Cluster) -> None:
    before = [member.pid for member in cluster.apis]
    with Load(cluster.url) as load:
        load.wait_for(20)
        cluster.roll_apis()
        load.wait_for(20)
    assert load.failures == []
    assert not set(before) & {member.pid for member in cluster.apis}


def test_a_killed_api_process_takes_only_what_it_had_along(cluster: Cluster) -> None:
    with Load(cluster.url, senders=4) as load:
        load.wait_for(20)
        cluster.apis[0].kill()
        # The other one goes on alone, and no request waits for the one that is gone.
        load.wait_for(40)
        cluster.wait_until_balanced(0)
        cluster.apis[0].start()
        cluster.wait_until_balanced()
        load.wait_for(20)
    # One a sender: 502, or no answer where its connection had carried a request before (so does HAProxy).
    assert len(load.failures) <= 4
    assert {failure.status for failure in load.failures} <= {0, 502}
    assert all('"code":"http_error"' in failure.detail for failure in load.failures if failure.status == 502)


def test_a_killed_worker_fails_no_request(cluster: Cluster) -> None:
    with Load(cluster.url) as load:
        load.wait_for(20)
        cluster.workers[0].kill()
        load.wait_for(40)
        cluster.workers[0].start()
        cluster.workers[0].wait_until_ready()
        load.wait_for(20)
    assert load.failures == []


def test_the_service_works_within_the_access_rules_of_its_store(cluster: Cluster) -> None:
    with cluster.client() as client, cluster.store_admin() as admin:
        admin.acl_log_reset()
        files = {"samples": png(content=b"one")}
        created = client.post("/v1/templates", files=files, data={"subject": "anna"}).json()
        url = f"/v1/templates/{created['template_id']}"
        assert client.get(url).status_code == 200
        assert client.post(f"{url}/samples", files={"samples": png(content=b"two")}).status_code == 201
        assert client.get("/v1/subjects/anna").json()["count"] == 2
        assert client.delete("/v1/subjects/anna").json()["erased"] == 2
        cluster.workers[0].restart()
        denied = {(entry["reason"], entry["object"]) for entry in admin.acl_log()}
    # How a connection names its library, to servers that know of it; a refusal is ignored.
    assert denied <= {("command", "client|setinfo")}


def test_without_a_password_the_store_is_closed(cluster: Cluster) -> None:
    with cluster.store_stranger() as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_operators_routes_are_closed_to_clients(cluster: Cluster) -> None:
    with cluster.client() as client:
        answers = [client.get(path, headers={"X-Request-ID": "an-id-of-mine"}) for path in ("/metrics", "/health")]
    for refused in answers:
        assert refused.status_code == 404
        assert refused.headers["content-type"] == "application/problem+json"
        assert (refused.json()["code"], refused.json()["request_id"]) == ("route_not_found", "an-id-of-mine")


@pytest.mark.slow
def test_real_workers_decide_rightly_while_one_is_killed(
    tmp_path: Path, shared_data: Path, default_pack_path: Path
) -> None:
    def pictures(person: str, first: int, last: int) -> list[tuple[str, bytes]]:
        folder = shared_data / "lfw" / person
        return [("samples", (folder / f"{person}_{n:04d}.jpg").read_bytes()) for n in range(first, last + 1)]

    def enrol(client: httpx.Client, files: list[tuple[str, bytes]]) -> dict[str, str]:
        response = client.post("/v1/templates", files=files)
        assert response.status_code == 201, response.text
        return {"template_id": response.json()["template_id"]}

    def decide(client: httpx.Client, reference: dict[str, str], probe: dict[str, str]) -> str:
        response = client.post("/v1/verify", json={"reference": reference, "probe": probe})
        assert response.status_code == 200, response.text
        decision: str = response.json()["decision"]
        return decision

    with Cluster(tmp_path, work=Work.REAL) as cluster, cluster.client() as client:
        bush = enrol(client, pictures("George_W_Bush", 1, 4))
        cluster.workers[0].kill()
        same = enrol(client, pictures("George_W_Bush", 5, 8))
        cluster.apis[0].kill()
        other = enrol(client, pictures("Colin_Powell", 1, 4))
        assert decide(client, bush, same) == "match"
        assert decide(client, bush, other) == "non_match"

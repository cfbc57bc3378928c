"""What requests of each kind add to the metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.api.test_templates import upload
from tests.api.test_verification import encode

FreshPng = Callable[[], bytes]
Counts = dict[str, float]


def read_counts(api: RunningApi) -> Counts:
    lines = re.findall(r"^(coreface_\w+_total(?:\{.*?\})?) (\S+)$", api.client.get("/metrics").text, re.MULTILINE)
    of_their_own = ("requests", "failures", "embedding_cache")
    return {name: float(value) for name, value in lines if not any(word in name for word in of_their_own)}


@contextmanager
def counted(api: RunningApi) -> Iterator[Counts]:
    """What the body adds, once it has ended."""
    before, added = read_counts(api), Counts()
    yield added
    after = read_counts(api)
    added.update({name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name, 0.0)})


def test_a_fresh_set_an_adding_and_a_cached_one(api: RunningApi, fresh_png: FreshPng) -> None:
    first, second = fresh_png(), fresh_png()
    with counted(api) as added:
        kept = upload(api, first).json()
    used = {'coreface_samples_total{outcome="used"}': 1.0, 'coreface_media_total{kind="photograph"}': 1.0}
    assert added == used | {'coreface_templates_total{origin="engine"}': 1.0}
    with counted(api) as added:
        files = [("samples", ("x.png", second))]
        assert api.client.post(f"/v1/templates/{kept['template_id']}/samples", files=files).status_code == 201
    assert added == used | {'coreface_templates_total{origin="added"}': 1.0}
    with counted(api) as added:
        upload(api, first)
    assert added == {'coreface_templates_total{origin="cache"}': 1.0}


def test_refused_sets_are_looked_at_all_the_same(api: RunningApi, fresh_png: FreshPng) -> None:
    sample = fresh_png()
    api.engine.faceless.add(digest_sample(sample))
    for send in (
        lambda: upload(api, sample),
        lambda: api.client.post(
            "/v1/verify", json={"reference": {"samples": encode(sample)}, "probe": {"vector": [1.0] * 8}}
        ),
    ):
        with counted(api) as added:
            assert send().json()["code"] == "no_usable_sample"
        assert added == {'coreface_samples_total{outcome="no_face"}': 1.0}


def test_an_inconsistent_set_is_counted_refused_or_not(api: RunningApi, fresh_png: FreshPng) -> None:
    for policy, status in (("warn", 201), ("drop", 201), ("refuse", 422)):
        samples = [fresh_png(), fresh_png()]
        api.engine.foreign.add(digest_sample(samples[1]))
        with counted(api) as added:
            assert upload(api, *samples, consistency_policy=policy).status_code == status
        assert added["coreface_inconsistent_sets_total"] == 1.0


def test_of_a_refused_adding_the_added_samples_count(api: RunningApi, fresh_png: FreshPng) -> None:
    own, stranger = [fresh_png(), fresh_png()], fresh_png()
    api.engine.foreign.add(digest_sample(stranger))
    kept = upload(api, *own, consistency_policy="refuse").json()
    with counted(api) as added:
        url = f"/v1/templates/{kept['template_id']}/samples"
        answer = api.client.post(url, files=[("samples", ("x.png", stranger)), ("samples", ("y.png", b""))])
    assert answer.json()["code"] == "inconsistent_set"
    assert added == {
        'coreface_samples_total{outcome="inconsistent"}': 1.0,
        'coreface_samples_total{outcome="empty"}': 1.0,
        "coreface_inconsistent_sets_total": 1.0,
    }


def test_a_set_of_several_people_stays_one_when_more_of_the_first_are_added(
    api: RunningApi, fresh_png: FreshPng
) -> None:
    samples, more = [fresh_png(), fresh_png()], fresh_png()
    api.engine.foreign.add(digest_sample(samples[1]))
    kept = upload(api, *samples).json()
    with counted(api) as added:
        api.client.post(f"/v1/templates/{kept['template_id']}/samples", files=[("samples", ("x.png", more))])
    assert added["coreface_inconsistent_sets_total"] == 1.0
    assert added['coreface_samples_total{outcome="used"}'] == 1.0


def test_the_sample_sets_of_comparisons_count_where_they_are_fresh(api: RunningApi, fresh_png: FreshPng) -> None:
    kept, probe = fresh_png(), fresh_png()
    side = {"template_id": upload(api, kept).json()["template_id"]}
    used = 'coreface_samples_total{outcome="used"}'
    for path, references in (("verify", {"reference": side}), ("verify/references", {"references": [side, side]})):
        for sample, count in ((probe, 1.0), (kept, 0.0)):
            with counted(api) as added:
                body = {**references, "probe": {"samples": encode(sample)}}
                assert api.client.post(f"/v1/{path}", json=body).status_code == 200
            assert added.get(used, 0.0) == count
    with counted(api) as added:
        body = {"references": [side], "probe": {"samples": encode(b"text")}}
        assert api.client.post("/v1/verify/references", json=body).json()["code"] == "no_usable_sample"
    assert added == {'coreface_samples_total{outcome="unsupported_type"}': 1.0}


def test_pictures_explanations_erasures_and_failed_pairs(api: RunningApi, fresh_png: FreshPng) -> None:
    samples = [fresh_png(), fresh_png()]
    template_id = upload(api, *samples).json()["template_id"]
    with counted(api) as added:
        files = [("samples", ("x.png", samples[0]))]
        assert api.client.post(f"/v1/templates/{template_id}/report", files=files).status_code == 200
    assert added == {"coreface_report_pictures_total": 1.0}
    side = {"template_id": template_id}
    with counted(api) as added:
        body = {"reference": side, "probe": side, "explain": True, "operating_point": "fmr_1e-3"}
        assert api.client.post("/v1/verify", json=body).status_code == 200
    assert added == {
        "coreface_explained_decisions_total": 1.0,
        'coreface_comparisons_total{decision="match",operating_point="fmr_1e-3"}': 1.0,
    }
    with counted(api) as added:
        pairs = [{"reference": template_id, "probe": "gone"}]
        assert api.client.post("/v1/verify/batch", json={"pairs": pairs}).status_code == 200
    assert added == {'coreface_pair_errors_total{code="template_not_found"}': 1.0}
    with counted(api) as added:
        assert api.client.delete(f"/v1/templates/{template_id}").status_code == 204
    assert added == {"coreface_erasures_total": 1.0}


def test_a_subject_is_erased_template_by_template(api: RunningApi, fresh_png: FreshPng) -> None:
    for _ in range(2):
        upload(api, fresh_png(), subject="counted")
    with counted(api) as added:
        assert api.client.delete("/v1/subjects/counted").json()["erased"] == 2
    assert added == {"coreface_erasures_total": 2.0}


def test_looked_up_embeddings_and_the_time_of_the_store(api: RunningApi, fresh_png: FreshPng) -> None:
    known, fresh = fresh_png(), fresh_png()
    upload(api, known)

    def read(series: str) -> float:
        found = re.search(rf"^{re.escape(series)} (\S+)$", api.client.get("/metrics").text, re.MULTILINE)
        return 0.0 if found is None else float(found[1])

    series = [f'coreface_embedding_cache_samples_total{{outcome="{outcome}"}}' for outcome in ("found", "missing")]
    series.append('coreface_store_call_seconds_count{operation="put"}')
    before = [read(name) for name in series]
    upload(api, known, fresh)
    assert [read(name) - count for name, count in zip(series, before, strict=True)] == [1.0, 1.0, 1.0]

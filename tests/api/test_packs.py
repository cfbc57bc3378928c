from __future__ import annotations

from tests.api.conftest import LIMITS
from tests.api.running_api import RunningApi, make_pack


def test_the_current_pack_tells_licence_and_operating_points(api: RunningApi) -> None:
    answer = api.client.get("/v1/packs/current").json()
    assert answer["name"] == "test-pack"
    assert answer["fingerprint"] == api.pack.fingerprint
    license_ = api.pack.manifest.license
    assert answer["license"] == {
        "spdx": license_.spdx,
        "commercial_use": license_.commercial_use,
        "notice": license_.notice,
    }
    assert answer["default_operating_point"] == "fmr_1e-3"
    points = answer["operating_points"]
    assert [point["name"] for point in points] == ["fmr_1e-2", "fmr_1e-3", "fmr_1e-4"]
    assert answer["quality_levels"] == [{"name": "any", "template_norm_from": 0.0}]
    [threshold] = points[1]["thresholds"]
    assert points[1]["fmr"] == 1e-3
    assert threshold["threshold"] == 0.3
    assert set(threshold) == {
        "quality_levels",
        "threshold",
        "threshold_interval",
        "false_matches",
        "false_match_pairs",
        "comparisons",
        "fnmr",
        "mated_comparisons",
    }
    assert api.client.get("/v1/packs").json() == {"current": "test-pack", "packs": [answer]}


def test_without_a_calibration_there_are_templates_but_no_decisions(valkey_url: str) -> None:
    with RunningApi(valkey_url, LIMITS, pack=make_pack(calibrated=False)) as api:
        answer = api.client.get("/v1/packs/current").json()
        assert answer["operating_points"] == answer["quality_levels"] == []
        assert answer["default_operating_point"] is None
        side = {"vector": [1.0] * 8}
        response = api.client.post("/v1/verify", json={"reference": side, "probe": side})
        assert (response.status_code, response.json()["code"]) == (422, "unknown_operating_point")

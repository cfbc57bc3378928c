"""The trained aggregator on real people that decided nothing about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.aggregation.extraction import PackVision, extract
from models.datasets.lfw import Split, lfw_people
from models.evaluation.aggregates import aggregate_with_file, baselines
from models.evaluation.measure import measure_sets
from models.evaluation.set_protocol import SetProtocol
from service.runtime.pack import load_pack

EVERY = 3
MOST_IMAGES = 4
AGGREGATOR = Path(__file__).parents[3] / "models" / "packs" / "opencv-sface" / "aggregator.onnx"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_third_fewer_false_non_matches_than_norm_weighting_on_unseen_people(
    shared_data: Path, default_pack_path: Path, record_property: pytest.RecordProperty
) -> None:
    """Every third of the 420 test people, four images of each; the whole of them is measured by the command that
    the model card names."""
    people = [
        replace(person, images=person.images[:MOST_IMAGES]) for person in lfw_people(shared_data, Split.TEST)[::EVERY]
    ]
    vision = PackVision.load(load_pack(default_pack_path))
    cache = extract(vision, people, degraded_versions=4, progress=lambda done, total: None)
    assert cache.images_without_face == 0
    aggregates = {**baselines(128), "aggregator": aggregate_with_file(AGGREGATOR)}
    rates = measure_sets(cache, aggregates, SetProtocol(draws=20), resamples=10)
    missed = {name: row[1].fnmr for name, row in rates.items()}
    assert rates["aggregator"][1].fmr == 1e-3
    record_property("fnmr_at_fmr_1e-3", missed)
    assert missed["aggregator"] <= 0.7 * missed["norm-weighted average"], missed
    assert missed["aggregator"] < missed["norm^4"], missed

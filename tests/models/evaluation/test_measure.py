"""The trained aggregator on real people that decided nothing about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.aggregation.extraction import PackVision, extract
from models.aggregation.lfw import Split, images_of, people_of
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
    names = people_of(shared_data, Split.TEST)[::EVERY]
    images = [images_of(shared_data, name)[:MOST_IMAGES] for name in names]
    vision = PackVision.load(load_pack(default_pack_path))
    cache = extract(vision, names, images, degraded_versions=4, progress=lambda done, total: None)
    assert cache.images_without_face == 0
    aggregates = {**baselines(128), "aggregator": aggregate_with_file(AGGREGATOR)}
    rates = measure_sets(cache, aggregates, SetProtocol(draws=20), resamples=10)
    missed = {name: row[1].fnmr for name, row in rates.items()}
    assert rates["aggregator"][1].fmr == 1e-3
    record_property("fnmr_at_fmr_1e-3", missed)
    assert missed["aggregator"] <= 0.7 * missed["norm-weighted average"], missed
    assert missed["aggregator"] < missed["norm^4"], missed

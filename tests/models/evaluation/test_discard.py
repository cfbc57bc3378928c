from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.discard import SHARES, Sides, discard_curve, draw_samples_of, page
from service.calibration.comparisons import Templates
from service.packs.definitions import definitions_path, load_definitions
from tests.models.sets import synthetic_people, unit

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs" / "evaluation").glob("*-discard.json"))


def sides(rng: np.random.Generator, *, telling: bool, people: int = 300, width: int = 32) -> Sides:
    """The lower the norm, the noisier; or norms that say nothing."""
    subjects = unit(rng.normal(size=(people, width)))

    def drawn() -> Templates:
        norms = rng.uniform(1.0, 10.0, people).astype(np.float32)
        vectors = unit(subjects + 0.8 * rng.normal(size=(people, width)) / norms[:, None])
        return Templates(vectors, norms if telling else rng.permutation(norms))

    return Sides([drawn() for _ in range(4)], [drawn() for _ in range(4)])


def test_a_telling_quality_lowers_the_error_and_a_random_one_does_not() -> None:
    rng = np.random.default_rng(0)
    good, worthless = discard_curve(sides(rng, telling=True)), discard_curve(sides(rng, telling=False))
    assert good.comparisons == 1200
    assert good.best_area < good.area < 0.5
    assert worthless.area == pytest.approx(1.0, abs=0.3)
    assert good.fnmr[0] > 3 * good.fnmr[len(SHARES) // 2]


def test_samples_are_of_two_images_of_each_person() -> None:
    cache = synthetic_people(np.random.default_rng(0), 5, 3, 2)
    drawn = draw_samples_of(cache, 10)
    for reference, probe in zip(drawn.references, drawn.probes, strict=True):
        assert len(reference.norms) == len(probe.norms) == 5
        for person in range(5):
            rows = [
                int(np.flatnonzero((cache.embeddings == side.vectors[person]).all(axis=1))[0])
                for side in (reference, probe)
            ]
            assert cache.person[rows].tolist() == [person, person]
            assert cache.image[rows[0]] != cache.image[rows[1]]


def test_the_page_has_a_row_for_each_curve() -> None:
    curve = discard_curve(sides(np.random.default_rng(0), telling=True))
    text = page("p", "c", {"samples": curve, "templates": curve})
    assert text.count("(1,200 comparisons)") == 2
    assert f"{curve.fnmr[0]:.4f}" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_published_page_is_of_the_pack_that_ships_and_its_quality_tells(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    manifest = load_definitions(definitions_path())[values["pack"]].manifest
    assert values["fingerprint"] == manifest.fingerprint, f"measure anew: {values['command']}"
    assert all(curve["area"] < 0.6 for curve in values["curves"].values())


def test_both_shipped_packs_are_published() -> None:
    assert [path.stem for path in PAGES] == ["buffalo_s-discard", "opencv-sface-discard"]

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from models.aggregation.degradation import (
    DegradationKind,
    DegradationRecipe,
    FacePlace,
    add_noise,
    blur_by_focus,
    blur_by_motion,
    change_exposure,
    compress,
    degrade,
    jitter,
    lower_resolution,
    occlude,
)

STEPS = [add_noise, blur_by_focus, blur_by_motion, change_exposure, compress, jitter, lower_resolution, occlude]
PLACE = FacePlace(centre=(56.0, 66.0), eye_distance=35.2)


def picture() -> np.ndarray:
    rows, columns = np.indices((112, 112))
    stripes = np.stack([(rows * 9) % 256, (columns * 7) % 256, ((rows + columns) * 5) % 256], axis=2)
    return stripes.astype(np.uint8)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_changes_pixels_and_nothing_else(step: Callable[..., np.ndarray]) -> None:
    original = picture()
    changed = step(original, PLACE, np.random.default_rng(1))
    assert changed.shape == original.shape and changed.dtype == np.uint8
    assert not np.array_equal(changed, original)
    assert np.array_equal(original, picture()), "the input was written to"


def test_the_same_seed_gives_the_same_pixels() -> None:
    first, second, other = (degrade(picture(), PLACE, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("step", [blur_by_focus, blur_by_motion, lower_resolution])
def test_blur_takes_detail_away(step: Callable[..., np.ndarray]) -> None:
    def detail(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image.astype(float), axis=0)).mean())

    assert detail(step(picture(), PLACE, np.random.default_rng(0))) < 0.8 * detail(picture())


def test_a_recipe_of_one_step_takes_that_step() -> None:
    names = [field.name for field in dataclasses.fields(DegradationRecipe)]
    only_occlusion = DegradationRecipe(**dict.fromkeys(names, 0.0) | {"occlusion": 1.0})
    changed = degrade(picture(), PLACE, np.random.default_rng(3), only_occlusion)
    untouched = (changed == picture()).all(axis=2)
    assert 0.3 < untouched.mean() < 1.0


@pytest.mark.parametrize(
    ("kind", "step"), [(DegradationKind.NOISE, add_noise), (DegradationKind.MOTION_BLUR, blur_by_motion)]
)
def test_a_kind_alone_is_its_step_and_no_other(kind: DegradationKind, step: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(3)
    rng.random(len(DegradationKind))  # the draw of which steps come up
    expected = step(picture(), PLACE, rng)
    assert np.array_equal(degrade(picture(), PLACE, np.random.default_rng(3), kind.alone()), expected)

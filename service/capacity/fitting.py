"""Costs from measured times."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from service.capacity.profile import Cost


def fit_cost(seconds: Mapping[int, Sequence[float]]) -> Cost:
    """By number of items: a line through the medians, least squares of relative errors. No part is below 0; of one
    number of items all is by item."""
    points = [(items, statistics.median(times)) for items, times in seconds.items() if times]
    if not points:
        raise ValueError("nothing was measured")
    if len(points) == 1:
        items, value = points[0]
        return Cost(0.0, value / items)
    weights = [1 / max(value, 1e-9) ** 2 for _, value in points]
    mean_items = sum(w * items for w, (items, _) in zip(weights, points, strict=True)) / sum(weights)
    mean_s = sum(w * value for w, (_, value) in zip(weights, points, strict=True)) / sum(weights)
    shared = sum(w * (items - mean_items) * (value - mean_s) for w, (items, value) in zip(weights, points, strict=True))
    spread = sum(w * (items - mean_items) ** 2 for w, (items, _) in zip(weights, points, strict=True))
    per_item_s = max(0.0, shared / spread)
    return Cost(max(0.0, mean_s - per_item_s * mean_items), per_item_s)

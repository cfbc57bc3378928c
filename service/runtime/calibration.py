"""What a pack's scores and norms mean, measured: `calibration.json`, read strictly.

Comparisons are sorted into buckets by the template norms of their two sides; each bucket has thresholds and a
likelihood curve of its own, so that an operating point holds its FMR for two poor templates as for two good ones.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PointName = Annotated[str, Field(pattern=r"^fmr_1e-[1-9]$")]
LEVEL_NAMES = {1: ("any",), 2: ("low", "high"), 3: ("low", "medium", "high")}
"""Of the quality levels, poorest first, by how many there are."""
QUALITY_STEPS = 21
"""Knots of a quality scale: 0, 5, ..., 100."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OperatingPointSpec(_Strict):
    """One threshold of one bucket."""

    name: PointName
    fmr: float = Field(gt=0, lt=1)
    threshold: float = Field(ge=-1, le=1)
    threshold_interval: tuple[float, float]
    false_matches: int = Field(ge=0)
    false_match_pairs: int = Field(ge=0, description="Pairs of people that the false matches are of.")
    fnmr: float = Field(ge=0, le=1, description="False non-match rate on the same people at this threshold.")


class LikelihoodSpec(_Strict):
    """Knots of the score's log-likelihood ratio (natural logarithm): lines between them, level beyond them."""

    scores: tuple[float, ...] = Field(min_length=1, max_length=1000)
    llrs: tuple[float, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _check_monotone(self) -> Self:
        if len(self.scores) != len(self.llrs):
            raise ValueError("as many log-likelihood ratios as scores")
        if any(after <= before for before, after in pairwise(self.scores)):
            raise ValueError("the scores of a likelihood curve rise")
        if any(after < before for before, after in pairwise(self.llrs)):
            raise ValueError("the log-likelihood ratios never fall")
        return self


class BucketSpec(_Strict):
    """Comparisons of templates of two quality levels."""

    better: int = Field(ge=0)
    worse: int = Field(ge=0)
    comparisons: int = Field(gt=0, description="Non-mated ones measured.")
    mated_comparisons: int = Field(gt=0)
    likelihood: LikelihoodSpec
    operating_points: tuple[OperatingPointSpec, ...] = Field(min_length=1)


class QualityScaleSpec(_Strict):
    """Quantiles of norms: every twentieth part of the reference photographs and templates."""

    sample_norms: tuple[float, ...] = Field(min_length=QUALITY_STEPS, max_length=QUALITY_STEPS)
    template_norms: tuple[float, ...] = Field(min_length=QUALITY_STEPS, max_length=QUALITY_STEPS)

    @model_validator(mode="after")
    def _check_rising(self) -> Self:
        for norms in (self.sample_norms, self.template_norms):
            if any(after <= before for before, after in pairwise(norms)):
                raise ValueError("the norms of a quality scale rise")
        return self


class ConsistencySpec(_Strict):
    """The least cosine between two groups of one person's faces, by the best norm of the poorer group: lines between
    the knots, level beyond them."""

    norms: tuple[float, ...] = Field(min_length=1, max_length=100)
    cosines: tuple[float, ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _check_monotone(self) -> Self:
        if len(self.norms) != len(self.cosines):
            raise ValueError("as many cosines as norms")
        if any(after <= before for before, after in pairwise(self.norms)):
            raise ValueError("the norms of the consistency limits rise")
        if any(after < before for before, after in pairwise(self.cosines)):
            raise ValueError("the cosines of the consistency limits never fall")
        return self


class Calibration(_Strict):
    """Of one fingerprint, with where it came from."""

    schema_version: Literal[2]
    fingerprint: str
    data: str
    command: str
    default_operating_point: PointName
    level_edges: tuple[float, ...] = Field(
        max_length=2, description="Template norms that part the quality levels; a norm at an edge is above it."
    )
    buckets: tuple[BucketSpec, ...]
    quality_scale: QualityScaleSpec | None = None
    consistency: ConsistencySpec | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the quality levels, poorest first."""
        return LEVEL_NAMES[len(self.level_edges) + 1]

    @property
    def point_names(self) -> tuple[str, ...]:
        """By falling FMR."""
        return tuple(point.name for point in self.buckets[0].operating_points)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        count = len(self.level_edges) + 1
        wanted = {(better, worse) for better in range(count) for worse in range(better + 1)}
        if len(self.buckets) != len(wanted) or {(bucket.better, bucket.worse) for bucket in self.buckets} != wanted:
            raise ValueError("there is one bucket for every two quality levels")
        if any(after <= before for before, after in pairwise(self.level_edges)):
            raise ValueError("the edges of the levels rise")
        points = [[(point.name, point.fmr) for point in bucket.operating_points] for bucket in self.buckets]
        if any(found != points[0] for found in points):
            raise ValueError("every bucket has the same operating points")
        if any(after[1] >= before[1] for before, after in pairwise(points[0])):
            raise ValueError("operating points stand by falling FMR")
        if self.default_operating_point not in self.point_names:
            raise ValueError("the default is one of the operating points")
        for bucket in self.buckets:
            if any(after.threshold < before.threshold for before, after in pairwise(bucket.operating_points)):
                raise ValueError("thresholds never fall as the FMR falls")
        return self

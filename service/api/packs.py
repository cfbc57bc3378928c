"""/v1/packs: what this service makes templates and decisions with."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.answers import (
    LicenseAnswer,
    OperatingPointAnswer,
    PackAnswer,
    PacksAnswer,
    QualityLevelAnswer,
    ThresholdAnswer,
)
from service.api.dependencies import Parts
from service.api.problem_documentation import ACCESS_PROBLEMS
from service.runtime.calibration import BucketSpec, Calibration
from service.runtime.pack import Pack

router = APIRouter(prefix="/v1/packs", tags=["packs"], responses=ACCESS_PROBLEMS)


@router.get("", summary="The packs that are loaded")
async def list_packs(parts: Parts) -> PacksAnswer:
    """One, at present: a service makes and compares templates of one pack."""
    return PacksAnswer(current=parts.pack.name, packs=[_pack_answer(parts.pack)])


@router.get("/current", summary="The pack that makes templates")
async def get_current_pack(parts: Parts) -> PackAnswer:
    """Its licence, its fingerprint and its operating points, each with the counts and the interval behind it."""
    return _pack_answer(parts.pack)


def _pack_answer(pack: Pack) -> PackAnswer:
    manifest, calibration = pack.manifest, pack.calibration
    return PackAnswer(
        name=manifest.name,
        version=manifest.version,
        fingerprint=manifest.fingerprint,
        width=manifest.embedder.width,
        aggregation=manifest.aggregator.method,
        aggregator_trained=manifest.aggregator.trained,
        license=LicenseAnswer(
            spdx=manifest.license.spdx,
            commercial_use=manifest.license.commercial_use,
            notice=manifest.license.notice,
        ),
        calibration_data=None if calibration is None else calibration.data,
        default_operating_point=None if calibration is None else calibration.default_operating_point,
        quality_levels=[] if calibration is None else _quality_levels(calibration),
        operating_points=[] if calibration is None else _operating_points(calibration),
    )


def _quality_levels(calibration: Calibration) -> list[QualityLevelAnswer]:
    lowest = (0.0, *calibration.level_edges)
    return [
        QualityLevelAnswer(name=name, template_norm_from=norm)
        for name, norm in zip(calibration.levels, lowest, strict=True)
    ]


def _operating_points(calibration: Calibration) -> list[OperatingPointAnswer]:
    return [
        OperatingPointAnswer(
            name=point.name,
            fmr=point.fmr,
            thresholds=[_threshold(calibration, bucket, number) for bucket in calibration.buckets],
        )
        for number, point in enumerate(calibration.buckets[0].operating_points)
    ]


def _threshold(calibration: Calibration, bucket: BucketSpec, number: int) -> ThresholdAnswer:
    return ThresholdAnswer(
        quality_levels=(calibration.levels[bucket.better], calibration.levels[bucket.worse]),
        comparisons=bucket.comparisons,
        mated_comparisons=bucket.mated_comparisons,
        **bucket.operating_points[number].model_dump(exclude={"name", "fmr"}),
    )

"""/v1/packs: what this service makes templates and decisions with."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.dependencies import Parts
from service.api.schemas import LicenseAnswer, OperatingPointAnswer, PackAnswer, PacksAnswer
from service.runtime.pack import Pack

router = APIRouter(prefix="/v1/packs", tags=["packs"])


@router.get("", summary="The packs that are loaded")
async def list_packs(parts: Parts) -> PacksAnswer:
    return PacksAnswer(current=parts.pack.name, packs=[_pack_answer(parts.pack)])


@router.get("/current", summary="The pack that makes templates")
async def get_current_pack(parts: Parts) -> PackAnswer:
    """Its licence, its fingerprint and its operating points, each with the counts and the interval behind it."""
    return _pack_answer(parts.pack)


def _pack_answer(pack: Pack) -> PackAnswer:
    manifest, calibration = pack.manifest, pack.calibration
    specs = () if calibration is None else calibration.operating_points
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
        operating_points=[
            OperatingPointAnswer(**spec.model_dump()) for spec in sorted(specs, key=lambda spec: -spec.fmr)
        ],
    )

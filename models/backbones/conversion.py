"""A backbone becomes a pack: with the detector of an installed pack and the untrained coreset mean."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.backbones.export import export_backbone
from models.backbones.iresnet import WIDTH, Family, IResNet
from service.packs.definitions import AGGREGATOR_FILE, untrained_aggregator, untrained_aggregator_spec
from service.packs.staging import move_into_place, staging_directory
from service.packs.verification import complete_pack
from service.runtime.manifest import BundledSource, EmbedderSpec, InputRange, License, Manifest
from service.runtime.pack import MANIFEST_FILE, Pack, file_sha256, load_pack

_DETECTOR, _EMBEDDER = "detector.onnx", "embedder.onnx"
_COLOURS = {Family.ADAFACE: "bgr", Family.ARCFACE: "rgb"}


def convert_to_pack(network: IResNet, *, name: str, detector_of: Pack, terms: License, packs_path: Path) -> Pack:
    """The pack `name` below `packs_path`, verified; it replaces one of that name. It makes templates, and no decisions
    until it is calibrated. Raises ValueError for a name that is none, `PackError` where a network fails."""
    detector = detector_of.manifest.detector
    with staging_directory(packs_path) as stage:
        export_backbone(network, stage / _EMBEDDER)
        shutil.copyfile(detector_of.model_path(detector), stage / _DETECTOR)
        shutil.copyfile(untrained_aggregator(), stage / AGGREGATOR_FILE)
        manifest = Manifest(
            schema_version=1,
            name=name,
            version="1.0.0",
            license=terms,
            detector=detector.model_copy(update={"file": _DETECTOR}),
            embedder=EmbedderSpec(
                file=_EMBEDDER,
                sha256=file_sha256(stage / _EMBEDDER),
                input_range=InputRange.model_validate(
                    {"color_order": _COLOURS[network.family], "mean": 127.5, "std": 127.5}
                ),
                width=WIDTH,
                landmark_template="arcface_112",
            ),
            aggregator=untrained_aggregator_spec(),
            sources={file: BundledSource(kind="bundled") for file in (_DETECTOR, _EMBEDDER, AGGREGATOR_FILE)},
        )
        (stage / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        complete_pack(stage)
        move_into_place(stage, packs_path / name)
    return load_pack(packs_path / name)

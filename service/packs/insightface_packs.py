"""Packs of the insightface model zoo: an SCRFD detector and an ArcFace recogniser, found in a directory or fetched.

The `insightface` package is never imported here; fetching runs its own command line in another process.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from service.errors import PackError
from service.packs.definitions import (
    AGGREGATOR_FILE,
    PackDefinition,
    definitions_path,
    load_definitions,
    untrained_aggregator,
    untrained_aggregator_spec,
)
from service.packs.progress import Progress
from service.runtime.manifest import (
    BundledSource,
    DetectorSpec,
    EmbedderSpec,
    InputRange,
    License,
    Manifest,
    ZooSource,
)
from service.runtime.pack import MANIFEST_FILE, Pack, file_sha256

DETECTOR_FILE = "detector.onnx"
EMBEDDER_FILE = "embedder.onnx"
_DOWNLOAD_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class ZooPack:
    """One pack of the zoo, and the names its two networks go by (patterns, best first)."""

    name: str
    detectors: tuple[str, ...]
    recognisers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ZooNetworks:
    """What a directory was found to hold."""

    manifest: Manifest
    detector: Path
    embedder: Path
    aggregator: Path
    companions: tuple[Path, ...]
    """Calibration and model card, where the product has them for just these networks."""


def zoo_packs() -> dict[str, ZooPack]:
    """By name."""
    packs = (
        ZooPack("buffalo_l", ("det_10g.onnx", "scrfd_10g*"), ("w600k_r50.onnx",)),
        ZooPack("buffalo_m", ("det_2.5g.onnx", "scrfd_2.5g*"), ("w600k_r50.onnx",)),
        ZooPack("buffalo_s", ("det_500m.onnx", "scrfd_500m*"), ("w600k_mbf.onnx",)),
        ZooPack("buffalo_sc", ("det_500m.onnx", "scrfd_500m*"), ("w600k_mbf.onnx",)),
        ZooPack("antelopev2", ("scrfd_10g_bnkps.onnx", "det_10g.onnx"), ("glintr100.onnx",)),
    )
    return {pack.name: pack for pack in packs}


def zoo_license() -> License:
    return License(
        spdx="LicenseRef-InsightFace-NonCommercial",
        commercial_use=False,
        acceptance_required=True,
        notice="The pretrained models of insightface are for non-commercial research only; "
        "other use needs a licence from their authors.",
    )


def find_networks(pack: ZooPack, directory: Path) -> ZooNetworks:
    """The detector and the recogniser below `directory`, told apart by their graphs, and the manifest they make.

    Among several of a kind, the names that the zoo uses for this pack decide. Raises `PackError` where one is
    missing or the choice is open.
    """
    # Imported here: the `onnx` library costs half a second that an installed pack need not pay.
    from service.packs.network_inspection import inspect_network

    networks = [inspect_network(path) for path in sorted(directory.rglob("*.onnx"))]
    detectors = [network.path for network in networks if network.is_scrfd]
    recognisers = [network for network in networks if network.is_recogniser]
    detector = _choose(detectors, pack.detectors, "SCRFD detector with landmarks (9 outputs)", directory)
    embedder = _choose(
        [network.path for network in recognisers],
        pack.recognisers,
        "recogniser (112x112 to one vector, batch of any size)",
        directory,
    )
    [recogniser] = [network for network in recognisers if network.path == embedder]
    spec = _embedder_spec(embedder, recogniser.outputs[0][1] or 0, recogniser.normalises_pixels)
    trained = _trained_for(spec)
    manifest = _make_manifest(pack, detector, embedder, spec, trained)
    return ZooNetworks(manifest, detector, embedder, _aggregator_of(trained), _companions(trained, manifest))


def stage_networks(networks: ZooNetworks, stage: Path) -> None:
    """Write the pack's files into the empty directory `stage`."""
    shutil.copyfile(networks.detector, stage / DETECTOR_FILE)
    shutil.copyfile(networks.embedder, stage / EMBEDDER_FILE)
    shutil.copyfile(networks.aggregator, stage / AGGREGATOR_FILE)
    for companion in networks.companions:
        shutil.copyfile(companion, stage / companion.name)
    (stage / MANIFEST_FILE).write_text(networks.manifest.model_dump_json(indent=2) + "\n")


def fetch_from_zoo(pack: ZooPack, progress: Progress) -> Path:
    """The directory of the pack in insightface's own store (`~/.insightface`), fetched if it is not there.

    Raises `PackError`, which says how to install without a network.
    """
    offline = f"Get the files of {pack.name} elsewhere and install with `--from DIR`."
    if importlib.util.find_spec("insightface") is None:
        raise PackError(f"The `insightface` package, whose model zoo holds {pack.name}, is not installed. {offline}")
    root = Path.home() / ".insightface"
    progress(f"fetching {pack.name} from the insightface model zoo", 0.0)
    command = [sys.executable, "-m", "insightface.commands.insightface_cli", "model.download"]
    try:
        result = subprocess.run(
            [*command, "--root", str(root), pack.name],
            capture_output=True,
            text=True,
            check=False,
            timeout=_DOWNLOAD_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackError(f"insightface could not fetch {pack.name}: {error}. {offline}") from error
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackError(f"insightface could not fetch {pack.name}: {reason} {offline}")
    return root / "models" / pack.name


def is_current(pack: Pack) -> bool:
    """Whether an installed zoo pack has the aggregator and the calibration that the product ships for it now."""
    trained = _trained_for(pack.manifest.embedder)
    if pack.manifest.aggregator.sha256 != file_sha256(_aggregator_of(trained)):
        return False
    shipped = {companion.name: companion.read_bytes() for companion in _companions(trained, pack.manifest)}
    installed = {name: pack.directory / name for name in shipped}
    return all(path.is_file() and path.read_bytes() == shipped[name] for name, path in installed.items())


def _choose(found: list[Path], preferred: tuple[str, ...], what: str, directory: Path) -> Path:
    for pattern in preferred:
        named = [path for path in found if fnmatch(path.name, pattern)]
        if len(named) == 1:
            return named[0]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise PackError(f"{directory} must hold one {what}, or one named {' or '.join(preferred)}; found: {names}.")


def _embedder_spec(embedder: Path, width: int, normalises_pixels: bool) -> EmbedderSpec:
    pixels = InputRange(color_order="rgb", mean=127.5, std=127.5)
    return EmbedderSpec(
        file=EMBEDDER_FILE,
        sha256=file_sha256(embedder),
        input_range=InputRange(color_order="rgb", mean=0.0, std=1.0) if normalises_pixels else pixels,
        width=width,
        landmark_template="arcface_112",
    )


def _make_manifest(
    pack: ZooPack, detector: Path, embedder: Path, embedder_spec: EmbedderSpec, trained: PackDefinition | None
) -> Manifest:
    return Manifest(
        schema_version=1,
        name=pack.name,
        version="1.0.0",
        license=zoo_license(),
        detector=DetectorSpec(
            file=DETECTOR_FILE,
            sha256=file_sha256(detector),
            algorithm="scrfd",
            input_range=InputRange(color_order="rgb", mean=127.5, std=128.0),
            # Canvas, thresholds and scaling as in `insightface.app.FaceAnalysis` with det_size=(640, 640).
            canvas_sides=(640,),
            upscale=True,
            score_threshold=0.5,
            nms_iou=0.4,
        ),
        embedder=embedder_spec,
        aggregator=trained.manifest.aggregator if trained else untrained_aggregator_spec(),
        sources={
            DETECTOR_FILE: ZooSource(kind="insightface_zoo", pack=pack.name, file=detector.name),
            EMBEDDER_FILE: ZooSource(kind="insightface_zoo", pack=pack.name, file=embedder.name),
            AGGREGATOR_FILE: BundledSource(kind="bundled"),
        },
        training=trained.manifest.training if trained else None,
    )


def _trained_for(embedder: EmbedderSpec) -> PackDefinition | None:
    """The definition whose aggregator was trained on the embeddings of this very network."""
    for definition in load_definitions(definitions_path()).values():
        if definition.manifest.embedder == embedder and definition.manifest.aggregator.trained:
            return definition
    return None


def _aggregator_of(trained: PackDefinition | None) -> Path:
    return trained.directory / trained.manifest.aggregator.file if trained else untrained_aggregator()


def _companions(trained: PackDefinition | None, manifest: Manifest) -> tuple[Path, ...]:
    """Thresholds measured with another detector are another pack's."""
    if trained is None or trained.manifest.fingerprint != manifest.fingerprint:
        return ()
    return tuple(trained.directory / name for name in trained.companions)

"""An exported aggregator becomes part of a pack definition: the file, its digest and where it comes from."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import onnxruntime

from models.aggregation.configuration import Fusion
from models.aggregation.network import FaceCoresetNet, SetAggregatorModule
from models.export.aggregator import OPSET, export_aggregator
from service.runtime.manifest import Manifest, TrainingRecord
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE


def publish_aggregator(network: SetAggregatorModule, definition: Path, training: TrainingRecord | None = None) -> str:
    """Write aggregator.onnx into a pack definition, pin it in manifest.json, and answer its SHA-256.

    Takes calibration.json away when the pack's fingerprint changes: thresholds of another aggregator are worse than
    none.
    """
    manifest_path = definition / MANIFEST_FILE
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    before = Manifest.model_validate(manifest).fingerprint
    data = export_aggregator(network)
    digest = hashlib.sha256(data).hexdigest()
    trained = network.config.fusion is not Fusion.CORESET_MEAN
    manifest["aggregator"] |= {
        "sha256": digest,
        "method": "facecoresetnet" if trained else "coreset_mean",
        "trained": trained,
        "core_size": network.config.core_size,
    }
    if training is not None:
        manifest["training"] = training.model_dump(mode="json")
    (definition / manifest["aggregator"]["file"]).write_bytes(data)
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    if Manifest.model_validate(manifest).fingerprint != before:
        (definition / CALIBRATION_FILE).unlink(missing_ok=True)
    return digest


def training_record(network: FaceCoresetNet, training: Path, metrics: dict[str, float]) -> TrainingRecord:
    """From the training.json that lies beside the weights. Raises ValueError where it is missing or is none."""
    try:
        run = json.loads(training.read_text(encoding="utf-8"))
        data = run["configuration"]["data"]
        sets = [name for name, used in (("LFW train", data["lfw"]), ("CelebA small", data["celeba"])) if used]
        return TrainingRecord(
            configuration=run["configuration_file"],
            data=(*sets, *data["folders"]),
            people=run["people"],
            embeddings=run["embeddings"],
            gamma=float(network.gamma.detach()),
            metrics=metrics,
            revision=git_revision(),
            opset=OPSET,
            onnxruntime=onnxruntime.__version__,
        )
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{training} is no record of a training run: {error}") from error


def git_revision() -> str:
    """Of this checkout, with `+` where it holds uncommitted changes; `unknown` outside of one."""
    directory = Path(__file__).parent
    try:
        # The git of whoever exports.
        answer = subprocess.run(  # nosec B607
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],  # noqa: S607
            cwd=directory,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()

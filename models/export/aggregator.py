"""Aggregator -> ONNX. The file holds its weights under their own names and its configuration, so that it alone
rebuilds the PyTorch module (`reading.py`): no checkpoint, no pickle."""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import warnings
from pathlib import Path

import onnx
import torch

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.network import FaceCoresetNet
from models.aggregation.weights import load_weights
from models.commands import progress_bar
from models.export.parity import PARITY_COSINE, lowest_parity_cosine
from models.export.reading import CONFIG_KEY
from service.runtime.manifest import Manifest
from service.runtime.pack import CALIBRATION_FILE, MANIFEST_FILE

OPSET = 18
_INPUTS = {"embeddings": {0: "B", 1: "N"}, "norms": {0: "B", 1: "N"}, "valid": {0: "B", 1: "N"}}
_OUTPUTS = {
    "template": {0: "B"},
    "template_norm": {0: "B"},
    "core_indices": {0: "B"},
    "sample_weights": {0: "B", 1: "N"},
}


def export_aggregator(network: FaceCoresetNet) -> bytes:
    """The ONNX file, the same bytes for the same weights. B and N are dynamic; so is D for the coreset mean."""
    config = network.config
    axes: dict[str, dict[int, str]] = {name: dict(dims) for name, dims in {**_INPUTS, **_OUTPUTS}.items()}
    if config.fusion is Fusion.CORESET_MEAN:
        axes["embeddings"][2] = "D"
        axes["template"][1] = "D"
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(2, 5, config.width, generator=generator), dim=2)
    norms = torch.rand(2, 5, generator=generator) + 1.0
    valid = torch.tensor([[True] * 5, [True] * 4 + [False]])
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        path = Path(directory) / "aggregator.onnx"
        # The exporter that replaces this one needs onnxscript; this one is complete for these operators, keeps the
        # weights' own names and writes the same bytes every time.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (embeddings, norms, valid),
            path,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            input_names=list(_INPUTS),
            output_names=list(_OUTPUTS),
            dynamic_axes=axes,
        )
        return _finish(path.read_bytes(), config)


def _finish(exported: bytes, config: AggregatorConfig) -> bytes:
    model = onnx.load_from_string(exported)
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.metadata_props.add(key=CONFIG_KEY, value=config.to_json())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def publish_aggregator(network: FaceCoresetNet, definition: Path) -> str:
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
    (definition / manifest["aggregator"]["file"]).write_bytes(data)
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    if Manifest.model_validate(manifest).fingerprint != before:
        (definition / CALIBRATION_FILE).unlink(missing_ok=True)
    return digest


def main(arguments: list[str] | None = None) -> None:
    """`python -m models.export.aggregator`: trained weights become the aggregator of a pack definition."""
    parser = argparse.ArgumentParser(
        description="Export trained weights to ONNX, compare the file with PyTorch, and pin it in a pack's manifest.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, default=Path("artefacts/training/weights.npz"), help="trained weights")
    parser.add_argument(
        "--output", type=Path, required=True, help="pack definition to update, such as models/packs/opencv-sface"
    )
    options = parser.parse_args(arguments)
    digest = publish_aggregator(load_weights(options.weights), options.output)
    path = options.output / "aggregator.onnx"
    with progress_bar("PyTorch against ONNX Runtime") as show:
        lowest = lowest_parity_cosine(path, sets=10_000, progress=show)
    print(f"{path}: sha256 {digest}; lowest cosine to PyTorch over 10,000 random sets {lowest:.7f}")
    if lowest < PARITY_COSINE:
        raise SystemExit(f"the file departs from PyTorch: {lowest} is below {PARITY_COSINE}")


if __name__ == "__main__":
    main()

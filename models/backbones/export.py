"""Backbone -> ONNX, for any batch size, compared with PyTorch before it is handed out."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from models.backbones.iresnet import IResNet
from models.export.aggregator import OPSET
from models.export.parity import PARITY_COSINE
from service.runtime.onnx import load_session
from service.vision.alignment import ALIGNED_SIDE

_BATCHES = (1, 3, 8)


def export_backbone(network: IResNet, path: Path) -> float:
    """Write the file, and answer the lowest cosine of its features to PyTorch's at batch sizes that it was not
    exported with. Raises ValueError where that is below 0.9999.

    Input `faces` (B, 3, 112, 112) float32, output `features` (B, 512) float32.
    """
    with warnings.catch_warnings():
        # As for the aggregator: complete for these operators, and the same bytes every time.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (_faces(2),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["faces"],
            output_names=["features"],
            dynamic_axes={"faces": {0: "B"}, "features": {0: "B"}},
        )
    onnx.checker.check_model(path, full_check=True)
    lowest = _lowest_cosine(network, path)
    if not lowest >= PARITY_COSINE:
        raise ValueError(f"the exported backbone departs from PyTorch: cosine {lowest} is below {PARITY_COSINE}")
    return lowest


def _lowest_cosine(network: IResNet, path: Path) -> float:
    session = load_session(path, threads=0)
    cosines = []
    for batch in _BATCHES:
        faces = _faces(batch)
        with torch.inference_mode():
            expected = network(faces).numpy().astype(np.float64)
        answered = session.run({session.input_names[0]: faces.numpy()})[0].astype(np.float64)
        lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(answered, axis=1)
        cosines.append(((expected * answered).sum(axis=1) / lengths).min())
    return float(np.min(cosines))


def _faces(batch: int) -> torch.Tensor:
    return torch.rand(batch, 3, ALIGNED_SIDE, ALIGNED_SIDE, generator=torch.Generator().manual_seed(batch)) * 2.0 - 1.0

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.backbones.checkpoints import build_network, load_checkpoint, published_name
from models.backbones.iresnet import Family, IResNet
from tests.models.backbones.published import (
    STAGES,
    Shapes,
    adaface_features,
    adaface_shapes,
    arcface_shapes,
    random_state,
)

SHAPES = {Family.ADAFACE: adaface_shapes, Family.ARCFACE: arcface_shapes}


class Stranger:
    """What a checkpoint should not hold."""


@pytest.mark.parametrize("depth", STAGES)
@pytest.mark.parametrize("family", list(Family))
def test_names_and_shapes_are_the_published_ones(depth: int, family: Family) -> None:
    with torch.device("meta"):
        state = IResNet(depth, family).state_dict()
    shapes: Shapes = {published_name(name, depth, family): tuple(value.shape) for name, value in state.items()}
    assert shapes == SHAPES[family](depth)


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize(("family", "prefix"), [(Family.ADAFACE, "model."), (Family.ARCFACE, "module.")])
def test_family_and_depth_are_told_by_the_names(depth: int, family: Family, prefix: str) -> None:
    state = {prefix + name: torch.empty(shape, device="meta") for name, shape in SHAPES[family](depth).items()}
    network = build_network({**state, "head.kernel": torch.empty(512, 10)})
    assert (network.depth, network.family, network.training) == (depth, family, False)


def test_the_network_computes_what_the_published_names_mean(tmp_path: Path) -> None:
    state = random_state(adaface_shapes(18))
    path = tmp_path / "adaface_ir18.ckpt"
    torch.save({"epoch": 3, "state_dict": {f"model.{name}": value for name, value in state.items()}}, path)
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0
    with torch.inference_mode():
        answered, expected = load_checkpoint(path)(faces), adaface_features(state, 18, faces)
    torch.testing.assert_close(answered, expected)


def test_safetensors_are_read(tmp_path: Path) -> None:
    state = random_state(arcface_shapes(18))
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "r18.safetensors")
    network = load_checkpoint(tmp_path / "r18.safetensors")
    assert torch.equal(network.state_dict()["blocks.2.shortcut.conv.weight"], state["layer2.0.downsample.0.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer3.1.bn2.bias": None}, "there is no layer3.1.bn2.bias"),
        ({"fc.weight": torch.zeros(256, 25088)}, r"fc.weight is \(256, 25088\), not \(512, 25088\)"),
        ({"extra.weight": torch.zeros(1)}, "extra.weight belong to no IR-18"),
        ({"layer4.1.bn3.weight": None}, "7 blocks are no depth"),
        ({"conv1.weight": None}, "no IR network"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, torch.Tensor | None], message: str) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in arcface_shapes(18).items()}
    if "conv1.weight" in change:
        state = {name: value for name, value in state.items() if not name.endswith("conv1.weight")}
        change = {}
    changed = {name: value for name, value in {**state, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        build_network(changed)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Stranger()}, tmp_path / "odd.ckpt")
    with pytest.raises(ValueError, match=r"odd.ckpt holds more than tensors"):
        load_checkpoint(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("name", ["none.ckpt", "none.safetensors"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        load_checkpoint(tmp_path / name)
    (tmp_path / name).write_bytes(b"no tensors here")
    with pytest.raises(ValueError, match=name):
        load_checkpoint(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="no state_dict"):
        load_checkpoint(tmp_path / "list.pt")

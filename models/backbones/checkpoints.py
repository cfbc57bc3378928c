"""Published checkpoints -> networks: every weight by its published name, every shape checked, no pickled code run."""

from __future__ import annotations

import pickle  # for the name of its error alone  # nosec B403
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.backbones.iresnet import BLOCKS, Family, IResNet

State = Mapping[str, Tensor]

_COUNTER = "num_batches_tracked"
"""Of batch norms: PyTorch's own bookkeeping, which checkpoints may leave out."""
_FIRST_WEIGHT = {Family.ADAFACE: "input_layer.0.weight", Family.ARCFACE: "conv1.weight"}
_PUBLISHED = {
    Family.ADAFACE: {
        "stem.conv": "input_layer.0",
        "stem.norm": "input_layer.1",
        "stem.activation": "input_layer.2",
        "head.norm": "output_layer.0",
        "head.linear": "output_layer.3",
        "head.features": "output_layer.4",
        "residual.norm_in": "res_layer.0",
        "residual.conv_in": "res_layer.1",
        "residual.norm_between": "res_layer.2",
        "residual.activation": "res_layer.3",
        "residual.conv_out": "res_layer.4",
        "residual.norm_out": "res_layer.5",
        "shortcut.conv": "shortcut_layer.0",
        "shortcut.norm": "shortcut_layer.1",
    },
    Family.ARCFACE: {
        "stem.conv": "conv1",
        "stem.norm": "bn1",
        "stem.activation": "prelu",
        "head.norm": "bn2",
        "head.linear": "fc",
        "head.features": "features",
        "residual.norm_in": "bn1",
        "residual.conv_in": "conv1",
        "residual.norm_between": "bn2",
        "residual.activation": "prelu",
        "residual.conv_out": "conv2",
        "residual.norm_out": "bn3",
        "shortcut.conv": "downsample.0",
        "shortcut.norm": "downsample.1",
    },
}


def load_checkpoint(path: Path) -> IResNet:
    """The network of a checkpoint (`.ckpt`, `.pt`, `.pth`, `.safetensors`), in `eval()`: family and depth are told by
    its names. Raises ValueError where it cannot be read, is no such network, or a weight is missing, left over or of
    another shape."""
    state = read_state(path)
    try:
        return build_network(state)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def read_state(path: Path) -> State:
    """The tensors of a checkpoint by name. Raises ValueError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path.name} holds more than tensors, and loading it could run code; save its `state_dict` alone, "
            "as .safetensors, where you trust it"
        ) from error
    except (OSError, RuntimeError, SafetensorError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    inner = stored.get("state_dict", stored) if isinstance(stored, dict) else None
    if not isinstance(inner, dict):
        raise ValueError(f"{path.name} holds no state_dict")
    return {name: value for name, value in inner.items() if isinstance(value, Tensor)}


def build_network(state: State) -> IResNet:
    """From tensors by their published names, whatever prefix a training framework put before all of them."""
    family, prefix = _recognise(state)
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    depth = _depth(own, family)
    with torch.device("meta"):
        network = IResNet(depth, family)
    weights = {}
    for name, expected in network.state_dict().items():
        published = published_name(name, depth, family)
        value = own.pop(published, torch.zeros((), dtype=torch.int64) if name.endswith(_COUNTER) else None)
        if value is None:
            raise ValueError(f"there is no {published}")
        if value.shape != expected.shape:
            raise ValueError(f"{published} is {tuple(value.shape)}, not {tuple(expected.shape)}")
        weights[name] = value.to(expected.dtype)
    if own:
        raise ValueError(f"{', '.join(sorted(own)[:3])} belong to no IR-{depth} of {family}")
    network.load_state_dict(weights, assign=True)
    return network.eval()


def published_name(name: str, depth: int, family: Family) -> str:
    """What a weight of `IResNet` is called in checkpoints of the family."""
    module, _, tensor = name.rpartition(".")
    names = _PUBLISHED[family]
    if not module.startswith("blocks."):
        return f"{names[module]}.{tensor}"
    _, number, part = module.split(".", 2)
    return f"{_published_block(int(number), depth, family)}.{names[part]}.{tensor}"


def _published_block(number: int, depth: int, family: Family) -> str:
    if family is Family.ADAFACE:
        return f"body.{number}"
    stage = 0
    while number >= BLOCKS[depth][stage]:
        number -= BLOCKS[depth][stage]
        stage += 1
    return f"layer{stage + 1}.{number}"


def _recognise(state: State) -> tuple[Family, str]:
    """The family, and what stands before its names. ArcFace's first name is also a part of others: the shortest."""
    for family, first in _FIRST_WEIGHT.items():
        found = [name for name in state if name == first or name.endswith(f".{first}")]
        if found:
            return family, min(found, key=len).removesuffix(first)
    raise ValueError("it is no IR network of AdaFace or ArcFace: neither's first convolution is there")


def _depth(own: State, family: Family) -> int:
    first = {Family.ADAFACE: "res_layer.1.weight", Family.ARCFACE: "bn3.weight"}[family]
    blocks = sum(name.endswith(f".{first}") for name in own)
    for depth, stages in BLOCKS.items():
        if sum(stages) == blocks:
            return depth
    raise ValueError(f"{blocks} blocks are no depth that is known: {', '.join(f'IR-{depth}' for depth in BLOCKS)}")

"""The published layouts written down a second time, from the checkpoints' side: names, shapes and what they compute."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CHANNELS = (64, 128, 256, 512)
STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3), 101: (3, 13, 30, 3)}
PARAMETERS = {18: 24.0e6, 50: 43.6e6, 101: 65.2e6}
"""As the networks' authors give them."""

Shapes = dict[str, tuple[int, ...]]


def _batch_norm(name: str, channels: int, *, affine: bool = True) -> Shapes:
    tensors = ("running_mean", "running_var", *(("weight", "bias") if affine else ()))
    return {**{f"{name}.{tensor}": (channels,) for tensor in tensors}, f"{name}.num_batches_tracked": ()}


def adaface_shapes(depth: int) -> Shapes:
    shapes = {"input_layer.0.weight": (64, 3, 3, 3), **_batch_norm("input_layer.1", 64), "input_layer.2.weight": (64,)}
    inputs, number = 64, 0
    for channels, count in zip(CHANNELS, STAGES[depth], strict=True):
        for _ in range(count):
            block = f"body.{number}"
            shapes |= _batch_norm(f"{block}.res_layer.0", inputs)
            shapes |= {f"{block}.res_layer.1.weight": (channels, inputs, 3, 3)}
            shapes |= _batch_norm(f"{block}.res_layer.2", channels)
            shapes |= {f"{block}.res_layer.3.weight": (channels,)}
            shapes |= {f"{block}.res_layer.4.weight": (channels, channels, 3, 3)}
            shapes |= _batch_norm(f"{block}.res_layer.5", channels)
            if inputs != channels:
                shapes |= {f"{block}.shortcut_layer.0.weight": (channels, inputs, 1, 1)}
                shapes |= _batch_norm(f"{block}.shortcut_layer.1", channels)
            inputs, number = channels, number + 1
    shapes |= _batch_norm("output_layer.0", 512)
    shapes |= {"output_layer.3.weight": (512, 512 * 49), "output_layer.3.bias": (512,)}
    return shapes | _batch_norm("output_layer.4", 512, affine=False)


def arcface_shapes(depth: int) -> Shapes:
    shapes = {"conv1.weight": (64, 3, 3, 3), **_batch_norm("bn1", 64), "prelu.weight": (64,)}
    inputs = 64
    for stage, (channels, count) in enumerate(zip(CHANNELS, STAGES[depth], strict=True), start=1):
        for number in range(count):
            block = f"layer{stage}.{number}"
            shapes |= _batch_norm(f"{block}.bn1", inputs)
            shapes |= {f"{block}.conv1.weight": (channels, inputs, 3, 3)}
            shapes |= _batch_norm(f"{block}.bn2", channels)
            shapes |= {f"{block}.prelu.weight": (channels,)}
            shapes |= {f"{block}.conv2.weight": (channels, channels, 3, 3)}
            shapes |= _batch_norm(f"{block}.bn3", channels)
            if number == 0:
                shapes |= {f"{block}.downsample.0.weight": (channels, inputs, 1, 1)}
                shapes |= _batch_norm(f"{block}.downsample.1", channels)
            inputs = channels
    shapes |= _batch_norm("bn2", 512)
    shapes |= {"fc.weight": (512, 512 * 49), "fc.bias": (512,)}
    return shapes | _batch_norm("features", 512)


def random_state(shapes: Shapes) -> dict[str, Tensor]:
    """Weights that keep the signal's size from block to block."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif len(shape) > 1:
            fan_in = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=generator) / fan_in**0.5
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            state[name] = 0.5 * torch.rand(shape, generator=generator)
    return state


def adaface_features(state: dict[str, Tensor], depth: int, faces: Tensor) -> Tensor:
    """(B, 3, 112, 112) -> (B, 512), straight from the published names."""

    def norm(name: str, planes: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(planes, mean, var, state.get(f"{name}.weight"), state.get(f"{name}.bias"))

    planes = functional.conv2d(faces, state["input_layer.0.weight"], padding=1)
    planes = functional.prelu(norm("input_layer.1", planes), state["input_layer.2.weight"])
    number = 0
    for count in STAGES[depth]:
        for place in range(count):
            block, stride = f"body.{number}", 2 if place == 0 else 1
            inner = functional.conv2d(
                norm(f"{block}.res_layer.0", planes), state[f"{block}.res_layer.1.weight"], padding=1
            )
            inner = functional.prelu(norm(f"{block}.res_layer.2", inner), state[f"{block}.res_layer.3.weight"])
            inner = functional.conv2d(inner, state[f"{block}.res_layer.4.weight"], stride=stride, padding=1)
            if f"{block}.shortcut_layer.0.weight" in state:
                kept = functional.conv2d(planes, state[f"{block}.shortcut_layer.0.weight"], stride=stride)
                kept = norm(f"{block}.shortcut_layer.1", kept)
            else:
                kept = planes[:, :, ::stride, ::stride]
            planes = norm(f"{block}.res_layer.5", inner) + kept
            number += 1
    flat = norm("output_layer.0", planes).flatten(1)
    features = functional.linear(flat, state["output_layer.3.weight"], state["output_layer.3.bias"])
    return norm("output_layer.4", features)

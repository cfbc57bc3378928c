"""The residual networks that face embedders are published as: IR-18, 34, 50 and 101.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, section 3.1; the
blocks are those of He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, with one batch norm more.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum

from torch import Tensor, nn

from service.vision.alignment import ALIGNED_SIDE

WIDTH = 512
"""D of every published checkpoint."""
"""Height and width of the aligned face, pixels."""

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 101: (3, 13, 30, 3)}
"""Blocks of each of the four stages, by depth. The 101 is also known as R100."""

_CHANNELS = (64, 128, 256, 512)
_LAST_SIDE = ALIGNED_SIDE // 2 ** len(_CHANNELS)


class Family(StrEnum):
    """Whose checkpoints: they differ in names, colour order and two details of the network."""

    ADAFACE = "adaface"
    """Kim et al., CVPR 2022. BGR. The first block's shortcut drops pixels; the last norm has no weights."""
    ARCFACE = "arcface"
    """insightface's PyTorch networks. RGB. The first block's shortcut is a convolution; the last norm has weights."""


class IResNet(nn.Module):
    """Aligned faces -> features, not normalised: their length is the feature norm."""

    def __init__(self, depth: int, family: Family) -> None:
        """Raises ValueError for a depth that nothing is published in."""
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"there is no IR-{depth}; there are {', '.join(f'IR-{known}' for known in BLOCKS)}")
        self.depth, self.family = depth, family
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, _CHANNELS[0], 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(_CHANNELS[0]),
                activation=nn.PReLU(_CHANNELS[0]),
            )
        )
        blocks = []
        inputs = _CHANNELS[0]
        for channels, count in zip(_CHANNELS, BLOCKS[depth], strict=True):
            for number in range(count):
                blocks.append(_Block(inputs, channels, 2 if number == 0 else 1, family))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            OrderedDict(
                norm=nn.BatchNorm2d(inputs),
                flatten=nn.Flatten(),
                linear=nn.Linear(inputs * _LAST_SIDE * _LAST_SIDE, WIDTH),
                features=nn.BatchNorm1d(WIDTH, affine=family is Family.ARCFACE),
            )
        )

    def forward(self, faces: Tensor) -> Tensor:
        """faces: (B, 3, 112, 112) float32, -1..1, in the family's colour order. (B, 512)."""
        features: Tensor = self.head(self.blocks(self.stem(faces)))
        return features


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, family: Family) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            OrderedDict(
                norm_in=nn.BatchNorm2d(inputs),
                conv_in=nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                norm_between=nn.BatchNorm2d(outputs),
                activation=nn.PReLU(outputs),
                conv_out=nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
                norm_out=nn.BatchNorm2d(outputs),
            )
        )
        self.shortcut: nn.Module
        if inputs != outputs or (stride > 1 and family is Family.ARCFACE):
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
                    norm=nn.BatchNorm2d(outputs),
                )
            )
        else:
            self.shortcut = nn.MaxPool2d(1, stride)

    def forward(self, planes: Tensor) -> Tensor:
        summed: Tensor = self.residual(planes) + self.shortcut(planes)
        return summed

from __future__ import annotations

import pytest
import torch

from models.backbones.iresnet import Family, IResNet
from tests.models.backbones.published import PARAMETERS


@pytest.mark.parametrize("depth", PARAMETERS)
@pytest.mark.parametrize("family", list(Family))
def test_parameters_are_as_many_as_published(depth: int, family: Family) -> None:
    with torch.device("meta"):
        network = IResNet(depth, family)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(PARAMETERS[depth], rel=0.005)


@pytest.mark.parametrize("depth", PARAMETERS)
def test_any_number_of_aligned_faces_becomes_features_of_512(depth: int) -> None:
    with torch.device("meta"):
        network = IResNet(depth, Family.ADAFACE).eval()
        assert network(torch.empty(5, 3, 112, 112)).shape == (5, 512)


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no IR-77; there are IR-18, IR-34, IR-50, IR-101"):
        IResNet(77, Family.ARCFACE)

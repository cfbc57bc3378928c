"""Detectors and recognisers are told apart by their graphs."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from service.errors import PackError
from service.packs.network_inspection import inspect_network
from tests.packs.tiny_networks import recogniser, scrfd_like, yunet_like
from tests.runtime.networks import doubling_network, with_external_data, write_network


@pytest.mark.parametrize(
    ("content", "is_scrfd", "is_recogniser"),
    [
        (scrfd_like(), True, False),
        (scrfd_like(outputs=6), False, False),
        (yunet_like(quantised=False), False, False),
        (recogniser(), False, True),
        (recogniser(batch=1), False, False),
        (recogniser(side=96), False, False),
        (doubling_network().SerializeToString(), False, False),
    ],
    ids=["scrfd", "without landmarks", "yunet", "recogniser", "one face only", "other crop", "neither"],
)
def test_kinds(tmp_path: Path, content: bytes, is_scrfd: bool, is_recogniser: bool) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    network = inspect_network(path)
    assert (network.is_scrfd, network.is_recogniser) == (is_scrfd, is_recogniser)


def test_preprocessing_in_the_graph_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(recogniser())
    assert not inspect_network(path).normalises_pixels
    model = onnx.load_model(path)
    for kind in ("Mul", "Sub"):
        model.graph.node.insert(0, onnx.helper.make_node(kind, ["data", "bias"], [f"after_{kind}"]))
    write_network(path, model)
    assert inspect_network(path).normalises_pixels


@pytest.mark.parametrize("content", [b"no network", b"\xff" * 40])
def test_what_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(PackError, match=r"network\.onnx"):
        inspect_network(path)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path / "network.onnx", with_external_data(doubling_network(), "../../secret"))
    with pytest.raises(PackError, match="external data"):
        inspect_network(path)

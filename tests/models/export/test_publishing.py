from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.aggregation.configuration import AggregatorConfig, Fusion
from models.aggregation.methods import build_network
from models.aggregation.network import SetAggregatorModule
from models.aggregation.weights import save_weights
from models.export import command
from models.export.aggregator import export_aggregator, halve_weights
from models.export.parity import PARITY_COSINE, lowest_parity_cosine
from models.export.publishing import git_revision, publish_aggregator, training_record
from models.export.reading import load_aggregator
from models.training.loop import fit_statistics
from service.runtime.manifest import Manifest
from tests.models.sets import synthetic_people

WIDTH = 16
EXPORTED = [fusion for fusion in Fusion if fusion not in (Fusion.NAN, Fusion.CAFACE)]
DEFINITION = Path(__file__).parents[3] / "models" / "packs" / "opencv-sface"


def build(fusion: Fusion, seed: int = 0) -> SetAggregatorModule:
    torch.manual_seed(seed)
    network = build_network(AggregatorConfig(fusion, WIDTH, heads=4, judge_width=8))
    if fusion is not Fusion.CORESET_MEAN:
        fit_statistics(network, synthetic_people(np.random.default_rng(0), 10, 2, 3, WIDTH))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    for name in ("manifest.json", "calibration.json", "aggregator.onnx"):
        shutil.copyfile(DEFINITION / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("fusion", EXPORTED)
def test_every_variant_exports_to_the_same_bytes_and_agrees_with_pytorch(fusion: Fusion, tmp_path: Path) -> None:
    network = build(fusion)
    data = export_aggregator(network)
    assert export_aggregator(network) == data
    path = tmp_path / "aggregator.onnx"
    path.write_bytes(data)
    assert lowest_parity_cosine(path, sets=1000, progress=lambda done, total: None) >= PARITY_COSINE


@pytest.mark.parametrize("fusion", EXPORTED)
def test_the_file_alone_rebuilds_the_module(fusion: Fusion, tmp_path: Path) -> None:
    network = build(fusion)
    path = tmp_path / "aggregator.onnx"
    path.write_bytes(export_aggregator(network))
    rebuilt = load_aggregator(path)
    assert rebuilt.config == network.config
    for name, value in network.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], value), name


@pytest.mark.parametrize("fusion", EXPORTED)
def test_half_the_bytes_make_the_same_templates(fusion: Fusion, tmp_path: Path) -> None:
    network = build(fusion)
    full = export_aggregator(network)
    path = tmp_path / "aggregator.onnx"
    path.write_bytes(halve_weights(full))
    lowest = lowest_parity_cosine(path, sets=1000, progress=lambda done, total: None, network=network)
    assert lowest >= PARITY_COSINE
    assert load_aggregator(path).config == network.config


@pytest.mark.parametrize("fusion", [Fusion.NAN, Fusion.CAFACE])
def test_rivals_are_not_exported(fusion: Fusion) -> None:
    with pytest.raises(ValueError, match="rival"):
        export_aggregator(build(fusion))


def test_another_exporters_file_is_refused(default_pack_path: Path) -> None:
    with pytest.raises(ValueError, match="not written by this exporter"):
        load_aggregator(default_pack_path / "detector.onnx")


def test_publishing_pins_the_file_and_takes_the_stale_calibration_away(definition: Path) -> None:
    before = Manifest.model_validate_json((definition / "manifest.json").read_bytes())
    digest = publish_aggregator(build(Fusion.CORESET_MEAN), definition)
    manifest = Manifest.model_validate_json((definition / "manifest.json").read_bytes())
    assert manifest.aggregator.sha256 == digest != before.aggregator.sha256
    assert (manifest.aggregator.method, manifest.aggregator.trained) == ("coreset_mean", False)
    assert (manifest.detector, manifest.embedder) == (before.detector, before.embedder)
    assert not (definition / "calibration.json").exists()


def test_publishing_the_same_aggregator_keeps_its_calibration(definition: Path) -> None:
    publish_aggregator(load_aggregator(definition / "aggregator.onnx"), definition)
    assert (definition / "calibration.json").is_file()
    for name in ("manifest.json", "aggregator.onnx"):
        assert (definition / name).read_bytes() == (DEFINITION / name).read_bytes(), name


def test_the_shipped_calibration_is_of_the_shipped_aggregator() -> None:
    manifest = Manifest.model_validate_json((DEFINITION / "manifest.json").read_bytes())
    calibration = json.loads((DEFINITION / "calibration.json").read_text())
    assert calibration["fingerprint"] == manifest.fingerprint
    assert calibration["default_operating_point"] == "fmr_1e-4"
    assert all(
        point["false_matches"] >= 30 for bucket in calibration["buckets"] for point in bucket["operating_points"]
    )


def test_where_the_weights_come_from_is_recorded(definition: Path, tmp_path: Path) -> None:
    training = tmp_path / "training.json"
    with pytest.raises(ValueError, match="no record"):
        training_record(build(Fusion.FILTERED_CONE), training, {})
    data = {"lfw": True, "celeba": False, "folders": ["webface4m"]}
    run = {"configuration_file": "a.toml", "configuration": {"data": data}, "people": 7, "embeddings": 70}
    training.write_text(json.dumps(run))
    network = build(Fusion.FILTERED_CONE)
    record = training_record(network, training, {"test fnmr@1e-03": 0.05})
    assert record.data == ("LFW train", "webface4m")
    assert (record.people, record.gamma, record.opset) == (7, pytest.approx(float(network.gamma.detach())), 18)
    published = load_aggregator(definition / "aggregator.onnx")
    publish_aggregator(published, definition)
    same = Manifest.model_validate_json((definition / "manifest.json").read_bytes())
    publish_aggregator(published, definition, record)
    recorded = Manifest.model_validate_json((definition / "manifest.json").read_bytes())
    assert recorded.training == record
    assert recorded.fingerprint == same.fingerprint


def test_the_revision_is_of_this_checkout() -> None:
    assert git_revision() == "unknown" or len(git_revision()) >= 12


def test_a_rival_to_compare_with_is_written_without_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_weights(build(Fusion.FAITHFUL), tmp_path / "weights.npz")
    written = tmp_path / "rivals" / "faithful.onnx"
    command.main(["--weights", str(tmp_path / "weights.npz"), "--half", str(written)])
    assert load_aggregator(written).config.fusion is Fusion.FAITHFUL
    with pytest.raises(SystemExit) as ended:
        command.main(["--weights", str(tmp_path / "weights.npz")])
    assert ended.value.code == 2
    assert "--output, --half or both" in capsys.readouterr().err

"""The command on a data set in the layout of WebFace4M: a folder of aligned faces for each identity."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from models.aggregation.configuration import Fusion
from models.aggregation.weights import load_weights
from models.datasets.lfw import Split, lfw_people
from models.training.command import main
from tests.models.training.test_configuration import CONFIGS

pytestmark = pytest.mark.slow


@pytest.fixture
def data(shared_data: Path, tmp_path: Path) -> Path:
    """Ten people of five images; the middle of an LFW image is near enough to an aligned face."""
    people = [person for person in lfw_people(shared_data, Split.TRAIN) if len(person.images) >= 5][:10]
    for number, person in enumerate(people):
        folder = tmp_path / "data" / "webface4m" / f"{number:07d}"
        folder.mkdir(parents=True)
        for image in person.images[:5]:
            pixels = cv2.imread(str(image))
            assert pixels is not None
            cv2.imwrite(str(folder / image.name), cv2.resize(pixels[60:190, 60:190], (112, 112)))
    return tmp_path / "data"


def run(data: Path, pack: Path, config: Path, output: Path, *more: str) -> None:
    options = ["--config", str(config), "--data", str(data), "--pack", str(pack), "--output", str(output)]
    main([*options, "--cache", str(output.parent / "cache"), *more])


def test_the_paper_configuration_trains_on_folders(data: Path, default_pack_path: Path, tmp_path: Path) -> None:
    text = (CONFIGS / "paper.toml").read_text()
    short = tmp_path / "paper.toml"
    short.write_text(
        text.replace("steps = 40000", "steps = 4").replace("checkpoint_every = 1000", "checkpoint_every = 2")
    )
    run(data, default_pack_path, short, tmp_path / "first")
    run(data, default_pack_path, short, tmp_path / "second")
    first, second = (load_weights(tmp_path / name / "weights.npz") for name in ("first", "second"))
    assert first.config.fusion is Fusion.FAITHFUL and not first.config.standardise_norms
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name
    record = json.loads((tmp_path / "first" / "training.json").read_text())
    assert (record["people"], record["embeddings"]) == (10, 10 * 5 * 4)
    assert (tmp_path / "first" / "training.csv").is_file()
    run(data, default_pack_path, short, tmp_path / "first", "--resume")


def test_what_is_wrong_is_said_in_one_line(
    data: Path, default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text('[data]\nfolders = ["nowhere"]\n[aggregator]\nfusion = "cone"\n')
    with pytest.raises(SystemExit) as ended:
        run(data, default_pack_path, config, tmp_path / "out")
    assert ended.value.code == 2
    assert "nowhere is no directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(data, default_pack_path, CONFIGS / "paper.toml", tmp_path / "out", "--resume")
    assert "no checkpoint" in capsys.readouterr().err

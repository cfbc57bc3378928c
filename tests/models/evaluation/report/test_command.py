"""The whole report on a handful of people, with two training steps a variant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.evaluation.command import main

PEOPLE = {
    "train": ("Tony_Blair", "Colin_Powell", "Serena_Williams"),
    "validation": ("Hans_Blix", "Gray_Davis"),
    "test": ("Junichiro_Koizumi", "Vicente_Fox", "Laura_Bush", "Jennifer_Capriati"),
    "single_train": (),
    "single_test": (),
}
IMAGES = 4


@pytest.fixture
def data(shared_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in (name for names in PEOPLE.values() for name in names):
        (folder / "lfw" / name).mkdir(parents=True)
        for image in sorted((shared_data / "lfw" / name).glob("*.jpg"))[:IMAGES]:
            (folder / "lfw" / name / image.name).symlink_to(image)
    (folder / "lfw_splits.json").write_text(json.dumps(PEOPLE))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_report_has_every_part(data: Path, default_pack_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "lfw.toml"
    config.write_text(
        '[data]\nlfw = true\ndegraded_versions = 1\nleave_out_alike = false\n[aggregator]\nfusion = "centred_cone"\n'
        "[recipe]\npeople_per_step = 3\n"
    )
    output = tmp_path / "report"
    places = ["--cache", str(tmp_path / "cache"), "--weights", str(tmp_path / "weights"), "--output", str(output)]
    options = ["--data", str(data), "--pack", str(default_pack_path), "--config", str(config)]
    main(["report", *options, *places, "--ablation-steps", "2", "--resamples", "3"])
    page = (output / "opencv-sface.md").read_text()
    assert "4 people of the LFW split `test`" in page and "not reported" in page
    for part in ("Mixed", "Clean", "Contaminated", "By set size", "By kind of degradation", "Ablation", "Cost"):
        assert f"## {part}" in page
    for name in ("det", "quality"):
        assert f"opencv-sface-{name}.svg" in page
        assert (output / f"opencv-sface-{name}.svg").read_text().lstrip().startswith("<?xml")
    values = json.loads((output / "opencv-sface.json").read_text())
    methods = values["main"]["mixed: 2 to 12 samples, 80 % degraded"]
    assert methods.keys() >= {"template", "average", "nan", "caface", "cone", "best_pooling", "coreset_mean"}
    assert values["photographs"] == 16 and len(values["ablation"]) > 10
    written = (output / "opencv-sface-det.svg").read_bytes()
    main(["report", *options, *places, "--ablation-steps", "2", "--resamples", "3"])
    assert (output / "opencv-sface-det.svg").read_bytes() == written

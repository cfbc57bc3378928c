from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.evaluation.command import main

NAMES = ("Tony_Blair", "Colin_Powell", "Serena_Williams")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["mixed", "clean", "contaminated"])
def test_the_command_measures_a_folder_of_people(
    shared_data: Path, default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    for name in NAMES:
        (tmp_path / "people" / name).mkdir(parents=True)
        for number in (1, 2, 3, 4):
            shutil.copy(shared_data / "lfw" / name / f"{name}_{number:04d}.jpg", tmp_path / "people" / name)
    shutil.copy(shared_data / "photos" / "no_face_small.png", tmp_path / "people" / NAMES[0])
    output = tmp_path / "out" / "sets.json"
    arguments = ["--images", str(tmp_path / "people"), "--pack", str(default_pack_path), "--resamples", "5"]
    main(["sets", *arguments, "--protocol", protocol, "--json", str(output)])
    answer = json.loads(output.read_text())
    rivals = {"faithful", "average", "norm_weighted", "best_pooling", "coreset_mean"}
    assert set(answer["methods"]) == {"template", *rivals}
    assert (answer["people"], answer["fta"]) == (3, pytest.approx(1 / 13))
    assert answer["comparisons"] == {"mated": 300, "non_mated": 600}
    printed = capsys.readouterr().out
    assert "| template |" in printed and "not reported" in printed


def test_a_folder_without_people_is_said_in_one_line(
    default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sets", "--images", str(tmp_path), "--pack", str(default_pack_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("coreface-evaluate: ")


def test_an_unknown_pack_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="coreface: "):
        main(["sets", "--images", str(tmp_path), "--pack", "nobody"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--sizes", "3", "2"], "set sizes 3 to 2"),
        (["--degraded-share", "1.5"], "between 0 and 1"),
        (["--duplicates", "-1"], "counts of 0 or more"),
    ],
)
def test_what_makes_no_set_is_refused_before_anything_is_embedded(
    shared_data: Path, default_pack_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        main(["sets", "--images", str(shared_data / "lfw"), "--pack", str(default_pack_path), *wrong])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_sets_are_drawn_as_asked(shared_data: Path, default_pack_path: Path, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "people" / name).mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(shared_data / "lfw" / name / f"{name}_{number:04d}.jpg", tmp_path / "people" / name)
    output = tmp_path / "sets.json"
    arguments = ["--images", str(tmp_path / "people"), "--pack", str(default_pack_path), "--resamples", "5"]
    options = ["--sizes", "1", "4", "--degraded-share", "0.5", "--degradation", "noise", "--duplicates", "2"]
    main(["sets", *arguments, *options, "--intruders", "1", "--json", str(output)])
    asked = {"smallest": 1, "largest": 4, "degraded_share": 0.5, "intruders": 1, "duplicates": 2}
    assert json.loads(output.read_text())["protocol"].items() >= asked.items()

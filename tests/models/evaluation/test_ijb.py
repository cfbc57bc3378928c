from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.aggregation.extraction import LIMITS, PackVision
from models.datasets.lfw import Split, lfw_people
from models.evaluation.aggregates import pool_by_norm
from models.evaluation.command import main
from models.evaluation.ijb import FARS, IjbImages, IjbRate, describe, evaluate_ijb, ijb_json
from models.evaluation.ijb_meta import IjbMeta, read_ijb_meta
from service.runtime.pack import load_pack
from service.vision.decoding import decode_image

POINTS = "30 50 80 50 55 70 35 95 75 95"


def write_meta(folder: Path, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "name_5pts_score": f"a.jpg {POINTS} 0.99\nb.jpg {POINTS} 0.98\nc.jpg {POINTS} 0.5\n",
        "face_tid_mid": "a.jpg 10 1\nb.jpg 10 1\nc.jpg 30 2\n",
        "template_pair_label": "10 30 0\n10 10 1\n",
    } | changes
    for name, text in files.items():
        (folder / f"ijbb_{name}.txt").write_text(text)
    return folder


def test_the_meta_files_are_read(tmp_path: Path) -> None:
    meta = read_ijb_meta(write_meta(tmp_path), "ijbb")
    assert meta.images == ("a.jpg", "b.jpg", "c.jpg")
    assert meta.landmarks.shape == (3, 5, 2) and meta.landmarks[0, 3].tolist() == [35.0, 95.0]
    assert (meta.record_image.tolist(), meta.record_template.tolist()) == ([0, 1, 2], [10, 10, 30])
    assert meta.record_medium.tolist() == [1, 1, 2]
    assert (meta.first.tolist(), meta.second.tolist(), meta.mated.tolist()) == ([10, 10], [30, 10], [False, True])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"face_tid_mid": "a.jpg 10 1\nb.jpg 10\n"}, r"face_tid_mid\.txt, line 2: 2 fields instead of 3"),
        ({"face_tid_mid": "z.jpg 10 1\n"}, r"line 1: z\.jpg has no landmarks"),
        ({"face_tid_mid": "a.jpg ten 1\n"}, r"face_tid_mid\.txt, line 1"),
        ({"name_5pts_score": f"a.jpg {POINTS.replace('30', 'x', 1)} 1\n"}, r"5pts_score\.txt, line 1"),
        ({"template_pair_label": "10 30 2\n"}, r"pair_label\.txt, line 1: the label"),
        ({"template_pair_label": "10 99 0\n"}, "template 99"),
        ({"template_pair_label": ""}, "empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_ijb_meta(write_meta(tmp_path, **changes), "ijbb")


def made_up(people: int, rng: np.random.Generator) -> tuple[IjbMeta, IjbImages]:
    """Two templates a person, of one to five images."""
    width = 32
    image, template, vectors = [], [], []
    for number in range(2 * people):
        for _ in range(int(rng.integers(1, 6))):
            image.append(len(image))
            template.append(100 + number)
            subject = np.random.default_rng(number // 2).normal(size=width)
            vectors.append(subject + 0.8 * rng.normal(size=width))
    embeddings = np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.array(list(itertools.combinations(range(2 * people), 2)))
    meta = IjbMeta(
        images=tuple(f"{number}.jpg" for number in image),
        landmarks=np.zeros((len(image), 5, 2), np.float32),
        record_image=np.array(image),
        record_template=np.array(template),
        record_medium=np.array(image),
        first=100 + pairs[:, 0],
        second=100 + pairs[:, 1],
        mated=pairs[:, 0] // 2 == pairs[:, 1] // 2,
    )
    return meta, IjbImages(embeddings.astype(np.float32), rng.uniform(5, 15, len(image)).astype(np.float32))


def test_far_is_at_most_and_tar_is_what_is_left() -> None:
    meta, images = made_up(60, np.random.default_rng(0))
    rates = evaluate_ijb(meta, images, pool_by_norm(1.0))
    non_mated = int((~meta.mated).sum())
    assert [rate.far for rate in rates] == list(FARS)
    for rate in rates:
        assert rate.false_matches <= rate.far * non_mated
    assert rates[-1].tar >= rates[3].tar > 0.5
    assert not rates[0].is_reported and rates[-1].is_reported


def test_a_template_without_a_usable_image_matches_nothing() -> None:
    meta, images = made_up(40, np.random.default_rng(1))
    lost = meta.record_template < 120  # both templates of ten people
    norms = np.where(lost, 0.0, images.norms).astype(np.float32)
    failing = IjbImages(images.embeddings, norms)
    assert failing.fta == pytest.approx(lost.mean())
    rates = evaluate_ijb(meta, failing, pool_by_norm(1.0))
    assert rates[-1].tar == pytest.approx(30 / 40, abs=0.03)
    nobody = IjbImages(images.embeddings, np.zeros_like(images.norms))
    assert all(rate.tar == 0.0 and rate.false_matches == 0 for rate in evaluate_ijb(meta, nobody, pool_by_norm(1.0)))


def test_few_false_matches_are_no_figure() -> None:
    rates = {"template": [IjbRate(1e-4, 0.5, 0.9, 29), IjbRate(1e-3, 0.4, 0.95, 30)]}
    assert ijb_json(rates) == {"template": {"1e-04": None, "1e-03": 0.95}}
    assert "| template | - (29) | 95.00 |" in describe(rates)


@pytest.mark.slow
def test_the_command_runs_the_protocol_end_to_end(
    shared_data: Path, default_pack_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vision = PackVision.load(load_pack(default_pack_path))
    people = [person for person in lfw_people(shared_data, Split.TEST) if len(person.images) >= 4][:16]
    (tmp_path / "loose_crop").mkdir()
    landmarks, records, templates = [], [], []
    for number, person in enumerate(people):
        for place, path in enumerate(person.images[:4]):
            (face,) = vision.find_faces([decode_image(path.read_bytes(), LIMITS)])
            assert face is not None
            shutil.copy(path, tmp_path / "loose_crop" / path.name)
            points = " ".join(f"{value:.3f}" for value in face.landmarks.reshape(-1))
            landmarks.append(f"{path.name} {points} {face.score:.4f}")
            template = 2 * number + place // 2
            records.append(f"{path.name} {template} {len(records)}")
            templates.append(template)
    landmarks.append(f"gone.jpg {POINTS} 0.1")
    records.append(f"gone.jpg 0 {len(records)}")
    pairs = [f"{a} {b} {int(a // 2 == b // 2)}" for a, b in itertools.combinations(sorted(set(templates)), 2)]
    write_meta(
        tmp_path / "meta",
        name_5pts_score="\n".join(landmarks) + "\n",
        face_tid_mid="\n".join(records) + "\n",
        template_pair_label="\n".join(pairs) + "\n",
    )
    output = tmp_path / "ijb.json"
    options = ["--ijb", str(tmp_path), "--subset", "ijbb", "--pack", str(default_pack_path), "--json", str(output)]
    main(["ijb", *options])
    answer = json.loads(output.read_text())
    assert answer["comparisons"] == {"mated": 16, "non_mated": 32 * 31 // 2 - 16}
    assert answer["fta"] == pytest.approx(1 / 65)
    assert {"template", "average", "media average", "coreset mean"} <= set(answer["methods"])
    assert answer["methods"]["template"]["1e-01"] >= 0.9
    assert answer["methods"]["template"]["1e-06"] is None
    assert "FTA 1.54%" in capsys.readouterr().out

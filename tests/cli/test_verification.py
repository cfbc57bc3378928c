from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.cli.conftest import RunCommand
from tests.pipeline.fakes import embed

FreshPng = Callable[[], bytes]
RunJson = Callable[..., tuple[int, Any]]


def fake_cosine(one: bytes, other: bytes) -> float:
    """Of the fake engine's embeddings, which depend on the bytes alone."""
    return float(embed(digest_sample(one)).embedding.vector @ embed(digest_sample(other)).embedding.vector)


@pytest.fixture
def url(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"


@pytest.fixture
def pictures(tmp_path: Path, fresh_png: FreshPng) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(fresh_png())
    return paths


def test_a_match_ends_with_zero(coreface: RunCommand, coreface_json: RunJson, url: str, pictures: list[Path]) -> None:
    status, out, err = coreface("verify", pictures[0], "--", pictures[0], "--url", url)
    assert (status, err) == (0, "")
    assert out.startswith("match: score >= threshold 0.3000 at fmr_1e-3")
    assert "strictest operating point that it matches at: fmr_1e-4" in out
    exact = coreface("verify", pictures[0], "--", pictures[0], "--url", url, "--raw-scores")[1]
    assert exact.startswith("match: score 1.0000 >= threshold 0.3000 at fmr_1e-3")
    status, answer = coreface_json(
        "verify", pictures[0], "--", pictures[0], "--url", url, "--operating-point", "fmr_1e-2"
    )
    assert (status, answer["decision"], answer["operating_point"]) == (0, "match", "fmr_1e-2")


def test_a_non_match_ends_with_one(coreface: RunCommand, url: str, pictures: list[Path], fresh_png: FreshPng) -> None:
    while fake_cosine(pictures[0].read_bytes(), pictures[1].read_bytes()) >= 0:
        pictures[1].write_bytes(fresh_png())
    status, out, _ = coreface("verify", "--url", url, pictures[0], "--", pictures[1])
    assert status == 1
    assert out.startswith("non_match: score < threshold")
    assert "strictest operating point that it matches at: none" in out
    assert "presentation-attack detection: not performed" in out


def test_ids_and_sealed_templates_are_sides(
    coreface_json: RunJson, url: str, pictures: list[Path], tmp_path: Path
) -> None:
    sealed = tmp_path / "a.coreface"
    _, answer = coreface_json("enrol", pictures[0], "--url", url, "--output", sealed)
    template_id = answer["templates"][0]["template_id"]
    assert coreface_json("verify", template_id, "--", sealed, "--url", url)[0] == 0
    assert coreface_json("verify", sealed, "--", pictures[0], "--url", url)[0] == 0


def test_an_id_may_begin_with_a_dash(coreface_json: RunJson, url: str, pictures: list[Path]) -> None:
    status, answer = coreface_json("verify", "-" + "A" * 21, "--", pictures[0], "--url", url)
    assert (status, answer["error"]["code"]) == (2, "template_not_found")
    status, answer = coreface_json("verify", pictures[0], "--", "--" + "A" * 20, "--url", url)
    assert (status, answer["error"]["code"]) == (2, "template_not_found")


def test_no_decision_ends_with_two_and_its_reasons(
    coreface: RunCommand, api: RunningApi, url: str, pictures: list[Path]
) -> None:
    api.engine.faceless.add(digest_sample(pictures[1].read_bytes()))
    status, out, err = coreface("verify", pictures[0], "--", pictures[1], "--url", url)
    assert (status, out) == (2, "")
    assert "sample 0: no_face" in err


@pytest.mark.parametrize("arguments", [["a.png"], ["a.png", "b.png"], ["a.png", "--"], ["--", "a.png"]])
def test_both_sides_must_be_named(coreface: RunCommand, arguments: list[str]) -> None:
    assert coreface("verify", *arguments)[0] == 2

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from models.evaluation.clip import find_in_tracks
from service.packs.definitions import definitions_path, load_definitions
from tests.pipeline.fakes import embed

PAGE = Path(__file__).parents[3] / "docs" / "evaluation" / "video.json"


def test_the_track_most_alike_is_found() -> None:
    tracks = [embed(name).face for name in ("a", "b", "c")]
    [found] = find_in_tracks({"b": tracks[1]}, tracks)
    others = [float(np.dot(tracks[1].embedding.vector, track.embedding.vector)) for track in (tracks[0], tracks[2])]
    assert (found.name, found.track) == ("b", 1)
    assert abs(found.cosine - 1.0) < 1e-6
    assert abs(found.runner_up - max(others)) < 1e-6
    [alone] = find_in_tracks({"b": tracks[1]}, tracks[:1])
    assert alone.runner_up == -1.0


def test_the_published_page_is_of_the_pack_that_ships_and_finds_all_six() -> None:
    values = json.loads(PAGE.read_text(encoding="utf-8"))
    assert values["fingerprint"] == load_definitions(definitions_path())[values["pack"]].manifest.fingerprint
    assert len({person["track"] for person in values["people"]}) == len(values["people"]) == 6
    assert all(person["cosine"] > 0.5 > person["runner_up"] for person in values["people"])

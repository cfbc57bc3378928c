"""A new user's walk: real pictures in, templates out, decisions that are right."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from tests.end_to_end.running_service import RunningService

pytestmark = pytest.mark.xdist_group("end_to_end")

Answer = dict[str, Any]


def pictures(shared_data: Path, person: str, first: int, last: int) -> list[Path]:
    return [shared_data / "lfw" / person / f"{person}_{index:04d}.jpg" for index in range(first, last + 1)]


def upload(client: httpx.Client, paths: Sequence[Path], **fields: str) -> httpx.Response:
    files = [("samples", (path.name, path.read_bytes(), "application/octet-stream")) for path in paths]
    return client.post("/v1/templates", files=files, data=fields)


def enrol(client: httpx.Client, paths: Sequence[Path], **fields: str) -> Answer:
    response = upload(client, paths, **fields)
    assert response.status_code in (200, 201), response.text
    answer: Answer = response.json()
    return answer


def verify(client: httpx.Client, reference: Answer, probe: Answer, **extra: str) -> Answer:
    response = client.post("/v1/verify", json={"reference": reference, "probe": probe, "scores": "raw", **extra})
    assert response.status_code == 200, response.text
    answer: Answer = response.json()
    return answer


def encoded(paths: Sequence[Path]) -> Answer:
    return {"samples": [base64.b64encode(path.read_bytes()).decode() for path in paths]}


def test_enrol_then_verify_the_same_person_and_another(client: httpx.Client, shared_data: Path) -> None:
    bush = enrol(client, pictures(shared_data, "George_W_Bush", 1, 5))
    same = enrol(client, pictures(shared_data, "George_W_Bush", 6, 10))
    other = enrol(client, pictures(shared_data, "Colin_Powell", 1, 5))
    match = verify(client, {"template_id": bush["template_id"]}, {"template_id": same["template_id"]})
    non_match = verify(client, {"template_id": bush["template_id"]}, {"template_id": other["template_id"]})
    assert match["decision"] == "match"
    assert match["score"] >= match["threshold"]
    assert non_match["decision"] == "non_match"
    assert non_match["score"] < non_match["threshold"]
    assert match["pad"] == non_match["pad"] == "not_performed"
    assert match["operating_point"] == "fmr_1e-4"


def test_the_report_explains_the_template(client: httpx.Client, shared_data: Path) -> None:
    answer = enrol(client, [*pictures(shared_data, "Tony_Blair", 1, 6), shared_data / "photos/no_face_landscape.jpg"])
    used, dropped = answer["samples"][:6], answer["samples"][6]
    assert [sample["index"] for sample in answer["samples"]] == list(range(7))
    assert all(sample["status"] == "used" and sample["reason"] is None for sample in used)
    assert sum(sample["weight"] for sample in used) == pytest.approx(1.0, abs=1e-3)
    assert sorted(sample["core_rank"] for sample in used if sample["core_rank"] is not None) == [0, 1, 2]
    assert all(len(sample["landmarks"]) == 5 and len(sample["box"]) == 4 for sample in used)
    assert (dropped["status"], dropped["reason"], dropped["weight"]) == ("rejected", "no_face", 0.0)


def test_a_repeated_set_is_cached_whatever_its_order(client: httpx.Client, shared_data: Path) -> None:
    paths = pictures(shared_data, "Serena_Williams", 1, 5)
    first = enrol(client, paths)
    again = enrol(client, paths[::-1])
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["template_id"] == first["template_id"]
    assert again["samples"][0]["weight"] == first["samples"][4]["weight"]


def test_every_mix_of_sides_gives_one_answer(client: httpx.Client, shared_data: Path) -> None:
    paths = pictures(shared_data, "Vladimir_Putin", 1, 4)
    created = enrol(client, paths, include="vector,sealed_template")
    sides = [
        {"template_id": created["template_id"]},
        {"vector": created["vector"]},
        {"vector": created["vector"], "fingerprint": created["fingerprint"]},
        {"sealed_template": created["sealed_template"]},
        encoded(paths),
    ]
    probe = encoded(pictures(shared_data, "Vladimir_Putin", 5, 8))
    answers = [verify(client, side, probe, operating_point="fmr_1e-3") for side in sides]
    assert {answer["decision"] for answer in answers} == {"match"}
    assert np.ptp([answer["score"] for answer in answers]) <= 1e-6


def test_erased_is_gone_and_can_be_made_anew(client: httpx.Client, shared_data: Path) -> None:
    paths = pictures(shared_data, "Jacques_Chirac", 1, 2)
    first = enrol(client, paths)
    url = f"/v1/templates/{first['template_id']}"
    assert client.get(url).status_code == 200
    assert client.delete(url).status_code == 204
    assert client.get(url).json()["code"] == "template_erased"
    gone = client.post(
        "/v1/verify",
        json={"reference": {"template_id": first["template_id"]}, "probe": {"template_id": first["template_id"]}},
    )
    assert (gone.status_code, gone.json()["code"]) == (410, "template_erased")
    again = enrol(client, paths)
    assert not again["cached"]
    assert again["template_id"] != first["template_id"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("blurred.jpg", None),
        ("crowd.jpg", None),
        ("exif_orientation_6.jpeg", None),
        ("group_friends.jpg", None),
        ("group_six.jpg", None),
        ("group_twenty_nine.png", None),
        ("mask.jpg", None),
        ("no_face_landscape.jpg", "no_face"),
        ("no_face_small.png", "no_face"),
        ("pixel_rotated_r0.jpg", None),
        ("pose_left_face.jpeg", None),
        ("pose_lower_face.jpeg", None),
        ("pose_right_wryneck.png", None),
        ("pose_rise_face.jpeg", None),
        ("raw_not_an_image.nv21", "unsupported_type"),
        ("rgba_png_named.jpg", None),
    ],
)
def test_edge_case_photographs(client: httpx.Client, shared_data: Path, name: str, reason: str | None) -> None:
    response = upload(client, [shared_data / "photos" / name])
    body = response.json()
    assert body["samples"][0]["reason"] == reason
    if reason is None:
        assert response.status_code in (200, 201)
        assert body["samples"][0]["weight"] == pytest.approx(1.0, abs=1e-4)
    else:
        assert (response.status_code, body["code"]) == (422, "no_usable_sample")


@pytest.mark.parametrize("name", ["crowd.jpg", "group_friends.jpg", "group_six.jpg", "group_twenty_nine.png"])
def test_group_pictures_are_refused_where_only_one_face_may_be(
    client: httpx.Client, shared_data: Path, name: str
) -> None:
    response = upload(client, [shared_data / "photos" / name], face_policy="only")
    assert response.status_code == 422
    assert response.json()["samples"][0]["reason"] == "several_faces"


def test_a_foreign_picture_is_found_and_dropped(client: httpx.Client, shared_data: Path) -> None:
    own, foreign = pictures(shared_data, "Gerhard_Schroeder", 1, 4), pictures(shared_data, "Colin_Powell", 7, 7)
    alone = enrol(client, own, include="vector")
    assert alone["consistent"] is True
    warned = enrol(client, [*own, *foreign], include="vector")
    assert warned["consistent"] is False
    assert [sample["group"] for sample in warned["samples"]] == [0, 0, 0, 0, 1]
    dropped = enrol(client, [*own, *foreign], consistency_policy="drop", include="vector")
    assert [sample["reason"] for sample in dropped["samples"]] == [None] * 4 + ["inconsistent"]
    assert np.dot(dropped["vector"], alone["vector"]) == pytest.approx(1.0, abs=1e-6)
    refused = upload(client, [*own, *foreign], consistency_policy="refuse")
    assert (refused.status_code, refused.json()["code"]) == (422, "inconsistent_set")
    assert [sample["group"] for sample in refused.json()["samples"]] == [0, 0, 0, 0, 1]


def test_samples_may_come_one_by_one_and_copies_change_nothing(
    client: httpx.Client, shared_data: Path, tmp_path: Path
) -> None:
    paths = pictures(shared_data, "Jean_Chretien", 1, 5)
    at_once = enrol(client, paths, include="vector", subject="jean-1")
    template = enrol(client, paths[3:4], subject="jean-2")
    for path in (paths[0], paths[4], paths[1], paths[2]):
        url = f"/v1/templates/{template['template_id']}/samples"
        template = client.post(
            url, files=[("samples", (path.name, path.read_bytes()))], data={"include": "vector"}
        ).json()
    assert template["vector"] == at_once["vector"], "bit by bit"
    image = cv2.imread(str(paths[0]))
    copies = [tmp_path / "saved_again.jpg", tmp_path / "half.png"]
    cv2.imwrite(str(copies[0]), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(copies[1]), cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    with_copies = enrol(client, [*paths, *copies], include="vector")
    of_one_shot = [with_copies["samples"][index]["reason"] for index in (0, 5, 6)]
    assert sorted(of_one_shot, key=str) == [None, "near_duplicate", "near_duplicate"]
    assert np.dot(with_copies["vector"], at_once["vector"]) > 0.99
    listed = client.get("/v1/subjects/jean-2").json()
    assert listed["count"] == 5, "every step is kept until it is erased"
    assert client.delete("/v1/subjects/jean-2").json()["erased"] == 5


def test_a_decision_names_the_samples_that_carried_it(client: httpx.Client, shared_data: Path) -> None:
    own, foreign = pictures(shared_data, "Hans_Blix", 1, 4), pictures(shared_data, "Colin_Powell", 9, 9)
    kept = enrol(client, [*own, *foreign])
    probe = encoded(pictures(shared_data, "Hans_Blix", 5, 6))
    body = {"reference": {"template_id": kept["template_id"]}, "probe": probe, "explain": True}
    answer = client.post("/v1/verify", json=body).json()
    assert answer["decision"] == "match"
    changes = {entry["digest"]: entry["score_change"] for entry in answer["reference"]["contributions"]}
    stranger = kept["samples"][4]["digest"]
    assert len(changes) == 5
    assert abs(changes[stranger]) < 0.1 * max(changes.values())
    assert [sample["change"] is not None for sample in kept["samples"]] == [True] * 5


def test_many_comparisons_at_once_answer_what_each_alone_does(client: httpx.Client, shared_data: Path) -> None:
    people = [person for person in ("George_W_Bush", "Colin_Powell", "Tony_Blair") for _ in range(2)]
    sets = [pictures(shared_data, person, 1 + 2 * (n % 2), 2 + 2 * (n % 2)) for n, person in enumerate(people)]
    sides = [{"template_id": enrol(client, paths)["template_id"]} for paths in sets]
    alone = {(i, j): verify(client, sides[i], sides[j]) for i in range(6) for j in range(i, 6)}
    pairs = [{"reference": sides[i]["template_id"], "probe": sides[j]["template_id"]} for i, j in alone]
    batch = client.post("/v1/verify/batch", json={"pairs": pairs, "scores": "raw"})
    assert batch.status_code == 200, batch.text
    for (i, j), answer in zip(alone, batch.json()["results"], strict=True):
        assert {name: answer[name] for name in ("decision", "score", "threshold", "llr")} == {
            name: alone[i, j][name] for name in ("decision", "score", "threshold", "llr")
        }
        assert answer["decision"] == ("match" if people[i] == people[j] else "non_match")
    assert batch.json()["matches"] == 9
    several = client.post("/v1/verify/references", json={"probe": sides[1], "references": sides, "scores": "raw"})
    assert several.status_code == 200, several.text
    assert [answer["score"] for answer in several.json()["results"]] == [
        alone[min(i, 1), max(i, 1)]["score"] for i in range(6)
    ]


def test_a_report_shows_every_picture(client: httpx.Client, shared_data: Path) -> None:
    paths = [*pictures(shared_data, "Kofi_Annan", 1, 3), shared_data / "photos/no_face_landscape.jpg"]
    kept = enrol(client, paths)
    files = [("samples", (path.name, path.read_bytes())) for path in paths]
    response = client.post(f"/v1/templates/{kept['template_id']}/report", files=files)
    assert response.status_code == 200, response.text
    sheet = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    first = cv2.resize(cv2.imread(str(paths[0])), (232, 232), interpolation=cv2.INTER_AREA)
    assert np.abs(sheet[8:40, 8:240].astype(int) - first[:32]).mean() < 2.0


def test_six_people_are_found_in_the_tracks_of_a_clip(client: httpx.Client, shared_data: Path) -> None:
    clip = shared_data / "video/friends.mp4"
    boxes = set()
    for portrait in sorted((shared_data / "video/references").glob("*.png")):
        answer = enrol(client, [portrait, clip], face_policy="consistent")
        still, track = answer["samples"]
        assert answer["consistent"] is True, portrait.stem
        assert track["status"] == "used"
        assert 0.0 <= track["seconds"] <= 28.1
        assert still["seconds"] is None
        assert track["weight"] < 0.9, "a clip counts as one sample"
        boxes.add((*track["box"], track["seconds"]))
    assert len(boxes) == 6, "six different faces"


def test_a_clip_alone_is_a_template_of_who_is_seen_most(client: httpx.Client, shared_data: Path) -> None:
    answer = enrol(client, [shared_data / "video/friends.mp4"])
    assert (answer["samples"][0]["status"], answer["samples"][0]["weight"]) == ("used", 1.0)
    only = upload(client, [shared_data / "video/friends.mp4"], face_policy="only")
    assert only.json()["samples"][0]["reason"] == "several_faces"


def test_in_a_group_picture_the_face_that_agrees_with_the_rest_is_taken(
    client: httpx.Client, shared_data: Path, tmp_path: Path
) -> None:
    subject, neighbour = pictures(shared_data, "Hugo_Chavez", 1, 3), pictures(shared_data, "Colin_Powell", 8, 8)
    images = [cv2.imread(str(path)) for path in (*neighbour, subject[2])]
    group = tmp_path / "group.png"
    cv2.imwrite(str(group), np.concatenate([cv2.resize(images[0], (400, 400)), cv2.resize(images[1], (400, 400))], 1))
    larger = tmp_path / "larger.png"
    cv2.imwrite(
        str(larger),
        np.concatenate(
            [cv2.resize(images[0], (600, 600)), cv2.copyMakeBorder(images[1], 350, 0, 0, 0, cv2.BORDER_CONSTANT)], 1
        ),
    )
    for picture, border in ((group, 400), (larger, 600)):
        answer = enrol(client, [*subject[:2], picture], face_policy="consistent")
        assert answer["consistent"] is True
        assert answer["samples"][2]["box"][0] > border, "the subject stands on the right"
    largest = enrol(client, [*subject[:2], larger])
    assert largest["samples"][2]["box"][2] < 600
    assert largest["consistent"] is False


def test_portraits_match_their_person_in_no_other_portrait(client: httpx.Client, shared_data: Path) -> None:
    portraits = sorted((shared_data / "video/references").glob("*.png"))
    ids = [enrol(client, [path])["template_id"] for path in portraits]
    pairs = [(row, column) for row in range(len(ids)) for column in range(len(ids))]
    body = {"pairs": [{"reference": ids[row], "probe": ids[column]} for row, column in pairs]}
    results = client.post("/v1/verify/batch", json=body).json()["results"]
    for (row, column), result in zip(pairs, results, strict=True):
        assert result["decision"] == ("match" if row == column else "non_match"), (portraits[row], portraits[column])


def test_bad_requests_name_their_fault_and_keep_nothing(client: httpx.Client, shared_data: Path) -> None:
    nothing = client.post("/v1/templates", files=[("samples", ("a.jpg", b"", "image/jpeg"))])
    assert (nothing.status_code, nothing.json()["code"]) == (422, "no_usable_sample")
    unknown = client.get("/v1/templates/AAAAAAAAAAAAAAAAAAAAAA")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "template_not_found")
    text = client.post("/v1/templates", content=b"hello", headers={"content-type": "text/plain"})
    assert (text.status_code, text.json()["code"]) == (415, "unsupported_content_type")
    created = enrol(client, pictures(shared_data, "Jacques_Chirac", 3, 3), include="vector")
    foreign = client.post(
        "/v1/verify",
        json={
            "reference": {"template_id": created["template_id"]},
            "probe": {"vector": created["vector"], "fingerprint": "0" * 32},
        },
    )
    assert (foreign.status_code, foreign.json()["code"]) == (409, "fingerprint_mismatch")
    crowd = upload(client, pictures(shared_data, "George_W_Bush", 1, 65))
    assert (crowd.status_code, crowd.json()["code"]) == (413, "too_many_samples")


def test_nothing_of_the_pictures_or_ids_is_logged(
    running_service: RunningService, client: httpx.Client, shared_data: Path
) -> None:
    created = enrol(client, pictures(shared_data, "Jacques_Chirac", 4, 5))
    client.get(f"/v1/templates/{created['template_id']}")
    log = running_service.log()
    assert created["template_id"] not in log
    assert "Traceback" not in log


def test_another_process_gives_the_same_template(
    running_service: RunningService,
    client: httpx.Client,
    shared_data: Path,
    default_pack_path: Path,
    tmp_path: Path,
) -> None:
    paths = pictures(shared_data, "Hugo_Chavez", 1, 6)
    here = enrol(client, paths, include="vector")
    with RunningService(tmp_path, default_pack_path) as other, other.client() as other_client:
        there = enrol(other_client, paths[::-1], include="vector")
    assert there["vector"] == here["vector"]

"""`coreface enrol --results`: many sets, cut off and gone on with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from service.cli import enrolment_results, service_connection
from service.cli.enrolment_results import COLUMNS
from service.cli.service_connection import ServiceConnection
from service.pipeline.set_keys import digest_sample
from tests.api.running_api import RunningApi
from tests.cli.conftest import RunCommand

FreshPng = Callable[[], bytes]
RunJson = Callable[..., tuple[int, Any]]
NAMES = ("anna", "bo", "cleo", "dan", "eve")


@pytest.fixture
def url(api: RunningApi) -> str:
    return f"http://127.0.0.1:{api.port}"


@pytest.fixture
def people(tmp_path: Path, fresh_png: FreshPng) -> Path:
    for name in NAMES:
        (tmp_path / "people" / name).mkdir(parents=True)
        for index in range(2):
            (tmp_path / "people" / name / f"{index}.png").write_bytes(fresh_png())
    return tmp_path / "people"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_image_is_a_row(coreface_json: RunJson, url: str, people: Path, api: RunningApi, tmp_path: Path) -> None:
    bad = people / "bo" / "1.png"
    api.engine.faceless.add(digest_sample(bad.read_bytes()))
    results = tmp_path / "results.csv"
    status, answer = coreface_json("enrol", people, "--results", results, "--url", url, "--concurrency", 3)
    assert status == 0
    assert answer == {"sets": 5, "enrolled": 5, "failed": 0, "left_out": 0, "results": str(results)}
    rows = read_csv(results)
    assert len(rows) == 10
    assert tuple(rows[0]) == COLUMNS
    by_file = {row["file"]: row for row in rows}
    assert set(by_file) == {str(path) for path in people.rglob("*.png")}
    assert (by_file[str(bad)]["status"], by_file[str(bad)]["reason"]) == ("rejected", "no_face")
    good = by_file[str(people / "bo" / "0.png")]
    assert (good["set"], good["status"], good["error"]) == ("bo", "used", "")
    assert good["template_id"] == by_file[str(bad)]["template_id"] != ""
    assert float(good["weight"]) == 1.0


def test_a_set_that_fails_is_a_row_with_its_error(
    coreface: RunCommand, url: str, people: Path, api: RunningApi, tmp_path: Path
) -> None:
    api.engine.faceless |= {digest_sample(path.read_bytes()) for path in (people / "bo").iterdir()}
    results = tmp_path / "results.csv"
    status, out, _ = coreface("enrol", people, "--results", results, "--url", url)
    assert status == 1
    assert out == f"4 of 5 sets enrolled, 1 failed: {results}\n"
    rows = [row for row in read_csv(results) if row["set"] == "bo"]
    assert [(row["error"], row["reason"], row["template_id"]) for row in rows] == [
        ("no_usable_sample", "no_face", "")
    ] * 2


def test_a_file_that_cannot_be_read_fails_its_set_alone(
    coreface: RunCommand, url: str, people: Path, tmp_path: Path
) -> None:
    broken = people / "bo" / "1.png"
    broken.unlink()
    broken.symlink_to(tmp_path / "nowhere.png")
    results = tmp_path / "results.csv"
    # A link to nothing is no file of the folder; one that goes away later is.
    assert coreface("enrol", people, "--results", results, "--url", url)[0] == 0
    assert len([row for row in read_csv(results) if row["set"] == "bo"]) == 1


def test_what_goes_away_meanwhile_is_told(
    coreface: RunCommand, url: str, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.cli import enrolment_run
    from service.errors import SetupError

    whole = enrolment_run.read_file

    def read(path: Path) -> bytes:
        if path.parent.name == "bo" and path.name == "1.png":
            raise SetupError(f"{str(path)!r} cannot be read: gone.")
        return whole(path)

    monkeypatch.setattr(enrolment_run, "read_file", read)
    results = tmp_path / "results.csv"
    assert coreface("enrol", people, "--results", results, "--url", url)[0] == 1
    rows = [row for row in read_csv(results) if row["set"] == "bo"]
    assert {row["error"] for row in rows} == {"unreadable_file"}
    assert "gone" in rows[0]["detail"]


def test_a_run_goes_on_where_it_ended(
    coreface_json: RunJson, url: str, people: Path, api: RunningApi, tmp_path: Path
) -> None:
    results = tmp_path / "results.jsonl"
    faceless = {digest_sample(path.read_bytes()) for path in (people / "dan").iterdir()}
    api.engine.faceless |= faceless
    assert coreface_json("enrol", people, "--results", results, "--url", url)[0] == 1
    lines = results.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    kept = [line for line in lines if json.loads(line)["name"] in ("anna", "dan")]
    torn = next(line for line in lines if json.loads(line)["name"] == "cleo")[:40]
    results.write_bytes(b"".join(kept) + torn)
    api.engine.faceless -= faceless
    (people / "anna" / "0.png").touch()  # Another time of change: another set.
    before = len(api.engine.requests)
    status, answer = coreface_json("enrol", people, "--results", results, "--url", url, "--resume")
    assert (status, answer["left_out"], answer["enrolled"]) == (0, 0, 5)
    status, answer = coreface_json("enrol", people, "--results", results, "--url", url, "--resume")
    assert (status, answer["left_out"], answer["enrolled"]) == (0, 5, 0)
    assert len(api.engine.requests) - before == 1, "only dan's was not a template yet"
    entries = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert all("template_id" in entry for entry in entries if entry["name"] != "dan")


def test_resumed_tables_hold_the_last_word_on_each_set(
    coreface: RunCommand, url: str, people: Path, api: RunningApi, tmp_path: Path
) -> None:
    results = tmp_path / "results.csv"
    faceless = {digest_sample(path.read_bytes()) for path in (people / "dan").iterdir()}
    api.engine.faceless |= faceless
    assert coreface("enrol", people, "--results", results, "--url", url)[0] == 1
    api.engine.faceless -= faceless
    assert coreface("enrol", people, "--results", results, "--url", url, "--resume")[0] == 0
    rows = read_csv(results)
    assert len(rows) == 10
    assert {row["error"] for row in rows} == {""}


def test_policies_are_part_of_what_was_done(coreface_json: RunJson, url: str, people: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    coreface_json("enrol", people, "--results", results, "--url", url)
    again = ("enrol", people, "--results", results, "--url", url, "--resume")
    assert coreface_json(*again)[1]["left_out"] == 5
    assert coreface_json(*again, "--face-policy", "only")[1]["left_out"] == 0


def test_parquet_has_the_same_rows(coreface: RunCommand, url: str, people: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.parquet"
    assert coreface("enrol", people, "--results", results, "--url", url)[0] == 0
    table = parquet.read_table(results)
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert len(rows) == 10
    assert {row["set"] for row in rows} == set(NAMES)
    assert {type(row["weight"]) for row in rows} == {float}
    assert {row["consistent"] for row in rows} <= {True, False, None}


def test_parquet_without_pyarrow_says_what_to_install(
    coreface: RunCommand, url: str, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    status, _, err = coreface("enrol", people, "--results", tmp_path / "r.parquet", "--url", url)
    assert status == 2
    assert "coreface[tables]" in err


@pytest.mark.parametrize(
    ("name", "content", "options", "told"),
    [
        ("r.txt", None, (), "ends in .csv, .parquet, .jsonl"),
        ("r.csv", "kept", (), "is there already"),
        ("r.jsonl", "not a line of ours\n", ("--resume",), "line 1 is no result"),
        ("absent/r.csv", None, (), "cannot be written"),
    ],
)
def test_files_that_cannot_take_results(
    coreface: RunCommand,
    url: str,
    people: Path,
    tmp_path: Path,
    name: str,
    content: str | None,
    options: tuple[str, ...],
    told: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    status, _, err = coreface("enrol", people, "--results", tmp_path / name, "--url", url, *options)
    assert status == 2
    assert told in err
    if content is not None:
        assert (tmp_path / name).read_text() == content


def test_resume_needs_a_file(coreface: RunCommand, url: str, people: Path) -> None:
    status, _, err = coreface("enrol", people, "--resume", "--url", url)
    assert (status, "--results" in err) == (2, True)


def test_an_interrupted_run_keeps_what_is_done(
    coreface: RunCommand, url: str, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = enrolment_results.EnrolmentResults.add
    done: list[str] = []

    def add_then_stop(self: Any, entry: dict[str, Any], signature: str) -> None:
        add(self, entry, signature)
        done.append(entry["name"])
        if len(done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(enrolment_results.EnrolmentResults, "add", add_then_stop)
    results = tmp_path / "results.csv"
    status, _, err = coreface("enrol", people, "--results", results, "--url", url, "--concurrency", "1")
    assert status == 130
    assert "interrupted after 2 of 5 sets" in err and "--resume" in err
    monkeypatch.setattr(enrolment_results.EnrolmentResults, "add", add)
    assert coreface("enrol", people, "--results", results, "--url", url, "--resume")[0] == 0
    assert {row["set"] for row in read_csv(results)} == set(NAMES)


async def test_a_service_that_starts_again_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_connection, "_PAUSES_S", (0.0, 0.0))
    told = iter([httpx.Response(200, json={}), httpx.ConnectError("down"), httpx.Response(200, json={"up": True})])

    def answer(request: httpx.Request) -> httpx.Response:
        said = next(told)
        if isinstance(said, Exception):
            raise said
        return said

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x") as client:
        service = ServiceConnection(client)
        await service.get("/")
        assert await service.get("/") == {"up": True}

from __future__ import annotations

import json
import stat
from datetime import datetime
from pathlib import Path

import pytest

from service.errors import AuditUnavailableError, SetupError
from service.observability.audit import LineAuditLog


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_line_of_json_for_each_entry_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    log = LineAuditLog(str(path))
    log.write([{"event": "a"}, {"event": "b", "tenant": "ünïcode\n"}])
    log.write([])
    log.write([{"event": "c"}])
    log.close()
    found = lines(path)
    assert [line["event"] for line in found] == ["a", "b", "c"]
    assert found[1]["tenant"] == "ünïcode\n"
    assert all(datetime.fromisoformat(str(line["time"])).utcoffset() is not None for line in found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_share_a_file_and_a_moved_one_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first, second = LineAuditLog(str(path)), LineAuditLog(str(path))
    first.write([{"event": "a"}])
    second.write([{"event": "b"}])
    path.rename(tmp_path / "audit.jsonl.1")
    first.write([{"event": "c"}])
    first.close()
    second.close()
    assert [line["event"] for line in lines(tmp_path / "audit.jsonl.1")] == ["a", "b"]
    assert [line["event"] for line in lines(path)] == ["c"]


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    LineAuditLog("-").write([{"event": "a"}])
    assert json.loads(capsys.readouterr().out)["event"] == "a"


def test_a_sink_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="audit log"):
        LineAuditLog(str(tmp_path / "file" / "audit.jsonl"))


def test_a_line_that_cannot_be_written_is_an_error() -> None:
    log = LineAuditLog("/dev/full")
    with pytest.raises(AuditUnavailableError):
        log.write([{"event": "a"}])
    log.close()

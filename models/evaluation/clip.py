"""`coreface-evaluate clip`: whether people with a portrait are found among the tracks of a clip."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.commands import command_parser, named_pack, write_json
from service.assembly import build_local_engine
from service.engine.local import LocalEngine, running
from service.pipeline.set_keys import digest_sample
from service.runtime.pack import Pack
from service.settings import Settings
from service.types import EmbeddedFace, EmbeddedSample, FacePolicy, Sample, SetRequest
from service.vision.comparison import compare_vectors

_COMMAND = "coreface-evaluate clip --clip CLIP --portraits DIR --pack {name} --output docs/evaluation/video.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """One person."""

    name: str
    track: int
    """The one most alike, from 0."""
    cosine: float
    runner_up: float
    """Of the next track."""


def find_in_tracks(portraits: dict[str, EmbeddedFace], tracks: list[EmbeddedFace]) -> list[Finding]:
    """For each portrait the two tracks most alike."""
    findings = []
    for name, portrait in portraits.items():
        cosines = [compare_vectors(portrait.embedding.vector, track.embedding.vector) for track in tracks]
        order = sorted(range(len(tracks)), key=lambda track: -cosines[track])
        runner_up = cosines[order[1]] if len(order) > 1 else -1.0
        findings.append(Finding(name, order[0], cosines[order[0]], runner_up))
    return findings


def main(arguments: list[str] | None = None) -> None:
    """Writes a page and its JSON."""
    parser = command_parser("coreface-evaluate clip", "Find people with a portrait among the tracks of a clip.")
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True, help="folder with one picture a person")
    parser.add_argument("--pack", required=True, help="name of an installed pack, or its directory")
    parser.add_argument("--output", type=Path, required=True, help="page to write")
    options = parser.parse_args(arguments)
    pack = named_pack(options.pack)
    files = sorted(path for path in options.portraits.iterdir() if path.is_file())
    tracks, *portraits = asyncio.run(_read_faces(pack, [options.clip, *files]))
    findings = find_in_tracks({path.stem: faces[0] for path, faces in zip(files, portraits, strict=True)}, tracks)
    command = _COMMAND.format(name=pack.name)
    found = len({finding.track for finding in findings})
    values = {
        "pack": pack.name,
        "fingerprint": pack.fingerprint,
        "command": command,
        "tracks": len(tracks),
        "people": [
            {"name": each.name, "track": each.track, "cosine": each.cosine, "runner_up": each.runner_up}
            for each in findings
        ],
    }
    write_json(options.output.with_suffix(".json"), values)
    options.output.write_text(_page(pack, command, len(tracks), findings), encoding="utf-8")
    print(f"{found} of {len(findings)} people have a track of their own")


async def _read_faces(pack: Pack, paths: Sequence[Path]) -> list[list[EmbeddedFace]]:
    async with running(build_local_engine(pack, Settings())) as engine:
        return [await _faces(engine, pack, path) for path in paths]


async def _faces(engine: LocalEngine, pack: Pack, path: Path) -> list[EmbeddedFace]:
    data = path.read_bytes()  # noqa: ASYNC240 (nothing else runs in this loop)
    sample = Sample(digest_sample(data), data)
    result = await engine.create(
        SetRequest(secrets.token_hex(16), (sample,), (), FacePolicy.CONSISTENT, pack.fingerprint, timeout_s=3600.0)
    )
    [outcome] = result.outcomes
    if not isinstance(outcome, EmbeddedSample):
        raise SystemExit(f"no face is usable in {path}")
    return [outcome.face, *outcome.others]


def _page(pack: Pack, command: str, tracks: int, findings: list[Finding]) -> str:
    lines = [
        f"# People found in a clip, {pack.name}",
        "",
        f"Made by `{command}`: a scene with six people in 28 seconds, and a portrait of each. The clip has {tracks} "
        "tracks; for each portrait the cosine to the track most alike, and to the next one.",
        "",
        "| person | track | cosine | next track |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.track} | {each.cosine:.3f} | {each.runner_up:.3f} |" for each in findings),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

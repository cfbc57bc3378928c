"""`coreface calibrate`: thresholds and likelihood ratios measured on a site's own people."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.operator_settings import read_settings
from service.cli.sample_sets import SampleSet, find_sample_sets
from service.cli.service_options import FacePolicyOption, JsonOption
from service.cli.terminal import ProgressUpdate, Terminal
from service.errors import CalibrationError, SetupError
from service.types import EmbeddedSample, Embedding, FacePolicy, Sample, SetRequest

if TYPE_CHECKING:
    from service.engine.local import LocalEngine
    from service.runtime.calibration import Calibration

_RESAMPLES = 200
_NO_DEADLINE_S = 3600.0


def calibrate(
    images: Annotated[
        Path,
        typer.Option(
            "--images", help="A folder of images for each person, in this folder; the more people the better."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="File to write.")] = Path("calibration.json"),
    face_policy: FacePolicyOption = FacePolicy.LARGEST,
    as_json: JsonOption = False,
) -> None:
    """Measure decision thresholds on your own people, for COREFACE_CALIBRATION.

    Needs 3,000 comparisons of different people (40 people with two images make 3,120) for FMR 1e-2, ten times as many
    for each further digit. Nothing of the images is kept.
    """
    # Only here: this loads decoders and networks.
    from service.assembly import build_local_engine
    from service.calibration.fitting import UnsupportedDataError, fit_calibration
    from service.calibration.site import MOST_PEOPLE, draw_site_groups
    from service.runtime.onnx import load_model
    from service.runtime.pack import load_pack
    from service.vision.aggregation import OnnxSetAggregator

    settings = read_settings()
    pack = load_pack(settings.packs_path / settings.pack)
    found = find_sample_sets([images])
    sets = found[:MOST_PEOPLE]
    terminal = Terminal(as_json=as_json)
    with terminal.progress("loading the model") as update:
        engine = build_local_engine(pack, settings)
        people = asyncio.run(_embed_people(engine, sets, face_policy, pack.fingerprint, update))
        update("comparing everyone with everyone", 1.0)
        if not people:
            raise CalibrationError("No usable face was found in any of the images.")
        aggregator = OnnxSetAggregator(load_model(pack, pack.manifest.aggregator, threads=settings.threads))
        everyone, again = draw_site_groups(people, aggregator)
        several = sum(len(person) >= 2 for person in people)
        try:
            calibration = fit_calibration(
                everyone,
                again,
                fingerprint=pack.fingerprint,
                data=f"{len(people)} people of this site, {several} of them with two usable images or more; one image "
                "and half of a person's images against each other.",
                command="coreface calibrate --images DIR",
                resamples=_RESAMPLES,
                # A scale of its own would make one quality mean two things.
                quality_scale=None if pack.calibration is None else pack.calibration.quality_scale,
                consistency=None if pack.calibration is None else pack.calibration.consistency,
            )
        except UnsupportedDataError as error:
            raise CalibrationError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    _write(output, calibration)
    _show(terminal, calibration, output, people=len(people), folders=len(found), used=len(sets))


async def _embed_people(
    engine: LocalEngine,
    sets: Sequence[SampleSet],
    face_policy: FacePolicy,
    fingerprint: str,
    update: ProgressUpdate,
) -> list[list[Embedding]]:
    """The usable embeddings of each person that has one."""
    from service.engine.local import running

    people = []
    async with running(engine):
        for number, sample_set in enumerate(sets):
            result = await engine.create(_request(sample_set, face_policy, fingerprint))
            person = [outcome.embedding for outcome in result.outcomes if isinstance(outcome, EmbeddedSample)]
            if person:
                people.append(person)
            update(f"embedded {number + 1} of {len(sets)} people", (number + 1) / len(sets))
    return people


def _request(sample_set: SampleSet, face_policy: FacePolicy, fingerprint: str) -> SetRequest:
    from service.pipeline.set_keys import digest_sample

    samples = {digest_sample(data): data for data in sample_set.read()}
    return SetRequest(
        request_id=secrets.token_hex(16),
        samples=tuple(Sample(digest, data) for digest, data in sorted(samples.items())),
        known=(),
        face_policy=face_policy,
        fingerprint=fingerprint,
        timeout_s=_NO_DEADLINE_S,
    )


def _write(path: Path, calibration: Calibration) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SetupError(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def _show(terminal: Terminal, calibration: Calibration, path: Path, *, people: int, folders: int, used: int) -> None:
    if terminal.as_json:
        terminal.show_json(calibration.model_dump(mode="json"))
        return
    rows = [
        (
            point.name,
            f"{calibration.levels[bucket.better]} / {calibration.levels[bucket.worse]}",
            f"{point.threshold:.4f}",
            f"{point.threshold_interval[0]:.4f} to {point.threshold_interval[1]:.4f}",
            f"{point.false_matches:,} of {bucket.comparisons:,}",
            f"{point.false_match_pairs:,}",
            f"{point.fnmr:.4f}",
        )
        for number in range(len(calibration.point_names))
        for bucket in calibration.buckets
        for point in (bucket.operating_points[number],)
    ]
    terminal.show_table(("point", "quality", "threshold", "95 %", "false matches", "pairs of people", "FNMR"), rows)
    skipped = f"; the first {used:,} folders of {folders:,} were read" if used < folders else ""
    terminal.show_line(f"{people:,} people with a usable face{skipped}.")
    terminal.show_line(f"Written to {path}: start the service with COREFACE_CALIBRATION={path.resolve()}.")

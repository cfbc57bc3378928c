"""Builds the working parts of a pack from its files: for the worker, the local engine and the command line."""

from __future__ import annotations

from collections.abc import Callable, Collection

from service.engine.local import LocalEngine
from service.errors import DecoderMissingError
from service.pipeline.set_processing import SetProcessor
from service.pipeline.stages import BatchObserver, unobserved
from service.policies import consistency_limits, image_limits
from service.protocols import FaceDetector, FaceEmbedder, InferenceSession
from service.runtime.manifest import DetectorSpec, EmbedderSpec, InputRange, ModelFile
from service.runtime.onnx import load_model, usable_cores
from service.runtime.pack import Pack
from service.settings import Settings
from service.vision.aggregation import OnnxSetAggregator
from service.vision.decoder_probe import missing_decoders
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.image_format import ImageFormat
from service.vision.landmark_views import LandmarkView
from service.vision.pixel_range import PixelRange
from service.vision.scrfd import ScrfdDetector
from service.vision.yunet import YuNetDetector

SessionOpener = Callable[[ModelFile], InferenceSession]
"""Loads one of a pack's networks."""

_DETECTORS = {"yunet": YuNetDetector, "scrfd": ScrfdDetector}


def build_set_processor(
    pack: Pack, settings: Settings, open_session: SessionOpener | None = None
) -> tuple[SetProcessor, str]:
    """The pack's processor and the execution provider that really runs its embedder.

    `open_session` stands in for the pack's own ONNX sessions, where something is to be measured or replaced.
    Raises `DecoderMissingError`, `DeviceUnavailableError` and `PackError`.
    """
    limits = image_limits(settings.limits)
    check_decoders(limits.formats)
    opened = open_session or _session_opener(pack, settings)
    manifest = pack.manifest
    embedder_session = opened(manifest.embedder)
    processor = SetProcessor(
        build_detector(manifest.detector, opened(manifest.detector)),
        build_embedder(manifest.embedder, embedder_session, batch_size=settings.batch_size),
        OnnxSetAggregator(opened(manifest.aggregator)),
        limits,
        min_eye_distance_pixels=settings.limits.min_eye_distance_pixels,
        consistency=consistency_limits(pack.calibration),
        batch_size=settings.batch_size,
    )
    return processor, embedder_session.provider


def build_local_engine(
    pack: Pack, settings: Settings, open_session: SessionOpener | None = None, observe: BatchObserver = unobserved
) -> LocalEngine:
    """The pack's networks in this process, loaded when the engine starts. Arguments as of `build_set_processor`;
    `observe` hears of every batch."""
    return LocalEngine(
        lambda: build_set_processor(pack, settings, open_session),
        pack.fingerprint,
        max_batch_sets=settings.max_batch_sets,
        max_waiting_sets=settings.limits.max_waiting_sets,
        decode_threads=decode_threads(settings),
        observe=observe,
    )


def check_decoders(formats: Collection[ImageFormat]) -> None:
    """Raises `DecoderMissingError` unless every accepted format can be decoded here."""
    missing = missing_decoders(formats)
    if missing:
        raise DecoderMissingError(
            f"COREFACE_LIMITS__FORMATS accepts {', '.join(missing)}, which nothing installed here can decode; leave "
            "them out, or install what can (for heic: coreface[heic])."
        )


def decode_threads(settings: Settings) -> int:
    """Threads for decoding and alignment: as many as for the networks."""
    return settings.threads or usable_cores()


def build_detector(spec: DetectorSpec, session: InferenceSession) -> FaceDetector:
    """The detector as the manifest describes it."""
    return _DETECTORS[spec.algorithm](
        session,
        pixel_range=_pixel_range(spec.input_range),
        canvas_sides=spec.canvas_sides,
        upscale=spec.upscale,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
        turn_below_score=spec.turn_below_score,
        landmark_views=[LandmarkView(view.side, view.eye_distance) for view in spec.landmark_views],
    )


def build_embedder(spec: EmbedderSpec, session: InferenceSession, *, batch_size: int) -> FaceEmbedder:
    """The embedder as the manifest describes it; `batch_size` faces a pass."""
    return OnnxFaceEmbedder(
        session, width=spec.width, pixel_range=_pixel_range(spec.input_range), batch_size=batch_size
    )


def open_pack_session(pack: Pack, settings: Settings, model: ModelFile) -> InferenceSession:
    """One of the pack's networks on the settings' device. Raises `DeviceUnavailableError` and `PackError`."""
    return load_model(pack, model, device=settings.device, threads=settings.threads)


def _session_opener(pack: Pack, settings: Settings) -> SessionOpener:
    return lambda model: open_pack_session(pack, settings, model)


def _pixel_range(spec: InputRange) -> PixelRange:
    return PixelRange(color_order=spec.color_order, mean=spec.mean, std=spec.std)

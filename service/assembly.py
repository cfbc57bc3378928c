"""Builds the working parts of a pack from its files: for the worker, the local engine and the command line."""

from __future__ import annotations

from collections.abc import Callable, Collection

from service.engine.local import LocalEngine
from service.errors import DecoderMissingError
from service.pipeline.batch_limits import BatchLimits, limits_on_cpu, limits_on_gpu
from service.pipeline.set_processing import SetProcessor
from service.pipeline.stages import BatchObserver, unobserved
from service.policies import consistency_limits, image_limits
from service.protocols import FaceDetector, FaceEmbedder, PixelNetwork
from service.runtime.manifest import DetectorSpec, EmbedderSpec
from service.runtime.networks import (
    NetworkObserver,
    open_network,
    parallel_passes,
    runs_on_cpu,
    threads_per_pass,
    unobserved_network,
)
from service.runtime.onnx import load_model, usable_cores
from service.runtime.pack import Pack
from service.settings import Settings
from service.vision.aggregation import OnnxSetAggregator
from service.vision.decoder_probe import missing_decoders
from service.vision.detection import PIXELS_PER_PASS
from service.vision.embedding import OnnxFaceEmbedder
from service.vision.image_format import ImageFormat
from service.vision.landmark_views import LandmarkView
from service.vision.scrfd import ScrfdDetector
from service.vision.yunet import YuNetDetector

NetworkOpener = Callable[[DetectorSpec | EmbedderSpec], PixelNetwork]
"""Loads a pack's detector or embedder."""

_DETECTORS = {"yunet": YuNetDetector, "scrfd": ScrfdDetector}


def build_set_processor(
    pack: Pack,
    settings: Settings,
    opened: NetworkOpener | None = None,
    on_network: NetworkObserver = unobserved_network,
) -> tuple[SetProcessor, str]:
    """The pack's processor and the execution provider that really runs its embedder.

    `opened` stands in for `open_network`, where something is to be measured or replaced. `on_network` hears what runs
    the networks, and how far they are from the pack's golden answers.
    Raises `DecoderMissingError`, `DeviceUnavailableError`, `DriftError` and `PackError`.
    """
    limits = image_limits(settings.limits)
    check_decoders(limits.formats)
    opened = opened or (lambda spec: open_network(pack, spec, settings, on_network))
    manifest = pack.manifest
    embedder = opened(manifest.embedder)
    batches = batch_limits(settings)
    processor = SetProcessor(
        build_detector(manifest.detector, opened(manifest.detector), pixels_per_pass=batches.canvas_pixels),
        build_embedder(manifest.embedder, embedder, batch_size=batches.faces),
        OnnxSetAggregator(load_model(pack, manifest.aggregator, threads=threads_per_pass(settings))),
        limits,
        min_eye_distance_pixels=settings.limits.min_eye_distance_pixels,
        consistency=consistency_limits(pack.calibration),
        batches=batches,
    )
    return processor, embedder.provider


def build_local_engine(
    pack: Pack,
    settings: Settings,
    opened: NetworkOpener | None = None,
    observe: BatchObserver = unobserved,
    on_network: NetworkObserver = unobserved_network,
) -> LocalEngine:
    """The pack's networks in this process, loaded when the engine starts. Arguments as of `build_set_processor`;
    `observe` hears of every batch."""
    return LocalEngine(
        lambda: build_set_processor(pack, settings, opened, on_network),
        pack.fingerprint,
        max_batch_sets=settings.max_batch_sets,
        max_waiting_sets=settings.limits.max_waiting_sets,
        device_threads=device_threads(settings),
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


def batch_limits(settings: Settings) -> BatchLimits:
    """For the device that the settings ask for."""
    if runs_on_cpu(settings):
        return limits_on_cpu(settings.batch_size, parallel_passes(settings))
    return limits_on_gpu(settings.batch_size)


def device_threads(settings: Settings) -> int:
    """Threads of the stages of the networks: one more than passes are computed at once. While these run it reads what
    the last pass answered and lays out the next one, which is there when one of them ends."""
    return batch_limits(settings).parallel + 1


def decode_threads(settings: Settings) -> int:
    """Threads for decoding and alignment: as many as for the networks."""
    return settings.threads or usable_cores()


def build_detector(
    spec: DetectorSpec, network: PixelNetwork, *, pixels_per_pass: int = PIXELS_PER_PASS
) -> FaceDetector:
    """The detector as the manifest describes it; `pixels_per_pass` of its canvases together."""
    return _DETECTORS[spec.algorithm](
        network,
        canvas_sides=spec.canvas_sides,
        upscale=spec.upscale,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
        turn_below_score=spec.turn_below_score,
        landmark_views=[LandmarkView(view.side, view.eye_distance) for view in spec.landmark_views],
        pixels_per_pass=pixels_per_pass,
    )


def build_embedder(spec: EmbedderSpec, network: PixelNetwork, *, batch_size: int) -> FaceEmbedder:
    """The embedder as the manifest describes it; `batch_size` faces a pass."""
    return OnnxFaceEmbedder(network, width=spec.width, batch_size=batch_size)

"""The only reader of the environment. Every setting is `COREFACE_<NAME>`, nested ones `COREFACE_LIMITS__<NAME>`.

The table in `docs/settings.md` is tested against this module. Where traces go is said by OpenTelemetry's own variables.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.vision.image_format import DEFAULT_FORMATS, ImageFormat

_Item = TypeVar("_Item")


def _split(text: str) -> list[str]:
    """What stands between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _split_text(value: object) -> object:
    return _split(value) if isinstance(value, str) else value


CommaList = Annotated[tuple[_Item, ...], Field(min_length=1), NoDecode, BeforeValidator(_split_text)]
"""Of a text with commas."""
HostName = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$")]


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


class Runtime(StrEnum):
    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"


class Precision(StrEnum):
    AUTO = "auto"
    FLOAT32 = "float32"
    HALF = "half"


class EngineKind(StrEnum):
    REMOTE = "remote"
    LOCAL = "local"


class Limits(BaseModel):
    """What one request may cost."""

    max_sample_bytes: PositiveInt = Field(15 * 2**20, description="Bytes of one sample.")
    max_request_bytes: PositiveInt = Field(128 * 2**20, description="Bytes of one request body.")
    max_samples: PositiveInt = Field(64, description="Samples in one request.")
    max_template_samples: PositiveInt = Field(1000, description="Samples in one template, added ones included.")
    max_megapixels: PositiveFloat = Field(25.0, description="Million pixels of one sample, from its header.")
    max_side_pixels: PositiveInt = Field(8192, description="Longer side of one sample, pixels.")
    max_jpeg_scans: PositiveInt = Field(100, description="Scans of one progressive JPEG.")
    max_scan_megapixels: PositiveFloat = Field(250.0, description="Scans times million pixels of one JPEG.")
    max_decode_ms: PositiveFloat = Field(
        250.0, description="Estimated decoding time of one sample on one core, milliseconds: see `docs/images.md`."
    )
    formats: str = Field(
        ",".join(DEFAULT_FORMATS),
        description="Accepted formats of still images, with commas between them; `gif`, `tiff`, `avif` and `heic` can "
        "be added.",
    )
    min_eye_distance_pixels: PositiveFloat = Field(
        8.0, description="Smallest distance between the eyes of a usable face, pixels."
    )
    request_timeout_s: PositiveFloat = Field(30.0, description="Time for one template, seconds.")
    header_timeout_s: PositiveFloat = Field(
        8.0,
        description="Time for a request's header, and for the rest of a body that was answered before it was there, "
        "seconds.",
    )
    body_pace_s: PositiveFloat = Field(5.0, description="Time for each further 5000 bytes of a body, seconds.")
    max_connections: PositiveInt = Field(2000, description="Connections to one API process, before 503.")
    max_waiting_sets: PositiveInt = Field(
        256, description="Sets that wait for their turn, per API process, before 429."
    )

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: str) -> str:
        unknown = [name for name in _split(formats) if name not in list(ImageFormat)]
        if unknown or not _split(formats):
            raise ValueError(f"unknown formats: {', '.join(unknown) or 'none given'}; known: {', '.join(ImageFormat)}")
        return formats

    @property
    def image_formats(self) -> frozenset[ImageFormat]:
        """The accepted ones."""
        return frozenset(map(ImageFormat, _split(self.formats)))


class Quality(BaseModel):
    """What a face must reach to be part of a template. The defaults refuse nothing."""

    min_detection_score: float = Field(0.0, ge=0, le=1, description="Detector score.")
    min_sharpness: float = Field(0.0, ge=0, description="Deviation of the Laplacian of the face; blurred: below 8.")
    min_brightness: float = Field(0.0, ge=0, le=1, description="Mean luminance of the face.")
    max_brightness: float = Field(1.0, ge=0, le=1, description="Mean luminance of the face.")
    max_yaw_degrees: float = Field(180.0, ge=0, le=180, description="Turn to a side, within some ten degrees.")
    max_roll_degrees: float = Field(180.0, ge=0, le=180, description="Tilt.")
    min_sample_quality: float = Field(
        0.0, ge=0, le=100, description="Feature norm on the pack's scale: the share of photographs that are poorer."
    )

    @model_validator(mode="after")
    def _check_brightness(self) -> Self:
        if self.min_brightness > self.max_brightness:
            raise ValueError("min_brightness is above max_brightness: every face would be refused")
        return self


MOST_RETENTION_S = 5 * 365 * 86400


class Retention(BaseModel):
    """How long things are kept: five years at most."""

    template_ttl_s: int = Field(90 * 86400, ge=1, le=MOST_RETENTION_S, description="Life of a template, seconds.")
    embedding_ttl_s: int = Field(
        7 * 86400, ge=1, le=MOST_RETENTION_S, description="Life of a cached embedding, seconds."
    )
    tombstone_ttl_s: PositiveInt = Field(
        90 * 86400, description="How long an erased template answers 410 rather than 404, seconds."
    )
    idempotency_ttl_s: PositiveInt = Field(
        86400, description="How long an answer is given again to its `Idempotency-Key`, seconds."
    )


class AuthMode(StrEnum):
    LOOPBACK = "loopback"
    KEYS = "keys"
    GATEWAY = "gateway"


class Lockout(BaseModel):
    """What failed verifications against one stored template lead to."""

    delay_after: int = Field(5, ge=0, description="Failures in a row before each further one has to wait; 0: never.")
    delay_s: PositiveFloat = Field(30.0, description="That wait, seconds.")
    lock_after: int = Field(
        50, ge=0, description="Failures in a row before the template is locked until it is unlocked; 0: never."
    )
    forget_s: PositiveFloat = Field(86400.0, description="Failures are forgotten after so long without one, seconds.")


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(env_prefix="COREFACE_", env_nested_delimiter="__", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address the API listens on, and a worker with a port.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    auth: AuthMode = Field(
        AuthMode.LOOPBACK,
        description="`keys`: every request needs an API key (`coreface keys create`); `loopback`: none does, and the "
        "API listens on loopback addresses only; `gateway`: none does, as what stands in front lets only its own in.",
    )
    audit_log: str | None = Field(
        None,
        description="File of the audit trail, or `-` for standard output; unset: `audit.jsonl` in the state directory.",
    )
    raw_scores_per_day: PositiveInt = Field(
        20, description="Exact scores that one API key may have of one template in a day."
    )
    admin_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of the API's documentation and metrics, which are not on `COREFACE_PORT` then; health is on "
        "both; unset: all on `COREFACE_PORT`.",
    )
    allowed_hosts: CommaList[HostName] | None = Field(
        None,
        description="Names and addresses that the `Host` of a request may have, with commas, without ports; `*`: any; "
        "unset: on loopback `localhost`, `127.0.0.1` and `[::1]`, else any.",
    )
    trusted_proxies: CommaList[IPvAnyNetwork] | None = Field(
        None,
        description="Networks whose `X-Forwarded-For` is believed, with commas, such as `10.0.0.0/8`; unset: none.",
    )
    worker_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which a worker answers health checks and metrics, the second worker of `serve` on the "
        "next one, and so on; unset: none.",
    )
    workers: PositiveInt = Field(1, description="Worker processes that `serve` starts.")
    engine: EngineKind = Field(
        EngineKind.REMOTE,
        description="`remote`: workers over Redis Streams; `local`: the model runs inside the API process.",
    )
    pack: str = Field("opencv-sface", description="Name of the installed pack to serve.")
    calibration: Path | None = Field(
        None,
        description="Calibration file of this site, made by `coreface calibrate`; unset: the pack's own.",
    )
    device: Device = Field(
        Device.AUTO,
        description="`cpu`; `cuda` (refuses to start when CUDA does not really run); `auto`: CUDA if it runs.",
    )
    runtime: Runtime = Field(
        Runtime.AUTO,
        description="What runs detector and embedder: on a CPU `openvino` or `onnxruntime`, on a GPU `onnxruntime` "
        "(CUDA) or `tensorrt`; `auto`: on a CPU the faster one for each, on a GPU CUDA.",
    )
    precision: Precision = Field(
        Precision.AUTO,
        description="Of detector and embedder: `float32`; `half`: 16 bits (refuses to start where the hardware has "
        "none); `auto`: 16 bits where they are faster and drift no further than the pack's golden answers allow.",
    )
    threads: int = Field(0, ge=0, description="Threads of one inference session; 0: all cores.")
    batch_size: PositiveInt = Field(
        32, description="Most faces that are embedded together; on a CPU in forward passes of four."
    )
    max_batch_sets: PositiveInt = Field(16, description="Most sets that a worker processes together.")
    state_dir: Path = Field(
        Path("~/.local/state/coreface"),
        description="Packs, embedded store and keys; made with mode 0700.",
    )
    console: bool = Field(True, description="Whether `/console` is there: pages for people over the API.")
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        description="How long the API, told to stop, still takes requests while `/health/ready` answers 503, so that a "
        "balancer takes it out first, seconds.",
    )
    packs_dir: Path | None = Field(None, description="Installed packs; unset: `packs` in the state directory.")
    redis_url: SecretStr | None = Field(
        None, description="Redis 7 or Valkey, `redis://`, `rediss://` or `unix://`; unset: embedded Valkey."
    )
    queue_urls: SecretStr | None = Field(
        None,
        description="Servers that carry sets to workers, URLs with commas between them; unset: `COREFACE_REDIS_URL`.",
    )
    sealing_key: SecretStr | None = Field(
        None,
        description="32 bytes in base64, the same for every process; older keys after it, with commas, still open; "
        "unset: a key file in the state directory.",
    )
    log_level: str = Field("info", description="`debug`, `info`, `warning` or `error`.")
    limits: Limits = Field(default_factory=Limits, description="See below.")
    quality: Quality = Field(default_factory=Quality, description="See below.")
    retention: Retention = Field(default_factory=Retention, description="See below.")
    lockout: Lockout = Field(default_factory=Lockout, description="See below.")

    @property
    def state_path(self) -> Path:
        """The state directory, `~` resolved."""
        return self.state_dir.expanduser()

    @property
    def audit_sink(self) -> str:
        """Where audit lines go: a path, or `-`."""
        return str(self.state_path / "audit.jsonl") if self.audit_log is None else self.audit_log

    @property
    def queue_url_list(self) -> list[str]:
        """The servers between API and workers, at least one where there is a Redis URL."""
        urls = self.queue_urls or self.redis_url
        return [] if urls is None else _split(urls.get_secret_value())

    @property
    def calibration_path(self) -> Path | None:
        """The site's calibration, `~` resolved."""
        return None if self.calibration is None else self.calibration.expanduser()

    @property
    def tensorrt_path(self) -> Path:
        """Where TensorRT keeps what it builds for the GPU of this machine."""
        return self.state_path / "tensorrt"

    @property
    def packs_path(self) -> Path:
        """Where installed packs lie, one directory each."""
        return self.state_path / "packs" if self.packs_dir is None else self.packs_dir.expanduser()


class TelemetrySettings(BaseSettings):
    """What of OpenTelemetry's own variables decides whether there are traces; the rest is read by its exporter."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", extra="ignore", frozen=True)

    sdk_disabled: str = ""
    traces_exporter: str = "otlp"
    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    exporter_otlp_protocol: str = ""
    exporter_otlp_traces_protocol: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether spans are to be sent anywhere."""
        is_off = self.sdk_disabled.strip().lower() == "true" or self.traces_exporter.strip().lower() == "none"
        return not is_off and bool(self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint)

    @property
    def obstacle(self) -> str | None:
        """Why they cannot be, where they are."""
        if not self.is_wanted:
            return None
        if self.traces_exporter.strip().lower() != "otlp":
            return f"OTEL_TRACES_EXPORTER is {self.traces_exporter!r}; `otlp` is what there is"
        protocol = self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol or "http/protobuf"
        return (
            None if protocol == "http/protobuf" else f"the protocol is {protocol!r}; `http/protobuf` is what there is"
        )

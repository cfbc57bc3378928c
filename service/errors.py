"""One error tree. Each leaf has a stable `code`, an HTTP status and a title; nothing else maps errors.

    CorefaceError
    +- RequestError                        what is wrong with the request
    |  +- InvalidRequestError              400 invalid_request
    |  +- InvalidIdempotencyKeyError       400 invalid_idempotency_key
    |  +- UnsupportedContentTypeError      415 unsupported_content_type
    |  +- SlowRequestError                 408 request_timeout
    |  +- RequestTooLargeError             413 request_too_large
    |  +- TooManySamplesError              413 too_many_samples
    |  +- MisdirectedRequestError          421 misdirected_request
    |  +- NoSamplesError                   422 no_samples
    |  +- NoUsableSampleError              422 no_usable_sample       (with the report of every sample)
    |  +- InconsistentSetError             422 inconsistent_set       (with the report of every sample)
    |  +- ConsistencyUnavailableError      422 consistency_unavailable
    |  +- SamplesMismatchError             422 samples_mismatch
    |  +- InvalidVectorError               422 invalid_vector
    |  +- InvalidSealedTemplateError       422 invalid_sealed_template
    |  +- SealedTemplateExpiredError       422 sealed_template_expired
    |  +- UnknownOperatingPointError       422 unknown_operating_point
    |  +- UnsupportedOperatingPointError   422 unsupported_operating_point   (too few data behind it)
    |  +- IdempotencyKeyReusedError        422 idempotency_key_reused
    |  +- TemplateNotFoundError            404 template_not_found
    |  +- TemplateErasedError              410 template_erased
    |  +- FingerprintMismatchError         409 fingerprint_mismatch
    |  +- UnauthenticatedError             401 unauthenticated        (with WWW-Authenticate)
    |  +- InsufficientScopeError           403 insufficient_scope
    |  +- TemplateLockedError              423 template_locked
    +- ServiceError                        what is wrong with the service
    |  +- OverloadedError                  429 overloaded             (with Retry-After)
    |  +- QuotaExceededError               429 quota_exceeded         (with Retry-After)
    |  +- ScoreBudgetSpentError            429 score_budget_spent     (with Retry-After)
    |  +- VerificationDelayedError         429 verification_delayed   (with Retry-After)
    |  +- AuditUnavailableError            503 audit_unavailable      (with Retry-After)
    |  +- NotReadyError                    503 not_ready              (with Retry-After)
    |  +- StoreUnavailableError            503 store_unavailable      (with Retry-After)
    |  +- TooManyConnectionsError          503 too_many_connections   (with Retry-After)
    |  +- DeadlineExceededError            504 deadline_exceeded
    |  +- InferenceFailedError             500 inference_failed
    |  +- OutOfMemoryError                 503 out_of_memory          (even for one picture; Retry-After)
    |  +- SetQuarantinedError              422 set_quarantined        (the set killed its workers)
    +- SetupError                          refuses to start; for the operator, never over HTTP
       +- PackError                        pack_invalid
       +- PackNotInstalledError            pack_not_installed
       +- LicenseNotAcceptedError          license_not_accepted
       +- DeviceUnavailableError           device_unavailable
       +- DriftError                       drift                  (a network answers something else here)
       +- EmbeddedStoreError               embedded_store_failed
       +- InvalidSealingKeyError           invalid_sealing_key
       +- CalibrationError                 calibration_unsupported
       +- DecoderMissingError              decoder_missing

A bad sample is no error: it is a `RejectedSample` with a reason, and the rest of its set goes on.
Inside `vision`, `SampleRejectedError` carries that reason up to the pipeline and no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from service.types import RejectionReason, SampleReport


class CorefaceError(Exception):
    """Root. `detail` is one sentence that says what to do; it never holds image bytes, vectors or keys."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SampleRejectedError(Exception):
    """A sample that cannot go on, with the reason. Never leaves the pipeline."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class RequestError(CorefaceError):
    code = "invalid_request"
    status = 400
    title = "Invalid request"
    side: Literal["reference", "probe"] | None = None
    """The side of a comparison that is at fault."""

    def at_side(self, side: Literal["reference", "probe"]) -> Self:
        """The same error, said of one side. A copy, because several callers may wait for one template."""
        error = type(self).__new__(type(self))
        error.args = self.args
        error.__dict__.update(self.__dict__, side=side)
        return error


class InvalidRequestError(RequestError):
    pass


class InvalidIdempotencyKeyError(RequestError):
    code = "invalid_idempotency_key"
    title = "Invalid idempotency key"


class UnsupportedContentTypeError(RequestError):
    code = "unsupported_content_type"
    status = 415
    title = "Unsupported content type"


class SlowRequestError(RequestError):
    code = "request_timeout"
    status = 408
    title = "Request did not arrive in time"


class RequestTooLargeError(RequestError):
    code = "request_too_large"
    status = 413
    title = "Request too large"


class TooManySamplesError(RequestError):
    code = "too_many_samples"
    status = 413
    title = "Too many samples in one set"


class MisdirectedRequestError(RequestError):
    code = "misdirected_request"
    status = 421
    title = "Not a name of this service"


class NoSamplesError(RequestError):
    code = "no_samples"
    status = 422
    title = "No samples in the request"


class RefusedSetError(RequestError):
    """No template was made of a set; `reports` says why, sample by sample."""

    status = 422

    def __init__(self, detail: str, reports: Sequence[SampleReport]) -> None:
        super().__init__(detail)
        self.reports = tuple(reports)


class NoUsableSampleError(RefusedSetError):
    code = "no_usable_sample"
    title = "No usable sample"


class InconsistentSetError(RefusedSetError):
    code = "inconsistent_set"
    title = "Faces of more than one person"


class ConsistencyUnavailableError(RequestError):
    """A policy asks whether faces agree, and the pack cannot tell."""

    code = "consistency_unavailable"
    status = 422
    title = "This pack cannot tell people apart within a set"


class SamplesMismatchError(RequestError):
    code = "samples_mismatch"
    status = 422
    title = "Not the samples of this template"


class InvalidVectorError(RequestError):
    code = "invalid_vector"
    status = 422
    title = "Invalid vector"


class InvalidSealedTemplateError(RequestError):
    code = "invalid_sealed_template"
    status = 422
    title = "Invalid sealed template"


class SealedTemplateExpiredError(RequestError):
    code = "sealed_template_expired"
    status = 422
    title = "Sealed template expired"


class UnknownOperatingPointError(RequestError):
    code = "unknown_operating_point"
    status = 422
    title = "Unknown operating point"


class UnsupportedOperatingPointError(RequestError):
    code = "unsupported_operating_point"
    status = 422
    title = "Operating point without enough data"


class IdempotencyKeyReusedError(RequestError):
    code = "idempotency_key_reused"
    status = 422
    title = "Idempotency key of another request"


class TemplateNotFoundError(RequestError):
    code = "template_not_found"
    status = 404
    title = "Template not found"


class TemplateErasedError(RequestError):
    code = "template_erased"
    status = 410
    title = "Template erased"


class FingerprintMismatchError(RequestError):
    code = "fingerprint_mismatch"
    status = 409
    title = "Made by another pack"


class UnauthenticatedError(RequestError):
    code = "unauthenticated"
    status = 401
    title = "No valid API key"


class InsufficientScopeError(RequestError):
    code = "insufficient_scope"
    status = 403
    title = "The API key does not allow this"


class TemplateLockedError(RequestError):
    code = "template_locked"
    status = 423
    title = "Too many failed verifications"


class ServiceError(CorefaceError):
    retry_after_s: int | None = None
    """Where given, the Retry-After header, seconds."""


class LaterError(ServiceError):
    """The same request may be answered later."""

    status = 429
    retry_after_s = 1

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class OverloadedError(LaterError):
    code = "overloaded"
    title = "Too much work waiting"


class QuotaExceededError(LaterError):
    code = "quota_exceeded"
    title = "Image quota used up"


class ScoreBudgetSpentError(LaterError):
    code = "score_budget_spent"
    title = "Budget of exact scores used up"


class VerificationDelayedError(LaterError):
    code = "verification_delayed"
    title = "Too many failed verifications in a row"


class AuditUnavailableError(ServiceError):
    code = "audit_unavailable"
    status = 503
    title = "Audit log unavailable"
    retry_after_s = 2


class NotReadyError(ServiceError):
    code = "not_ready"
    status = 503
    title = "Not ready"
    retry_after_s = 2


class StoreUnavailableError(ServiceError):
    code = "store_unavailable"
    status = 503
    title = "Template store unavailable"
    retry_after_s = 2


class TooManyConnectionsError(ServiceError):
    code = "too_many_connections"
    status = 503
    title = "Too many connections"
    retry_after_s = 1


class DeadlineExceededError(ServiceError):
    code = "deadline_exceeded"
    status = 504
    title = "Deadline exceeded"


class InferenceFailedError(ServiceError):
    code = "inference_failed"
    status = 500
    title = "Inference failed"


class OutOfMemoryError(ServiceError):
    code = "out_of_memory"
    status = 503
    title = "Out of memory"
    retry_after_s = 2


class SetQuarantinedError(ServiceError):
    code = "set_quarantined"
    status = 422
    title = "Set quarantined"


class SetupError(CorefaceError):
    code = "setup_failed"
    title = "Cannot start"


class PackError(SetupError):
    code = "pack_invalid"


class PackNotInstalledError(SetupError):
    code = "pack_not_installed"


class LicenseNotAcceptedError(SetupError):
    code = "license_not_accepted"


class DeviceUnavailableError(SetupError):
    code = "device_unavailable"


class DriftError(SetupError):
    code = "drift"


class EmbeddedStoreError(SetupError):
    code = "embedded_store_failed"


class InvalidSealingKeyError(SetupError):
    code = "invalid_sealing_key"


class CalibrationError(SetupError):
    code = "calibration_unsupported"


class DecoderMissingError(SetupError):
    code = "decoder_missing"

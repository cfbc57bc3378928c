"""What a call raises."""

from __future__ import annotations

from typing import Any

from service.api.answers import SampleEntry


class CorefaceUnreachable(Exception):  # noqa: N818 (it says what is the matter)
    """No answer within the deadline, or none that is the service's. Whether the call was carried out is not known;
    sending it again does no harm."""


class CorefaceProblem(Exception):  # noqa: N818
    """The service refused or failed: a problem document (RFC 9457). Never a decision."""

    def __init__(self, status: int, document: dict[str, Any], retry_after_s: float | None) -> None:
        self.status = status
        self.code = str(document.get("code", ""))
        """Stable; see docs/errors.md."""
        self.detail = str(document.get("detail", ""))
        """What to do."""
        self.request_id = str(document.get("request_id", ""))
        """For whoever looks into the service's log."""
        self.side: str | None = document.get("side")
        """Of a comparison: `reference` or `probe`, where it is one of them that is at fault."""
        self.samples = [SampleEntry.model_validate(sample) for sample in document.get("samples", ())]
        """With `no_usable_sample` and `inconsistent_set`: why, one by one."""
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.code}: {self.detail} (request {self.request_id})")

"""Every fuzzed parser by name: a function of bytes that raises for a defect alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fuzzing.body_targets import BODY_TARGETS
from tests.fuzzing.image_targets import IMAGE_TARGETS
from tests.fuzzing.sealed_targets import SEALED_TARGETS

TARGETS: Mapping[str, Callable[[bytes], None]] = {**IMAGE_TARGETS, **SEALED_TARGETS, **BODY_TARGETS}

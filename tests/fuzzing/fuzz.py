"""One parser under a coverage-guided fuzzer: `python -m tests.fuzzing.fuzz TARGET --runs N --seconds S`.

Needs atheris, which the extra `fuzz` brings. Ends with 77 and a file `crash-...`, `timeout-...` or `oom-...` in the
folder of findings where an input made the target raise, take more than ten seconds or more than 2 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import atheris

# Whatever is imported here reports to the fuzzer which branches were taken.
with atheris.instrument_imports(include=["service", "python_multipart", "h11"]):
    from tests.fuzzing.seeds import seeds_of
    from tests.fuzzing.targets import TARGETS

_MOST_BYTES = 8_192
_TIMEOUT_S = 10
_MOST_MEBIBYTES = 2_048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--findings", type=Path, default=Path("build/fuzzing"))
    arguments = parser.parse_args()
    arguments.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coreface-fuzz-") as corpus:
        for seed in seeds_of(arguments.target):
            (Path(corpus) / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        options = [
            f"-runs={arguments.runs}",
            f"-max_total_time={arguments.seconds}",
            f"-max_len={_MOST_BYTES}",
            f"-timeout={_TIMEOUT_S}",
            f"-rss_limit_mb={_MOST_MEBIBYTES}",
            f"-artifact_prefix={arguments.findings}/{arguments.target}-",
            "-print_final_stats=1",
            "-verbosity=1",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], TARGETS[arguments.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

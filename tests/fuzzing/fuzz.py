"""One parser under a coverage-guided fuzzer: `python -m tests.fuzzing.fuzz TARGET --runs N --seconds S`.

Needs atheris, which the extra `fuzz` brings (Linux). An input that makes the target raise, takes more than ten seconds
or more than 2 GB is written to the folder of findings as `TARGET-crash-...`, `-timeout-...` or `-oom-...`, and the exit
status is not 0.
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


def fuzz(target: str, runs: int, seconds: int, findings: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    seeds = seeds_of(target)
    with tempfile.TemporaryDirectory(prefix="coreface-fuzz-") as corpus:
        for seed in seeds:
            (Path(corpus) / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        options = [
            f"-runs={runs}",
            f"-max_total_time={seconds}",
            f"-max_len={min(_MOST_BYTES, 2 * max(map(len, seeds)))}",
            f"-timeout={_TIMEOUT_S}",
            f"-rss_limit_mb={_MOST_MEBIBYTES}",
            f"-artifact_prefix={findings}/{target}-",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], TARGETS[target])
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=60, help="at most")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzzing"))
    arguments = parser.parse_args()
    arguments.findings.mkdir(parents=True, exist_ok=True)
    fuzz(arguments.target, arguments.runs, arguments.seconds, arguments.findings)


if __name__ == "__main__":
    main()

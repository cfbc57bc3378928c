"""Parsers under a coverage-guided fuzzer: `python -m tests.fuzzing.fuzz TARGET --runs N --seconds S`.

Needs atheris, which the extra `fuzz` brings (Linux). `all` takes the targets one after the other and prints a line for
each. Where an input makes a target raise, takes more than ten seconds or more than 2 GB, it is written to the folder
of findings as `TARGET-crash-...`, `-timeout-...` or `-oom-...`, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

# Whatever is imported here reports to the fuzzer which branches were taken.
with atheris.instrument_imports(include=["service", "python_multipart", "h11"]):
    from tests.fuzzing.seeds import seeds_of
    from tests.fuzzing.targets import TARGETS

_ALL = "all"
_MOST_BYTES = 8_192
_TIMEOUT_S = 10
_MOST_MEBIBYTES = 2_048
_STATISTICS = {
    "executions": re.compile(rb"number_of_executed_units: (\d+)"),
    "seconds": re.compile(rb"Done \d+ runs in (\d+) second"),
    "MiB": re.compile(rb"peak_rss_mb: +(\d+)"),
}
"""In what libFuzzer prints at its end."""


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


def fuzz_all(runs: int, seconds: int, findings: Path) -> int:
    """Each target in a process of its own. Returns how many of them have a finding."""
    print(f"{'target':18} {'executions':>10} {'seconds':>8} {'MiB':>5}  finding")
    executions = failed = 0
    for target in TARGETS:
        options = ["--runs", str(runs), "--seconds", str(seconds), "--findings", str(findings)]
        command = [sys.executable, "-m", "tests.fuzzing.fuzz", target, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found = [pattern.search(done.stdout) for pattern in _STATISTICS.values()]
        count, duration, memory = (int(match[1]) if match else 0 for match in found)
        executions += count
        failed += done.returncode != 0
        print(f"{target:18} {count:10} {duration:8} {memory:5}  {done.returncode or '-'}", flush=True)
        if done.returncode:
            (findings / f"{target}.log").write_bytes(done.stdout)
    print(f"{executions} executions, {failed} targets with a finding in {findings}")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[_ALL, *TARGETS])
    parser.add_argument("--runs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seconds", type=int, default=60, help="of each target, at most")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzzing"))
    arguments = parser.parse_args()
    arguments.findings.mkdir(parents=True, exist_ok=True)
    if arguments.target == _ALL:
        return fuzz_all(arguments.runs, arguments.seconds, arguments.findings)
    fuzz(arguments.target, arguments.runs, arguments.seconds, arguments.findings)
    return 0


if __name__ == "__main__":
    sys.exit(main())

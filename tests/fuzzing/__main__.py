"""Every parser under the fuzzer, one after the other: `python -m tests.fuzzing --runs N --seconds S`.

Prints a line for each; the exit status is the number of those with a finding.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzzing.targets import TARGETS

_STATISTICS = {
    "executions": re.compile(rb"number_of_executed_units: (\d+)"),
    "seconds": re.compile(rb"Done \d+ runs in (\d+) second"),
    "MiB": re.compile(rb"peak_rss_mb: +(\d+)"),
}
"""In what libFuzzer prints at its end."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seconds", type=int, default=60, help="of each target, at most")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzzing"))
    arguments = parser.parse_args()
    options = [f"--runs={arguments.runs}", f"--seconds={arguments.seconds}", f"--findings={arguments.findings}"]
    print(f"{'target':18} {'executions':>10} {'seconds':>8} {'MiB':>5}  status")
    executions = failed = 0
    for target in TARGETS:
        command = [sys.executable, "-m", "tests.fuzzing.fuzz", target, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found = [pattern.search(done.stdout) for pattern in _STATISTICS.values()]
        count, seconds, memory = (int(match[1]) if match else 0 for match in found)
        print(f"{target:18} {count:10} {seconds:8} {memory:5}  {done.returncode}", flush=True)
        executions += count
        if done.returncode:
            failed += 1
            (arguments.findings / f"{target}.log").write_bytes(done.stdout)
    print(f"{executions} executions, {failed} targets with findings in {arguments.findings}")
    return failed


if __name__ == "__main__":
    sys.exit(main())

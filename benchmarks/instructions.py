"""Instructions of the hot functions, counted by valgrind: the same on a busy machine as on a quiet one.

`python -m benchmarks.instructions [--update]` compares with `benchmarks/instructions.json`. Each is called N and 2N
times; the difference is what N calls cost, without the interpreter's start.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.hot_functions import hot_functions

KEPT = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.15
_CALLS = 20
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def read_total(summary: str) -> int:
    """Of cachegrind's output file."""
    found = re.search(r"^summary: (\d+)", summary, re.MULTILINE)
    if found is None:
        raise ValueError("no summary line")
    return int(found[1])


def count_instructions(name: str, calls: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "counts"
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={output}"]
        subprocess.run(
            [*command, sys.executable, "-m", "benchmarks.hot_functions", name, str(calls)],
            check=True,
            capture_output=True,
            env={**os.environ, **_ENVIRONMENT},
        )
        return read_total(output.read_text())


def grown(kept: Mapping[str, int], counted: Mapping[str, int]) -> list[str]:
    """What costs more than it did, beyond the tolerance; what is new or gone has to be written down."""
    said = [f"{name} is not in the kept counts." for name in counted.keys() - kept.keys()]
    said += [f"{name} is no longer counted." for name in kept.keys() - counted.keys()]
    for name in sorted(kept.keys() & counted.keys()):
        if counted[name] > kept[name] * (1 + TOLERANCE):
            said.append(f"{name}: {counted[name]:,} instructions, {counted[name] / kept[name]:.2f} times as many.")
    return said


def count_all() -> dict[str, int]:
    """Instructions of one call of each."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed.")
    counted = {}
    for name in hot_functions():
        once, twice = (count_instructions(name, calls) for calls in (_CALLS, 2 * _CALLS))
        counted[name] = (twice - once) // _CALLS
        print(f"{counted[name]:>12,}  {name}", flush=True)
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="keep these counts")
    options = parser.parse_args()
    counted = count_all()
    if options.update:
        KEPT.write_text(json.dumps(counted, indent=1) + "\n")
        return
    said = grown(json.loads(KEPT.read_text()), counted)
    if said:
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    main()

"""Nothing that the service does unpickles anything: weights are ONNX, everything else is JSON, msgpack or text."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import MODULES, ROOT

UNPICKLERS = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "shelve",
    "marshal",
    "dill",
    "cloudpickle",
    "joblib",
    "torch",
}
NUMPY_LOADERS = {"load", "fromfile", "memmap", "loadtxt", "genfromtxt"}
FILES = sorted((ROOT / "service").rglob("*.py"))

WATCH = """
import importlib, pickle, sys
from fractions import Fraction
from pathlib import Path

seen = []
sys.addaudithook(lambda event, arguments: seen.append(arguments) if event == "pickle.find_class" else None)
pickle.loads(pickle.dumps(Fraction(1, 2)))
assert seen, "the watch does not see what is unpickled"
seen.clear()
"""
"""Python's own hook, which the C and the Python unpickler both tell of each class that they look up."""


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_or_calls_what_unpickles(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not UNPICKLERS & set(imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}
            called = ast.unparse(node.func)
            assert called not in {f"{numpy}.{loader}" for numpy in ("np", "numpy") for loader in NUMPY_LOADERS}


def test_importing_the_service_unpickles_nothing() -> None:
    run(f"for name in {MODULES!r}: importlib.import_module(name)\n")


def test_loading_and_running_a_pack_unpickles_nothing(default_pack_path: Path) -> None:
    run(
        "from service.packs.verification import verify_pack\n"
        f"assert verify_pack(Path({str(default_pack_path)!r})).name == 'opencv-sface'\n"
    )


def run(what: str) -> None:
    program = f"{WATCH}{what}\nsys.exit(f'unpickled: {{seen}}' if seen else 0)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

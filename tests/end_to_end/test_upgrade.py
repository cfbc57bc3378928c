"""`coreface upgrade` on a store with templates of the default pack, to one with another aggregator."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from pathlib import Path

import pytest

from service.cli.main import run
from service.runtime.manifest import Manifest
from service.runtime.pack import Pack, file_sha256, load_pack
from service.settings import Settings
from service.store.connection import connect_redis
from service.store.sealing import load_key_ring
from service.store.template_store import RedisTemplateStore
from service.types import ConsistencyPolicy, RejectionReason, SetPolicies, Template

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("upgrade")]

FAITHFUL = Path(__file__).parents[2] / "models" / "evaluation" / "faithful" / "opencv-sface.onnx"


@pytest.fixture
def packs(tmp_path: Path, default_pack_path: Path) -> Path:
    """The default pack, `other-aggregator` with the published fusion, and `other-detector`."""
    root = tmp_path / "state" / "packs"
    for name in ("opencv-sface", "other-aggregator", "other-detector"):
        shutil.copytree(default_pack_path, root / name)
        values = json.loads((root / name / "manifest.json").read_text())
        values["name"] = name
        if name == "other-aggregator":
            shutil.copy(FAITHFUL, root / name / values["aggregator"]["file"])
            values["aggregator"]["sha256"] = file_sha256(FAITHFUL)
        if name == "other-detector":
            values["detector"]["score_threshold"] = 0.5
        if name != "opencv-sface":
            (root / name / "calibration.json").unlink()
        (root / name / "manifest.json").write_text(json.dumps(values))
    return root


def test_packs_that_differ_in_the_aggregator_alone_share_their_embeddings(packs: Path) -> None:
    manifests = {path.name: load_pack(path).manifest for path in packs.iterdir()}
    default, aggregator, detector = (manifests[name] for name in ("opencv-sface", "other-aggregator", "other-detector"))
    assert default.embedding_fingerprint == aggregator.embedding_fingerprint != detector.embedding_fingerprint
    assert len({manifest.fingerprint for manifest in manifests.values()}) == 3
    assert isinstance(default, Manifest)


WARN = SetPolicies()


async def _enrol(
    settings: Settings, pack: Pack, url: str, sets: list[list[Path]], policies: SetPolicies = WARN
) -> list[Template]:
    from service.assembly import build_local_engine
    from service.pipeline.template_creation import TemplateCreator
    from service.policies import creation_policy, quality_scale

    redis = connect_redis(url, timeout_s=10.0)
    store = RedisTemplateStore(redis, load_key_ring(settings), settings.retention)
    engine = build_local_engine(pack, settings)
    await engine.start()
    scale = quality_scale(pack.calibration)
    creator = TemplateCreator(
        engine,
        store,
        pack.fingerprint,
        creation_policy(settings, scale),
        embedding_fingerprint=pack.manifest.embedding_fingerprint,
        quality_scale=scale,
    )
    try:
        return [
            (await creator.create([path.read_bytes() for path in paths], policies, subject="s")).template
            for paths in sets
        ]
    finally:
        await engine.stop()
        await redis.aclose()


async def _look(settings: Settings, url: str, ids: list[str]) -> list[Template | Exception]:
    redis = connect_redis(url, timeout_s=10.0)
    try:
        found = await RedisTemplateStore(redis, load_key_ring(settings), settings.retention).get_many(ids)
        return list(found.values())
    finally:
        await redis.aclose()


@pytest.fixture
def settings(packs: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the commands of a test read them from the environment."""
    monkeypatch.setenv("COREFACE_STATE_DIR", str(packs.parent))
    monkeypatch.setenv("COREFACE_SEALING_KEY", base64.b64encode(bytes(range(32))).decode())
    monkeypatch.setenv("COREFACE_REDIS_URL", valkey_url)
    return Settings()


def test_templates_become_those_of_the_new_pack(
    packs: Path,
    settings: Settings,
    valkey_url: str,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shared_data / "lfw"
    people = [sorted((folder / name).iterdir())[:4] for name in ("Hans_Blix", "Tony_Blair")]
    default, other = load_pack(packs / "opencv-sface"), load_pack(packs / "other-aggregator")
    kept = asyncio.run(_enrol(settings, default, valkey_url, people))
    ids = [template.template_id for template in kept]

    assert run(["upgrade", "--to", "other-detector", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["needs_images"] == 2
    assert told["needs_images"] == sorted(ids)

    assert run(["upgrade", "--to", "other-aggregator", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["upgraded"] == 2
    assert run(["upgrade", "--to", "other-aggregator"]) == 0
    assert "upgraded" in capsys.readouterr().out
    after = asyncio.run(_look(settings, valkey_url, ids))
    built_at_once = asyncio.run(_enrol(settings, other, valkey_url, people))
    for before, upgraded, fresh in zip(kept, after, built_at_once, strict=True):
        assert isinstance(upgraded, Template)
        assert upgraded.fingerprint == other.fingerprint != before.fingerprint
        assert fresh.template_id == upgraded.template_id, "the very set is found under the upgraded template"
        assert upgraded.vector.tolist() == fresh.vector.tolist() != before.vector.tolist()
        assert (upgraded.subject, upgraded.expires_at) == ("s", before.expires_at)

    assert run(["upgrade", "--to", "other-aggregator", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["current"] == 2


def test_a_dropped_stranger_does_not_come_back_in(
    packs: Path,
    settings: Settings,
    valkey_url: str,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`other-aggregator` has no limits of consistency."""
    folder = shared_data / "lfw"
    pictures = [*sorted((folder / "Hans_Blix").iterdir())[:4], folder / "Colin_Powell" / "Colin_Powell_0007.jpg"]
    policies = SetPolicies(consistency=ConsistencyPolicy.DROP)
    [kept] = asyncio.run(_enrol(settings, load_pack(packs / "opencv-sface"), valkey_url, [pictures], policies))
    assert [report.reason for report in kept.reports] == [None] * 4 + [RejectionReason.INCONSISTENT]
    assert run(["upgrade", "--to", "other-aggregator", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["refused"] == [kept.template_id]
    assert told["counts"]["upgraded"] == 0
    [after] = asyncio.run(_look(settings, valkey_url, [kept.template_id]))
    assert isinstance(after, Template)
    assert after.fingerprint == kept.fingerprint
    assert after.vector.tolist() == kept.vector.tolist()


def test_the_embedded_store_is_started_for_the_command(
    packs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COREFACE_STATE_DIR", str(packs.parent))
    packs.parent.chmod(0o700)
    assert run(["upgrade", "--to", "other-aggregator", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["counts"].values()) == {0}
    assert run(["upgrade", "--to", "none"]) == 2
    assert "not installed" in capsys.readouterr().err

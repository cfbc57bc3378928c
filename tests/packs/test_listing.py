"""What an operator sees of packs."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import PackError
from service.packs.installation import install_pack
from service.packs.listing import list_packs


@pytest.mark.usefixtures("definitions")
def test_known_and_installed(packs_path: Path, wheel: Path) -> None:
    before = {listing.name: listing for listing in list_packs(packs_path)}
    assert not before["tiny"].is_installed
    assert before["tiny"].version == "1.0.0"
    assert before["buffalo_l"].license.acceptance_required
    pack = install_pack("tiny", packs_path, from_directory=wheel.parent)
    after = list_packs(packs_path)
    assert [listing.name for listing in after] == sorted(before)
    [tiny] = [listing for listing in after if listing.is_installed]
    assert (tiny.name, tiny.fingerprint) == ("tiny", pack.fingerprint)


@pytest.mark.usefixtures("definitions")
def test_a_pack_of_the_operators_own_is_listed(packs_path: Path, wheel: Path) -> None:
    install_pack("tiny", packs_path, from_directory=wheel.parent)
    manifest = (packs_path / "tiny" / "manifest.json").read_text().replace('"name": "tiny"', '"name": "own"')
    (packs_path / "own").mkdir()
    (packs_path / "own" / "manifest.json").write_text(manifest)
    assert [listing.name for listing in list_packs(packs_path) if listing.is_installed] == ["own", "tiny"]


@pytest.mark.usefixtures("definitions")
def test_what_is_being_built_is_not_listed_and_a_broken_manifest_is_named(packs_path: Path) -> None:
    for name in (".building-abc", "odd"):
        (packs_path / name).mkdir(parents=True)
        (packs_path / name / "manifest.json").write_text("{}")
    with pytest.raises(PackError, match="'odd'"):
        list_packs(packs_path)

"""The site of the documentation: built whole, every link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("site")


class Reader(HTMLParser):
    """Ids of a page, and what it leads to and loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.leads: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attributes if value is not None}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        if tag in ("img", "script") and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Reader]:
    """Every page by its path."""
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(built)]
    done = subprocess.run(
        [*command, "--config-file", str(ROOT / ".mkdocs" / "mkdocs.yml")],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    pages: dict[Path, Reader] = {}
    for path in built.rglob("*.html"):
        pages[path] = Reader()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def local(page: Path, addresses: list[str]) -> Iterator[tuple[Path, str]]:
    for address in addresses:
        parts = urlsplit(address)
        if not parts.scheme and not parts.netloc:
            yield (page.parent / unquote(parts.path)).resolve() if parts.path else page, unquote(parts.fragment)


def test_every_link_leads_somewhere(site: dict[Path, Reader]) -> None:
    broken = []
    for page, read in site.items():
        if page.name == "404.html":
            continue  # Shown at any address, with links from the root.
        for target, fragment in local(page, [*read.leads, *read.loads]):
            known = site.get(target)
            if not target.exists() or (fragment and known is not None and fragment not in known.ids):
                broken.append(f"{page.name}: {target.name}#{fragment}")
    assert broken == []


def test_nothing_is_loaded_from_another_host(site: dict[Path, Reader]) -> None:
    assert [address for read in site.values() for address in read.loads if urlsplit(address).netloc] == []


def test_what_readers_look_for_is_there(site: dict[Path, Reader]) -> None:
    names = {path.relative_to(next(iter(site)).anchor).as_posix() for path in site}
    for wanted in (
        "tutorial",
        "how-to/kubernetes",
        "how-to/erase",
        "reference/routes",
        "method",
        "CHANGELOG",
        "decisions/index",
    ):
        assert any(name.endswith(f"/{wanted}.html") for name in names), wanted
    [routes] = [read for path, read in site.items() if path.name == "routes.html"]
    assert {"post-v1templates", "verifyanswer"} <= routes.ids


def test_the_readme_fits_two_screens() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 105
    assert text.count("![") <= 1

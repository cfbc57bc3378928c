"""Whatever the pages on security say is tested, and is where they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text()
PAGES = [ROOT / "docs" / "threat-model.md", ROOT / "docs" / "supply-chain.md", ROOT / "SECURITY.md"]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", "".join(page.read_text() for page in PAGES))))
PLACES = sorted(set(re.findall(r"`((?:service|deploy|docker|requirements)(?:/[\w./-]+)?)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| \d+a? \|", line)]


@pytest.mark.parametrize("name", TESTS)
def test_every_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    text = (ROOT / path).read_text()
    assert not function or re.search(rf"^ *(async )?def {function}\(", text, re.MULTILINE)


@pytest.mark.parametrize("name", PLACES)
def test_every_place_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).exists()


def test_every_threat_has_its_row_and_its_test() -> None:
    numbers = [int(row.split("|")[1].strip().rstrip("a")) for row in ROWS]
    assert sorted(set(numbers)) == list(range(1, 31))
    for row in ROWS:
        proof = row.split("|")[5].strip()
        assert "`tests/" in proof, row


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", path.read_text())
    assert links
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_readme_leads_here() -> None:
    links = set(re.findall(r"\]\(([^)#\s]+)\)", (ROOT / "README.md").read_text()))
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= links

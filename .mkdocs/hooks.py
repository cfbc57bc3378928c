"""Pages that the site makes of what lies elsewhere in the repository, and of the OpenAPI document.

The documents themselves link to each other as files of the repository, so that they can be read there too; links that
leave `docs` are led to the pages made here, or to the repository's own file names as text.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_MADE_OF = {
    "index.md": "README.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "model-cards/opencv-sface.md": "models/packs/opencv-sface/MODEL_CARD.md",
    "model-cards/buffalo_s.md": "models/packs/buffalo_s/MODEL_CARD.md",
}
"""Page of the site: file of the repository."""
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)|!\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in _MADE_OF.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    routes = routes_page(json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference/routes.md", content=routes))
    files.append(File.generated(config, "decisions/index.md", content=decisions_page(ROOT / "docs" / "decisions")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site."""
    place = page.file.src_uri
    source = _MADE_OF.get(place, f"docs/{place}")

    def lead(found: re.Match[str]) -> str:
        text, target, anchor, picture, address = found.groups()
        target = target or address
        if target.startswith(("http:", "https:", "mailto:")):
            return found[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        led = _page_of(wanted)
        if led is None:
            return f"{text} (`{wanted}`)"  # Of the repository alone.
        there = posixpath.relpath(led, posixpath.dirname(place) or ".")
        return f"![{picture}]({there})" if address else f"[{text}]({there}{anchor or ''})"

    return _LINK.sub(lead, markdown)


def _page_of(wanted: str) -> str | None:
    """Of the site, for a file of the repository."""
    for page, source in _MADE_OF.items():
        if wanted == source:
            return page
    if wanted in ("docs/decisions", "docs/evaluation"):
        return f"{wanted.removeprefix('docs/')}/{'index.md' if wanted.endswith('decisions') else 'README.md'}"
    if wanted == "docs/openapi.json":
        return "reference/routes.md"
    if wanted.startswith("docs/") and not wanted.endswith(".json"):
        return wanted.removeprefix("docs/")
    return None


def decisions_page(folder: Path) -> str:
    """A list of the decision records, by number."""
    lines = ["# Decisions", ""]
    for path in sorted(folder.glob("0*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def routes_page(document: dict[str, Any]) -> str:
    """Every route with its parameters, bodies and answers."""
    components = document["components"]

    def resolved(value: Any) -> Any:
        """Parameters and answers that stand apart, put in their places; shapes stay names."""
        if isinstance(value, list):
            return [resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        where = value.get("$ref", "").split("/")
        if len(where) == 4 and where[2] in ("parameters", "responses"):
            return resolved(components[where[2]][where[3]])
        return {name: resolved(each) for name, each in value.items()}

    document = resolved(document)
    lines = [
        "# Every route",
        "",
        "Made of `openapi.json`, which `coreface openapi` prints. What they are for: [HTTP API](../api.md).",
        "",
    ]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            lines += [
                f"## `{method.upper()} {path}`",
                "",
                f"{route['summary']}. {route.get('description', '')}".strip(),
                "",
            ]
            lines += _parameters(route)
            lines += _bodies(route)
            lines += ["| answer | |", "|---|---|"]
            for status, answer in sorted(route["responses"].items()):
                lines.append(f"| {status} | {_answer(answer)} |")
            lines.append("")
    lines += ["# Shapes", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _shape(name, schema)
    return "\n".join(lines) + "\n"


def _parameters(route: dict[str, Any]) -> list[str]:
    given = route.get("parameters", [])
    if not given:
        return []
    rows = [
        f"| `{each['name']}` | {each['in']} | {_kind(each['schema'])} | {_cell(each.get('description', ''))} |"
        for each in given
    ]
    return ["| parameter | in | type | |", "|---|---|---|---|", *rows, ""]


def _bodies(route: dict[str, Any]) -> list[str]:
    content = route.get("requestBody", {}).get("content", {})
    if not content:
        return []
    kinds = [f"`{kind}` ({_kind(body['schema'])})" for kind, body in content.items()]
    return [f"Body: {', '.join(kinds)}.", ""]


def _answer(answer: dict[str, Any]) -> str:
    content = answer.get("content", {})
    kinds = ", ".join(_kind(body.get("schema", {})) or f"`{kind}`" for kind, body in content.items())
    return _cell(f"{answer['description']} {kinds}".strip())


def _shape(name: str, schema: dict[str, Any]) -> list[str]:
    lines = [f"### {name}", ""]
    if schema.get("description"):
        lines += [schema["description"], ""]
    if "enum" in schema:
        return [*lines, ", ".join(f"`{value}`" for value in schema["enum"]), ""]
    needed = set(schema.get("required", ()))
    rows = []
    for member, kind in schema.get("properties", {}).items():
        optional = "" if member in needed else " (may be left out)"
        rows.append(f"| `{member}`{optional} | {_kind(kind)} | {_cell(kind.get('description', ''))} |")
    return [*lines, "| member | type | |", "|---|---|---|", *rows, ""] if rows else lines


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(filter(None, (_kind(each) for each in schema[several])))
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {})) or 'values'}"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return f"`{schema['const']}`" if "const" in schema else kind


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

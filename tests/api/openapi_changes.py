"""What in a new OpenAPI document would break a client that was written for an old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_TIGHTER_WHEN_LOWER = ("maximum", "maxLength", "maxItems", "exclusiveMaximum")
_TIGHTER_WHEN_HIGHER = ("minimum", "minLength", "minItems", "exclusiveMinimum")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """One sentence each; none where every old client goes on."""
    return list(_changes(_Document(old), _Document(new)))


class _Document:
    def __init__(self, document: Schema) -> None:
        self.paths: Schema = document["paths"]
        self._components = document.get("components", {})

    def resolved(self, node: Schema) -> Schema:
        reference = node.get("$ref")
        if reference is None:
            return node
        _, _, kind, name = reference.split("/")
        found: Schema = self._components[kind][name]
        return self.resolved(found)


def _changes(old: _Document, new: _Document) -> Iterator[str]:
    for path, operations in old.paths.items():
        for method, before in operations.items():
            where = f"{method.upper()} {path}"
            after = new.paths.get(path, {}).get(method)
            if after is None:
                yield f"{where} is gone"
                continue
            yield from _parameters(where, old, before, new, after)
            yield from _bodies(where, old, before, new, after)
            yield from _answers(where, old, before, new, after)


def _parameters(where: str, old: _Document, before: Schema, new: _Document, after: Schema) -> Iterator[str]:
    def by_name(document: _Document, operation: Schema) -> dict[tuple[str, str], Schema]:
        found = [document.resolved(each) for each in operation.get("parameters", ())]
        return {(each["in"], each["name"]): each for each in found}

    known, now = by_name(old, before), by_name(new, after)
    for key in known.keys() - now.keys():
        yield f"{where}: the parameter {key[1]} is gone"
    for key, parameter in now.items():
        if parameter.get("required") and not known.get(key, {}).get("required"):
            yield f"{where}: the parameter {key[1]} is needed now"
        if key in known:
            yield from _narrower(f"{where}: {key[1]}", old, known[key]["schema"], new, parameter["schema"], set())


def _bodies(where: str, old: _Document, before: Schema, new: _Document, after: Schema) -> Iterator[str]:
    known, now = (operation.get("requestBody", {}).get("content", {}) for operation in (before, after))
    for kind, body in known.items():
        if kind not in now:
            yield f"{where}: {kind} is no body any more"
        else:
            yield from _narrower(f"{where}: body", old, body["schema"], new, now[kind]["schema"], set())
    if after.get("requestBody", {}).get("required") and not before.get("requestBody"):
        yield f"{where}: a body is needed now"


def _answers(where: str, old: _Document, before: Schema, new: _Document, after: Schema) -> Iterator[str]:
    for status, answer in before["responses"].items():
        if not status.startswith("2"):
            continue
        now = after["responses"].get(status)
        if now is None:
            yield f"{where}: {status} is answered no more"
            continue
        for kind, content in old.resolved(answer).get("content", {}).items():
            found = new.resolved(now).get("content", {}).get(kind)
            if found is None:
                yield f"{where}: {status} has no {kind} any more"
            elif "schema" in content:
                yield from _wider(f"{where}: {status}", old, content["schema"], new, found.get("schema", {}), set())


def _narrower(
    where: str, old: _Document, before: Schema, new: _Document, after: Schema, seen: set[str]
) -> Iterator[str]:
    """Requests: what was taken and is not any more."""
    if _is_known(before, seen):
        return
    before, after = old.resolved(before), new.resolved(after)
    if _types(before) - _types(after) and _types(after):
        yield f"{where} takes {sorted(_types(before) - _types(after))} no more"
    for value in set(before.get("enum", ())) - set(after.get("enum", before.get("enum", ()))):
        yield f"{where} takes {value!r} no more"
    for limits, worse in ((_TIGHTER_WHEN_LOWER, lambda a, b: b < a), (_TIGHTER_WHEN_HIGHER, lambda a, b: b > a)):
        for limit in limits:
            if limit in after and (limit not in before or worse(before[limit], after[limit])):
                yield f"{where}: {limit} is {after[limit]}, was {before.get(limit, 'none')}"
    if after.get("pattern") != before.get("pattern") and "pattern" in after:
        yield f"{where} has another pattern"
    for member in set(after.get("required", ())) - set(before.get("required", ())):
        yield f"{where}.{member} is needed now"
    for member, schema in before.get("properties", {}).items():
        if member not in after.get("properties", {}):
            yield f"{where}.{member} is taken no more"
        else:
            yield from _narrower(f"{where}.{member}", old, schema, new, after["properties"][member], seen)
    yield from _inside(_narrower, where, old, before, new, after, seen)


def _wider(where: str, old: _Document, before: Schema, new: _Document, after: Schema, seen: set[str]) -> Iterator[str]:
    """Answers: what a client counts on and may not get any more."""
    if _is_known(before, seen):
        return
    before, after = old.resolved(before), new.resolved(after)
    if _types(after) - _types(before) and _types(before):
        yield f"{where} may be {sorted(_types(after) - _types(before))} now"
    for member, schema in before.get("properties", {}).items():
        if member not in after.get("properties", {}):
            yield f"{where}.{member} is gone"
            continue
        if member in before.get("required", ()) and member not in after.get("required", ()):
            yield f"{where}.{member} may be left out now"
        yield from _wider(f"{where}.{member}", old, schema, new, after["properties"][member], seen)
    yield from _inside(_wider, where, old, before, new, after, seen)


def _inside(
    compare: Any, where: str, old: _Document, before: Schema, new: _Document, after: Schema, seen: set[str]
) -> Iterator[str]:
    if "items" in before and "items" in after:
        yield from compare(f"{where}[]", old, before["items"], new, after["items"], seen)
    for several in ("anyOf", "oneOf", "allOf"):
        for one, other in zip(before.get(several, ()), after.get(several, ()), strict=False):
            yield from compare(where, old, one, new, other, seen)


def _types(schema: Schema) -> set[str]:
    """Of the values, those of `null` included; empty where anything goes."""
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for several in ("anyOf", "oneOf"):
        for each in schema.get(several, ()):
            found |= _types(each) or {each.get("$ref", "anything")}
    return found


def _is_known(schema: Schema, seen: set[str]) -> bool:
    """Whether this shape was compared already, or is being compared."""
    reference = schema.get("$ref")
    if reference is None:
        return False
    if reference in seen:
        return True
    seen.add(reference)
    return False

"""`docs/logs.md` against the calls in the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "logs.md"
LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
OF_EXCEPTIONS = {"error", "frames"}
"""What `exc_info` and `describe_exception` become."""

Events = dict[str, tuple[set[str], set[str]]]
"""Levels and members, by event."""


def is_logger(node: ast.expr) -> bool:
    """`_log`, `self._log`, `structlog.stdlib.get_logger(...)`: every logger of the service is called so."""
    match node:
        case ast.Name(id="_log") | ast.Attribute(attr="_log"):
            return True
        case ast.Call(func=ast.Attribute(attr="get_logger")):
            return True
        case _:
            return False


def members_of(call: ast.Call) -> set[str]:
    names: set[str] = set()
    for keyword in call.keywords:
        names |= OF_EXCEPTIONS if keyword.arg in (None, "exc_info") else {str(keyword.arg)}
    return names


def events_of_the_code() -> Events:
    events: Events = defaultdict(lambda: (set(), set()))
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_logger(node.func.value)):
                continue
            if node.func.attr not in LEVELS | {"log"}:
                continue  # the audit trail's, which has a table of its own
            level, arguments = node.func.attr, node.args
            levels = {level}
            if level == "log":
                levels = {name.lower() for name in re.findall(r"logging\.(\w+)", ast.unparse(arguments[0]))}
                arguments = arguments[1:]
            (event,) = arguments
            assert levels and levels <= LEVELS, ast.unparse(node)
            assert isinstance(event, ast.Constant), f"{path.name}: {ast.unparse(node)} has no word of its own"
            events[event.value][0].update(levels)
            events[event.value][1].update(members_of(node))
    return dict(events)


def documented_events() -> Events:
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| (.*?) ?\| .+ \|$", TABLE.read_text(), re.MULTILINE)
    return {
        event: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", members)))
        for event, levels, members in rows
        if set(levels.split(", ")) <= LEVELS
    }


def test_every_event_is_documented_with_its_levels_and_members() -> None:
    assert documented_events() == events_of_the_code()


def test_no_other_logger_is_made() -> None:
    """A logger by another name would log past the table."""
    made = {
        (path.name, ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target))
        for path in (ROOT / "service").rglob("*.py")
        if path.name != "logs.py"  # which sets up the loggers of libraries
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith(("get_logger", "getLogger"))
    }
    assert {name for _, name in made} <= {"_log", "self._log"}
    assert made

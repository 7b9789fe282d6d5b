"""Collects from the source the texts that the program can say: errors, warnings, log lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2] / "target_liveintent"
_LOGGED = {"debug", "info", "warning", "error", "critical", "exception", "_warn_once"}
_SAYERS = {
    *("_comparison", "_explain", "_failures", "_failure", "_reason", "_refusal", "_fail", "_lost"),
    *("_no_identity_hint", "_where", "advice", "lines", "copy_warnings"),
    *("afterwards", "all_late", "describe", "few_conversions", "lost_coverage", "idle_columns"),
    *("missing_columns_message", "new_reason", "nothing_delivered", "other_average", "problems"),
    *("refused_as_a_whole", "refused_last", "similar_columns", "too_many_rejected", "warnings"),
    *("left_out_columns", "all_filtered", "untimely", "_keys_are_positions", "write_config"),
    *("unknown_columns", "unknown_read", "warnings_of", "unmapped_message", "unused_zone"),
}
"""Functions whose texts are said elsewhere."""
_NAMES = {
    *("msg", "why", "_OF_ANOTHER", "_GONE", "_LOCKED", "_WRONG_PROXY", "_COLUMN", "_MAP_OPTIONS"),
    *("_FAULTS", "_SET_UP_FAULTS", "MORE_DESCRIPTORS", "_LATER", "_SLOWER"),
}
"""Names of texts and of tables of them."""
_SILENT = {"charts.py", "facts.py", "advice.py", "markup.py", "page.py"}
"""Files that make the run report: of their texts, only those that they raise are messages."""


def messages() -> dict[str, str]:
    """Return each text, with `…` for what is filled in, and the place of its first use."""
    found: dict[str, str] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "sandbox" in path.relative_to(ROOT).parts and path.name != "cli.py":
            continue  # Its answers to requests are the API's.
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _places(tree, path):
            for text, line in _texts(node):
                if len(re.sub(r"[^A-Za-z]", "", text)) >= 5 and " " in text.strip():
                    found.setdefault(text, f"{path.name}:{line}")
    return found


def _places(tree: ast.AST, path: Path) -> Iterator[ast.AST]:
    """Yield the pieces of code whose texts are messages."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call(args=args)):
                yield from args
            case ast.Call():
                yield from _said_by_a_call(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _NAMES:
                yield value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                name in _NAMES
            ):
                yield value
            case ast.FunctionDef(name=name) if path.name not in _SILENT and (
                name in _SAYERS or name.endswith(("_problems", "_paths"))
            ):
                yield from (statement for statement in node.body if not _is_docstring(statement))


def _said_by_a_call(call: ast.Call) -> list[ast.expr]:
    match call:
        case ast.Call(func=ast.Attribute(attr=name), args=[first, *_]) if name in _LOGGED:
            return [first]
        case ast.Call(
            func=ast.Name(id="refused_as_a_whole" | "_fail" | "failures_named"), args=[first, *_]
        ):
            return [first]
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="found" | "notes"), attr="append"), args=args
        ):
            return args
    return []


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _texts(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the texts in a piece of code, each whole, with its line."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield _plain("".join(parts)), node.lineno
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield _plain(re.sub(r"%[sdr]", "…", node.value)), node.lineno
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def _plain(text: str) -> str:
    return re.sub(r"…(\s*…)*", "…", " ".join(text.split()))

"""Finds out which columns and paths an expression reads, as far as its text shows them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

from target_liveintent.mapping.functions import GET

Path = tuple[str, ...]
"""A column, and the steps into it. The empty path is the whole record."""
Reads = frozenset[frozenset[Path]]
"""What an expression reads: groups of paths, and of each group it needs one. The paths within a
`coalesce` or an `or` are one group; any other path is a group of its own."""
_RECORD_NAMES = {"_", "record"}  # The SDK's names for the record.
_CONDITIONS = (ast.Compare, ast.UnaryOp)


def reads_of(tree: ast.AST, other_names: Collection[str]) -> Reads:
    """Return what an expression reads; nothing if it is nested too deeply.

    Args:
        tree: The expression.
        other_names: The names in it that are not columns: functions, `config` and so on.
    """
    bound = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    try:
        return frozenset(_groups(tree, bound.union(other_names, ["self"])))
    except RecursionError:
        return frozenset()


def _groups(node: ast.AST, others: Collection[str]) -> Iterator[frozenset[Path]]:
    """Yield the groups of paths in a piece of an expression."""
    path = _path(node, others)
    if path is not None:
        yield frozenset([path])
    elif alternatives := _alternatives(node, others):
        groups = (group for one in alternatives for group in _groups(one, others))
        if choices := frozenset(path for group in groups for path in group):
            yield choices
    else:
        for part in _parts(node):
            yield from _groups(part, others)


def _parts(node: ast.AST) -> Iterable[ast.AST]:
    """Return the pieces of an expression; of a method call, the object, but not the name."""
    if not isinstance(node, ast.Call):
        return ast.iter_child_nodes(node)
    called: ast.expr | None = node.func
    if isinstance(node.func, ast.Attribute):
        called = node.func.value
    elif isinstance(node.func, ast.Name):  # A `get` that still is here has a computed path.
        called = ast.Name("record", ast.Load()) if node.func.id == GET else None
    return [*([called] if called else ()), *node.args, *node.keywords]


def _alternatives(node: ast.AST, others: Collection[str]) -> list[ast.expr]:
    """Return the values among which a piece such as `a or b` chooses; empty if it does not."""
    match node:
        case ast.Call(func=ast.Name(id="coalesce"), args=values):
            return values
        case ast.BoolOp(op=ast.Or(), values=values):  # Unless they are conditions.
            return [] if any(isinstance(x, _CONDITIONS) for x in values) else values
        case ast.Call(func=ast.Attribute(attr="get") as method, args=[step, default]):
            value = ast.Call(method, [step], [])
            return [] if _path(value, others) is None else [value, default]
    return []


def _path(node: ast.AST, others: Collection[str]) -> Path | None:
    """Return the path that a piece of an expression reads; None if it does not read one."""
    match node:
        case ast.Name(id=name):
            if name in _RECORD_NAMES:
                return ()
            return None if name in others else (name,)
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(path))]):
            return tuple(path.split(".")) if name == GET else None
        case (
            ast.Call(
                func=ast.Attribute(value=inner, attr="get"),
                args=[ast.Constant(value=str(step))]
                | [ast.Constant(value=str(step)), ast.Constant() | ast.Dict(keys=[])],
            )
            | ast.Subscript(value=inner, slice=ast.Constant(value=str(step)))
            | ast.Attribute(value=inner, attr=step)
        ):
            outer = _path(inner, others)
            return None if outer is None else (*outer, step)
        case ast.BoolOp(op=ast.Or(), values=[inner, ast.Dict(keys=[])]):
            return _path(inner, others)
    return None

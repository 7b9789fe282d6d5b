"""Finds out what an expression reads of a record, as far as its text says."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from target_liveintent.mapping.functions import GET

Path = tuple[str, ...]
"""A column, and the steps into it. The empty path is the whole record."""
_RECORD_NAMES = {"_", "record"}  # The SDK's names for it.
_CONDITIONS = (ast.Compare, ast.UnaryOp)


class Reads(NamedTuple):
    """What an expression reads.

    Attributes:
        paths: What it needs.
        choices: The alternatives of each `coalesce` and `or`, of which it needs one.
    """

    paths: frozenset[Path] = frozenset()
    choices: tuple[tuple[Reads, ...], ...] = ()

    def missing(self, is_known: Callable[[Path], bool]) -> set[Path]:
        """Return the paths that are not known, without those that have an alternative."""
        found = {path for path in self.paths if not is_known(path)}
        for alternatives in self.choices:
            lacking = [one.missing(is_known) for one in alternatives]
            if all(lacking):
                found.update(*lacking)
        return found

    def everything(self) -> set[Path]:
        """Return all paths, those of alternatives as well."""
        found = set(self.paths)
        for alternatives in self.choices:
            found.update(*(one.everything() for one in alternatives))
        return found


def reads_of(tree: ast.AST, other_names: Collection[str]) -> Reads:
    """Return what an expression reads; nothing, if it is nested too deeply to be looked through.

    Args:
        tree: The expression.
        other_names: The names in it that are not columns: functions, `config` and so on.
    """
    bound = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    reader = _Reader(bound.union(other_names, ["self"]))
    try:
        reader.visit(tree)
    except RecursionError:
        return Reads()
    return reader.reads


class _Reader(ast.NodeVisitor):
    """Collects the reads of an expression."""

    def __init__(self, other_names: frozenset[str] | set[str]) -> None:
        self._other_names = other_names
        self._paths: set[Path] = set()
        self._choices: list[tuple[Reads, ...]] = []

    @property
    def reads(self) -> Reads:
        return Reads(frozenset(self._paths), tuple(self._choices))

    def visit(self, node: ast.AST) -> None:
        path = self._path(node)
        if path is not None:
            self._paths.add(path)
        elif alternatives := self._alternatives(node):
            self._choose(alternatives)
        else:
            super().visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Visit the arguments, and what a method is called of; not the name of a function."""
        if isinstance(node.func, ast.Attribute):
            self.visit(node.func.value)
        elif not isinstance(node.func, ast.Name):
            self.visit(node.func)
        elif node.func.id == GET:
            self._paths.add(())  # With a path that is computed.
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)

    def _alternatives(self, node: ast.AST) -> Sequence[ast.expr]:
        """Return the values of which a piece of an expression is one; empty if it has no choice."""
        match node:
            case ast.Call(func=ast.Name(id="coalesce"), args=alternatives):
                return alternatives
            case ast.BoolOp(op=ast.Or(), values=values):  # Unless they are conditions.
                return [] if any(isinstance(x, _CONDITIONS) for x in values) else values
            case ast.Call(func=ast.Attribute(attr="get") as method, args=[step, default]):
                value = ast.Call(method, [step], [])
                return [] if self._path(value) is None else [value, default]
        return []

    def _choose(self, alternatives: Iterable[ast.expr]) -> None:
        """Note alternatives; one that reads nothing, such as a constant, does not count."""
        found = []
        for alternative in alternatives:
            reader = _Reader(self._other_names)
            reader.visit(alternative)
            if reader.reads != Reads():
                found.append(reader.reads)
        self._choices.append(tuple(found))

    def _path(self, node: ast.AST) -> Path | None:
        """Return the path that a piece of an expression reads; None if it does not read one."""
        match node:
            case ast.Name(id=name):
                if name in _RECORD_NAMES:
                    return ()
                return None if name in self._other_names else (name,)
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
                outer = self._path(inner)
                return None if outer is None else (*outer, step)
            case ast.BoolOp(op=ast.Or(), values=[inner, ast.Dict(keys=[])]):
                return self._path(inner)
        return None

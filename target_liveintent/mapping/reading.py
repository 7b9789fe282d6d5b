"""What an expression of a stream map reads, and what it makes of columns that are not there."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Path = tuple[str, ...]
"""A column, and the steps into it."""
_NOTHING: tuple[Any, ...] = (None, {}, [], ())
"""Constants that only let the rest of an expression work, as in `_.get('client', {}).get('id')`."""


class Reading(NamedTuple):
    """What an expression reads: its tree, and the path that each node of it reads, if any."""

    tree: ast.expr
    paths: Mapping[ast.AST, Path]

    def lacks(self, is_absent: Callable[[Path], bool], *, protects: bool = False) -> set[Path]:
        """Return the absent paths for which the expression has no alternative that is there.

        Alternatives are the arguments of a `coalesce`, the sides of an `or`, and the default of
        `_.get`. For an expression that `protects`, a constant is one, too, because with it the
        author says what holds without the column; and each side of an `or` must be false then.
        """
        return _Search(self.paths, is_absent, protects).of(self.tree)

    @property
    def fails_closed(self) -> bool:
        """Whether the expression is certainly not true if the columns that it reads are absent."""
        return _fails_closed(self.tree, self.paths)


class _Search(NamedTuple):
    """The search for what expressions lack; the attributes are those of `Reading.lacks`."""

    paths: Mapping[ast.AST, Path]
    is_absent: Callable[[Path], bool]
    protects: bool

    def of(self, node: ast.AST, *, in_test: bool = False) -> set[Path]:
        """Return what a part lacks. Within a test, such as in a `not`, an `or` is no choice."""
        sides = self._alternatives(node, in_test=in_test)
        lacking = [self.of(side, in_test=in_test) for side in sides]
        if (path := self.paths.get(node)) is not None:
            lacking.append({path} if self.is_absent(path) else set())
        if lacking:
            return set().union(*lacking) if all(lacking) else set()
        tests, children = _tests(node), ast.iter_child_nodes(node)
        return set().union(*(self.of(one, in_test=in_test or one in tests) for one in children))

    def _alternatives(self, node: ast.AST, *, in_test: bool) -> list[ast.expr]:
        sides: Sequence[ast.expr] = ()
        nothing = _NOTHING
        match node:
            case ast.Call(func=ast.Name(id="coalesce"), args=arguments):
                sides = arguments
            case ast.Call(args=[_, default]) if node in self.paths:
                sides = [default]
            case ast.BoolOp(op=ast.Or(), values=values) if not in_test:
                # (`(x or '')` and `(x or 0)` are how to write that x may be null.)
                sides, nothing = values, (*_NOTHING, "", 0, False)
                if not all(map(self._is_choice, sides)):
                    return []
        constants = [(side, _constant(side, ...)) for side in sides]
        return [
            side
            for side, value in constants
            if value is ... or (self.protects and value not in nothing)
        ]

    def _is_choice(self, side: ast.expr) -> bool:
        if self.protects:
            return _constant(side, ...) is not ... or _fails_closed(side, self.paths)
        return not isinstance(side, (ast.Compare, ast.UnaryOp))


def _tests(node: ast.AST) -> list[ast.expr]:
    """Return the parts of a node of which only the truth matters, and perhaps that it is false."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=test) | ast.IfExp(test=test):
            return [test]
        case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot()]):
            sides = [node.left, *node.comparators]
            return sides if any(_constant(one, ...) in (None, True, False) for one in sides) else []
    return []


def _fails_closed(  # noqa: PLR0911 (a table of forms)
    node: ast.expr, paths: Mapping[ast.AST, Path]
) -> bool:
    """Return whether an expression is certainly not true if its columns are null.

    Only the forms below are certain.
    """
    if _gives_null(node, paths):
        return True
    match node:
        case ast.Constant(value=value):
            return not value
        case ast.BoolOp(op=ast.And(), values=sides):
            return any(_fails_closed(side, paths) for side in sides)
        case ast.BoolOp(op=ast.Or(), values=sides):
            return all(_fails_closed(side, paths) for side in sides)
        case ast.Call(func=ast.Name(id="is_true"), args=[value]):
            return _gives_null(value, paths)
        case ast.Call(func=ast.Name(id="bool"), args=[value]):
            return _fails_closed(value, paths)
        case ast.Call(func=ast.Attribute(value=ast.Dict() as table, attr="get"), args=[key, *rest]):
            keys = [_constant(one, None) for one in table.keys if one is not None]
            is_known = None not in keys and len(keys) == len(table.keys)
            return is_known and _gives_null(key, paths) and not any(map(_may_be_true, rest))
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[sought]):
            return _differs_from_null(left, [sought], paths)
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple() | ast.List() as many]):
            return _differs_from_null(left, many.elts, paths)
    return False


_NULL_OF_NULL = frozenset(
    {"amount", "coalesce", "excel_time", "local_time", "lower", "number", "parse_time", "strip"}
)
"""The helpers that give null if their first argument is null, or `coalesce` if all are."""


def _gives_null(node: ast.expr, paths: Mapping[ast.AST, Path]) -> bool:
    """Return whether an expression is certainly null if its columns are."""
    match node:
        case ast.Constant(value=None):
            return True
        case ast.Call(args=[_, default]) if node in paths:
            return _gives_null(default, paths)
        case ast.Call(func=ast.Name(id=name), args=[first, *rest]) if name in _NULL_OF_NULL:
            values = [first, *rest] if name == "coalesce" else [first]
            return all(_gives_null(value, paths) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return all(_gives_null(value, paths) for value in values)
    return node in paths


def _differs_from_null(
    left: ast.expr, sought: Iterable[ast.expr], paths: Mapping[ast.AST, Path]
) -> bool:
    """Return whether a value is certainly none of those sought if its columns are null."""
    values = [_constant(one, None) for one in sought]
    if _gives_null(left, paths):
        return None not in values
    return all(values) and _fails_closed(left, paths)


def _may_be_true(node: ast.expr) -> bool:
    return bool(_constant(node, otherwise=True))


def _constant(node: ast.expr, otherwise: Any) -> Any:
    """Return the value of an expression of constants; `otherwise` if it has something else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return otherwise

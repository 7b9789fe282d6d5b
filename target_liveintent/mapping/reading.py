"""Finds which columns an expression of a stream map reads, and the effect of absent columns."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Path = tuple[str, ...]
"""The name of a column, and the keys and indexes that lead to a value inside the column."""
_NOTHING: tuple[Any, ...] = (None, {}, [], ())
"""Constants that are no alternative value, such as `{}` in `_.get('client', {}).get('id')`."""
_COMPOSED = ("anyOf", "oneOf", "allOf")
_REFERRING = frozenset({"$ref", "if", "propertyNames"})
"""Keywords of a JSON schema that may allow properties that this module does not find."""
_INDEX = re.compile(r"-?\d{1,9}", re.ASCII)
_TAPS_OWN = "_sdc_"
_ADDED_BY_TAPS = frozenset(
    {"_sdc_batched_at", "_sdc_deleted_at", "_sdc_extracted_at", "_sdc_lsn", "_sdc_lsn_deleted_at"}
    | {"_sdc_received_at", "_sdc_sequence", "_sdc_sync_started_at", "_sdc_table_version"}
)
"""Columns that a tap may add to records without a declaration in the SCHEMA."""


class Reading(NamedTuple):
    """The syntax tree of an expression, and the path of each node that reads a path."""

    tree: ast.expr
    paths: Mapping[ast.AST, Path]

    def lacks(self, is_absent: Callable[[Path], bool], *, protects: bool = False) -> set[Path]:
        """Return the absent paths that the expression reads, except paths with an alternative.

        Alternatives are other arguments of `coalesce`, other sides of `or`, and the default of
        `_.get`, if they do not read absent paths themselves.

        Args:
            is_absent: The function that returns whether a path is absent.
            protects: Whether the expression decides which events are sent. If so, constants are
                also alternatives, because the author chose them for absent columns. But each side
                of an `or` must then be a constant, or certainly be false without its columns.
        """
        return _Search(self.paths, is_absent, protects).of(self.tree)

    @property
    def fails_closed(self) -> bool:
        """Whether the expression is certainly not true if the columns that it reads are null."""
        return _fails_closed(self.tree, self.paths)


class _Search(NamedTuple):
    """The search for absent paths. `Reading.lacks` explains the attributes."""

    paths: Mapping[ast.AST, Path]
    is_absent: Callable[[Path], bool]
    protects: bool

    def of(self, node: ast.AST, *, in_test: bool = False) -> set[Path]:
        """Return the absent paths that a part of the expression reads without an alternative.

        If the part is in a test, such as `not …`, an `or` gives no alternative.
        """
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
                # (With `(x or '')` or `(x or 0)`, authors write that x may be null.)
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
    """Return the parts of a node that are only tested for true, false or null."""
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

    The result is False for each form of expression that this function does not know.
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
"""The helpers that return null if their first argument (for `coalesce`: each argument) is null."""


def _gives_null(node: ast.expr, paths: Mapping[ast.AST, Path]) -> bool:
    """Return whether an expression is certainly null if its columns are null."""
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
    """Return whether a value certainly differs from all sought values if its columns are null."""
    values = [_constant(one, None) for one in sought]
    if _gives_null(left, paths):
        return None not in values
    return all(values) and _fails_closed(left, paths)


def _may_be_true(node: ast.expr) -> bool:
    return bool(_constant(node, otherwise=True))


def _constant(node: ast.expr, otherwise: Any) -> Any:
    """Return the value of an expression of constants; `otherwise` for any other expression."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return otherwise


# What the SCHEMA says about a path


class AbsentStep(NamedTuple):
    """A step of a path that the SCHEMA lacks, and the names that the SCHEMA has at that level."""

    step: str
    known: tuple[str, ...]


def absent_step(
    path: Path, schema: Mapping[str, Any], *, lists_all: bool = False
) -> AbsentStep | None:
    """Return the first step of a path that the SCHEMA lacks; None if the path may exist.

    An undeclared property may exist in an object that declares no properties, or allows further
    properties. Columns with names such as `_sdc_…` may also exist, because taps add such columns.

    Args:
        path: A path into a record.
        schema: The JSON schema of the records.
        lists_all: Whether only declared columns may exist, even if the SCHEMA allows further
            columns. The columns that taps usually add may always exist.
    """
    if path[0] in _ADDED_BY_TAPS or (path[0].startswith(_TAPS_OWN) and not lists_all):
        return None
    inner: Any = schema
    for depth, step in enumerate(path):
        parts = [*_parts(inner)]
        known = _names_in(parts, step)
        if step not in known:
            has_all = lists_all and depth == 0 and bool(known)
            is_certain = has_all or not any(_may_have(part, step) for part in parts)
            return AbsentStep(step, tuple(known)) if is_certain else None
        inner = known[step]
    return None


def _names_in(parts: Iterable[Any], step: str) -> dict[str, Any]:
    """Return the schemas of the properties that the parts of a schema declare, by name.

    If the step is an index, the items of a list count as a property with this name.
    """
    return {name: schema for part in parts for name, schema in _inside(part, step).items()}


def _parts(schema: Any) -> Iterator[Any]:
    """Yield a schema, and all schemas that it combines with `anyOf`, `oneOf` and `allOf`."""
    yield schema
    if isinstance(schema, Mapping):
        for word in _COMPOSED:
            for inner in schema.get(word) or ():
                yield from _parts(inner)


def _inside(part: Any, step: str) -> Mapping[str, Any]:
    """Return the schemas of an object's values by name, or of a list's items for an index."""
    if not isinstance(part, Mapping):
        return {}
    if _INDEX.fullmatch(step) and isinstance(part.get("items"), Mapping):
        return {step: part["items"]}
    properties = part.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _may_have(part: Any, step: str) -> bool:
    """Return whether a value may have a property or an index that its schema does not declare."""
    if not isinstance(part, Mapping) or not _REFERRING.isdisjoint(part):
        return True
    types = part.get("type")
    if types is None and any(word in part for word in _COMPOSED):
        return False  # The combined schemas decide.
    names = [types] if isinstance(types, str) else types
    if isinstance(names, list) and "object" not in names:
        return "array" in names and _INDEX.fullmatch(step) is not None
    if any(re.search(pattern, step) for pattern in part.get("patternProperties") or ()):
        return True
    return not _inside(part, step) or part.get("additionalProperties", False) is not False

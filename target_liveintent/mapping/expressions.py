"""Compiles the expressions of stream maps to Python code that acts as the SDK's evaluator does.

For each record, the SDK walks the tree of each expression, which takes about 3 µs even for a bare
column. This module turns each tree into code. Operators that the evaluator guards become calls of
the guards themselves (simpleeval's own functions), a name becomes a lookup in the record, and the
rest stays plain Python.

The evaluator of simpleeval still handles what is rare: comprehensions, f-strings, starred items. A
test compares the results of both with those of the SDK.
"""

from __future__ import annotations

import ast
import datetime as dt
import functools
import hashlib
import json
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import simpleeval

from target_liveintent.conversions.usual import compiled
from target_liveintent.mapping.functions import ALSO_COLUMNS, FUNCTIONS, GET, getter, walk

FILTER = "__filter__"
"""The key of a map's filter, among its columns."""
Path = tuple[str, ...]
"""A column, and the steps into it. The empty path is the whole record."""
Row = dict[str, Any]

_RECORD = ast.Name("record", ast.Load())
_GET_OF_RECORD = ast.Attribute(_RECORD, "get", ast.Load())
_GUARDS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: simpleeval.safe_add,
    ast.Mult: simpleeval.safe_mult,
    ast.Pow: simpleeval.safe_power,
    ast.LShift: simpleeval.safe_lshift,
    ast.RShift: simpleeval.safe_rshift,
}
_PLAIN = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.BitXor, ast.BitOr, ast.BitAnd)
_KEPT = (
    *(ast.boolop, ast.cmpop, ast.expr_context, ast.unaryop),
    *(ast.Compare, ast.Constant, ast.IfExp, ast.UnaryOp),
    *(ast.Dict, ast.List, ast.Set, ast.Slice, ast.Tuple),
)
"""Nodes that stay as they are, except for their parts. For other nodes, there is a method of
`_Rewriter`, or the evaluator is used."""


def _md5(string: str) -> str:
    return hashlib.md5(string.encode(), usedforsecurity=False).hexdigest()


def _sha256(string: str) -> str:
    return hashlib.sha256(string.encode()).hexdigest()


_FUNCTIONS: dict[str, Any] = {
    **simpleeval.DEFAULT_FUNCTIONS,
    **{kind.__name__: kind for kind in (bool, dict, list, set, tuple)},
    "md5": _md5,
    "sha256": _sha256,
    "datetime": simpleeval.ModuleWrapper(dt),
    "json": simpleeval.ModuleWrapper(json),
    **FUNCTIONS,
}
"""The functions and modules that the SDK offers to expressions, and the helpers."""


class Expression(NamedTuple):
    """An expression of a map.

    Attributes:
        reads: What it reads: groups of paths, and of each group it needs one. The paths within a
            `coalesce` or an `or` are one group; any other path is a group of its own. Empty for a
            preset's expression, which may read what not every source has.
        compute: Computes its value for a record.
        code: It, as Python code that reads `record`.
        columns: The columns of a record that it needs; None if that is not known.
        names: Those of them that it reads by their names, so that it fails without them.
    """

    text: str
    reads: frozenset[frozenset[Path]]
    compute: Callable[[dict[str, Any]], Any]
    code: str
    columns: frozenset[str] | None = frozenset()
    names: frozenset[str] = frozenset()


class Compiler:
    """Compiles the expressions of a map.

    Args:
        values: What names mean that are neither columns nor functions, such as `config`.

    Attributes:
        environment: What names in the code mean; all of them begin with an underscore.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._evaluator = simpleeval.EvalWithCompoundTypes(functions=dict(_FUNCTIONS))
        self.environment: dict[str, Any] = {
            "_attribute": _attribute,
            "_getter": getter,
            "_walk": walk,
            **{f"_{operator.__name__}": guard for operator, guard in _GUARDS.items()},
            **{f"_f_{name}": function for name, function in _FUNCTIONS.items()},
            **{f"_v_{name}": value for name, value in values.items()},
        }

    def compile(self, column: str, text: str) -> Expression:
        """Compile an expression; raises a `ValueError` or a `SyntaxError` if it cannot be used."""
        text = text.strip()
        tree, original = (ast.parse(text, mode="eval").body for _ in range(2))
        rewriter = _Rewriter(self._values, column, tree)
        code = rewriter.rewrite(tree)
        ast.parse(f"((({code})))")  # Within a function, Python takes fewer brackets.
        reads, names = frozenset(rewriter.reads), frozenset(rewriter.names)
        if code is None:
            name = f"_e_{len(self.environment)}"
            evaluate = functools.partial(self._evaluate, column, text, original)
            self.environment[name] = evaluate
            return Expression(text, reads, evaluate, f"{name}(record)", None, names)
        compute = compiled(f"lambda record: ({code})", self.environment, "eval")
        columns = None if any(() in group for group in reads) else frozenset(rewriter.columns)
        return Expression(text, reads, compute, code, columns, names)

    def _evaluate(self, column: str, text: str, tree: ast.expr, record: Row) -> Any:
        """Evaluate an expression with the names that the SDK gives it."""
        own = {"self": record[column]} if column in record and column != FILTER else {}
        shared = {"_": record, "record": record}
        self._evaluator.names = {**record, **shared, **self._values, **own}
        self._evaluator.functions[GET] = getter(record)
        return self._evaluator.eval(text, previously_parsed=tree)


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])


def _attribute(value: Any, name: str) -> Any:
    """Return `value.name`, else `value['name']`, with the guards of simpleeval."""
    try:
        item = getattr(value, name)
    except (AttributeError, TypeError):
        try:
            item = value[name]
        except (KeyError, TypeError):
            raise simpleeval.AttributeDoesNotExist(name, "") from None
    forbidden = callable(item) and item in simpleeval.DISALLOW_FUNCTIONS
    if forbidden or isinstance(item, types.ModuleType):
        msg = "not available"
        raise simpleeval.FeatureNotAvailable(msg)
    return item


class _Rewriter(ast.NodeTransformer):
    """Rewrites one expression, and notes what it reads.

    Attributes:
        columns: The columns of a record that may be read.
        names: Those of them that are read by their names.
        reads: The groups of paths that are read, as an `Expression` has them.
    """

    def __init__(self, values: Mapping[str, Any], column: str, tree: ast.expr) -> None:
        self._values = values
        self._column = column
        self._bound = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._is_compiled = True
        self.columns: set[str] = set()
        self.names: set[str] = set()
        self.reads: list[frozenset[Path]] = []

    def rewrite(self, tree: ast.expr) -> str | None:
        """Return the code; None if the evaluator has to be used."""
        made = self.visit(tree)
        return ast.unparse(ast.fix_missing_locations(made)) if self._is_compiled else None

    def visit(self, node: ast.AST) -> Any:
        """Keep a node whose type is in the table, and visit other nodes by their type."""
        if isinstance(node, _KEPT):
            return self.generic_visit(node)
        method = getattr(self, f"visit_{type(node).__name__}", self._refuse)
        return method(node)

    def _refuse(self, node: ast.AST) -> Any:
        """Leave a node to the evaluator, and note what its parts read."""
        self._is_compiled = False
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Of the values of an `or`, unless they are conditions, one is enough."""
        conditions = [isinstance(value, (ast.Compare, ast.UnaryOp)) for value in node.values]
        if isinstance(node.op, ast.And) or any(conditions):
            return self.generic_visit(node)
        return self._choice(self.generic_visit, node)

    def _choice(self, visit: Callable[[Any], Any], node: ast.AST) -> Any:
        """Visit a node, and note all that it reads as one group."""
        outer, self.reads = self.reads, []
        made = visit(node)
        group: frozenset[Path] = frozenset().union(*self.reads)
        self.reads = [*outer, group] if group else outer
        return made

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        if type(node.op) in _GUARDS:
            left, right = self.visit(node.left), self.visit(node.right)
            return _call(f"_{type(node.op).__name__}", left, right)
        return self.generic_visit(node) if isinstance(node.op, _PLAIN) else self._refuse(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Resolve a name in this order: a name of the SDK, a column, a function.

        Helpers with the name of a column in many taps differ from the evaluator's functions in
        that their bare names are only columns.
        """
        if _is_record(node):
            self._note()
            return _RECORD
        if node.id in self._bound:
            return node
        if node.id in self._values:
            return ast.Name(f"_v_{node.id}", ast.Load())
        if node.id == "self":
            return self._if_present(self._column, self._at("self"))
        # Where a record lacks a column `amount`, the helper must not stand in for it unnoticed.
        if node.id in _FUNCTIONS and node.id not in ALSO_COLUMNS:
            return self._if_present(node.id, self._function(node.id))
        return self._named(node.id)

    def _note(self, *path: str) -> None:
        self.columns.update(path[:1])
        self.reads.append(frozenset([path]))

    def _function(self, name: str) -> ast.expr:
        if name != GET:
            return ast.Name(f"_f_{name}", ast.Load())
        self._note()  # It may be called with any path.
        return _call("_getter", _RECORD)

    def _named(self, column: str) -> ast.expr:
        self.names.add(column)
        self._note(column)
        return self._at(column)

    def _at(self, column: str) -> ast.expr:
        self.columns.add(column)
        return ast.Subscript(_RECORD, ast.Constant(column), ast.Load())

    def _if_present(self, column: str, otherwise: ast.expr) -> ast.expr:
        present = ast.Compare(ast.Constant(column), [ast.In()], [_RECORD])
        return ast.IfExp(present, self._at(column), otherwise)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        column = _constant_text(node.slice)
        if _is_record(node.value) and column is not None:
            return self._named(column)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        prefixes = tuple(simpleeval.DISALLOW_PREFIXES)
        if node.attr.startswith(prefixes) or node.attr in simpleeval.DISALLOW_METHODS:
            return self._refuse(node)
        return _call("_attribute", self.visit(node.value), ast.Constant(node.attr))

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "coalesce":
            return self._choice(self._visit_call, node)
        return self._visit_call(node)

    def _visit_call(self, node: ast.Call) -> Any:
        path = _constant_text(node.args[0]) if node.args else None
        is_alone = len(node.args) == 1 and not node.keywords
        if isinstance(node.func, ast.Name) and node.func.id == GET and path and is_alone:
            return self._get(path)
        if any(keyword.arg is None for keyword in node.keywords):
            return self._refuse(node)
        called = self._called(node.func, path)
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(one.arg, self.visit(one.value)) for one in node.keywords]
        return ast.Call(called, arguments, keywords)

    def _get(self, path: str) -> ast.expr:
        """Return the code of a `get` with a known path. It reads only the path's first column."""
        column, *steps = path.split(".")
        self._note(column, *steps)
        value = ast.Call(_GET_OF_RECORD, [ast.Constant(column)], [])
        rest = ast.Tuple([ast.Constant(step) for step in steps], ast.Load())
        return _call("_walk", value, rest) if steps else value

    def _called(self, function: ast.expr, argument: str | None) -> Any:
        if isinstance(function, ast.Attribute):
            if function.attr != "get" or not _is_record(function.value) or argument is None:
                return self.visit(function)
            self._note(argument)
            return _GET_OF_RECORD
        # The evaluator calls functions only, never the value of a column of the same name.
        if isinstance(function, ast.Name) and function.id in _FUNCTIONS:
            return self._function(function.id)
        return self._refuse(function)


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"_", "record"}  # The SDK's names of it.


def _constant_text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]

"""Compiles stream-map expressions once to Python code that means what the SDK's evaluator does.

For each record, the SDK walks the tree of each expression, which takes about 3 µs even for a bare
column. This module turns the trees of a stream's map into one function. Operators that the
evaluator guards become calls of the guards themselves (simpleeval's own functions), a name becomes
a lookup in the record, and the rest stays plain Python.

The evaluator still handles what is rare: comprehensions, f-strings, starred items. A test compares
the results of both.
"""

from __future__ import annotations

import ast
import copy
import itertools
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import simpleeval

from target_liveintent.conversions import compiled
from target_liveintent.mapping.converter import FILTER
from target_liveintent.mapping.functions import AMOUNT, GET, getter, walk

Row = dict[str, Any]

_RECORD = ast.Name("record", ast.Load())
_GUARDS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: simpleeval.safe_add,
    ast.Mult: simpleeval.safe_mult,
    ast.Pow: simpleeval.safe_power,
    ast.LShift: simpleeval.safe_lshift,
    ast.RShift: simpleeval.safe_rshift,
}
_PLAIN = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.BitXor, ast.BitOr, ast.BitAnd)


class Expression(NamedTuple):
    """One expression of a map, for a column or `__filter__`; the SDK's evaluator evaluates it."""

    column: str
    tree: ast.stmt
    evaluate: Callable[[Row], Any]


class Compiled(NamedTuple):
    """Expressions, compiled to one function.

    Attributes:
        run: Returns a dict with all columns for a record, or None if the filter drops the record.
        reads: The columns that the expressions read; None if that is not known.
        names: The columns without which an expression fails.
        code: Python code of each expression, which reads `record`.
        environment: What other names in the code mean; all of them begin with an underscore.
    """

    run: Callable[[Row], Row | None]
    reads: frozenset[str] | None
    names: frozenset[str]
    code: Mapping[str, str]
    environment: Mapping[str, Any]


class _NotCompiledError(Exception):
    """An expression has to be evaluated by the SDK's evaluator."""


def compile_row(
    expressions: Iterable[Expression], functions: Mapping[str, Any], values: Mapping[str, Any]
) -> Compiled:
    """Compile expressions to one function that returns a new dict.

    Args:
        expressions: The expressions of the columns, and of the filter if there is one: it drops
            the records for which its value is not true.
        functions: The functions that they may use, by name.
        values: What the other names mean that are not columns, such as `config`.
    """
    environment: dict[str, Any] = {
        "_attribute": _attribute,
        "_getter": getter,
        "_walk": walk,
        **{f"_{operator.__name__}": guard for operator, guard in _GUARDS.items()},
        **{f"_f_{name}": function for name, function in functions.items()},
        **{f"_v_{name}": value for name, value in values.items()},
    }
    code: dict[str, str] = {}
    parts: list[_Rewriter] = []
    for number, expression in enumerate(expressions):
        rewriter = _Rewriter(functions, values, expression.column)
        try:
            text = ast.unparse(rewriter.rewrite(expression.tree))
            ast.parse(text)  # It may be nested more deeply than Python's parser can read.
        except (_NotCompiledError, RecursionError, SyntaxError, MemoryError):
            environment[f"_e_{number}"] = expression.evaluate
            text = f"_e_{number}(record)"
            rewriter.reads_all = True
        parts.append(rewriter)
        code[expression.column] = text
    row = ", ".join(f"{column!r}: {text}" for column, text in code.items() if column != FILTER)
    test = f" if ({code[FILTER]}) else None" if FILTER in code else ""
    return Compiled(
        compiled(f"lambda record: {{{row}}}{test}", environment, "eval"),
        None if any(part.reads_all for part in parts) else _union(part.columns for part in parts),
        _union(part.names for part in parts),
        code,
        environment,
    )


def _union(sets: Iterable[set[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


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
    """Rewrites one expression. It raises an error for node types that it has no method for."""

    def __init__(
        self, functions: Mapping[str, Any], values: Mapping[str, Any], column: str
    ) -> None:
        self._functions = functions
        self._values = values
        self._column = column
        self.columns: set[str] = set()
        self.names: set[str] = set()
        self.reads_all = False

    def rewrite(self, tree: ast.stmt) -> ast.expr:
        if not isinstance(tree, ast.Expr):
            raise _NotCompiledError
        # Rewrite a copy, because the evaluator may still need the original tree.
        rewritten: ast.expr = self.visit(copy.deepcopy(tree.value))
        return rewritten

    def generic_visit(self, node: ast.AST) -> ast.AST:
        raise _NotCompiledError(type(node).__name__)

    def _keep(self, node: ast.AST) -> ast.AST:
        return super().generic_visit(node)

    visit_BoolOp = visit_Compare = visit_IfExp = visit_UnaryOp = _keep  # noqa: N815
    visit_List = visit_Set = visit_Slice = visit_Tuple = _keep  # noqa: N815

    def visit(self, node: ast.AST) -> Any:
        """Keep operators and contexts, by their base class; visit other nodes by their type."""
        if isinstance(node, (ast.boolop, ast.cmpop, ast.expr_context, ast.unaryop)):
            return node
        if isinstance(node, ast.Compare) and _compares_by_identity(node):
            raise _NotCompiledError
        return super().visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, (str, bytes)) and len(node.value) > simpleeval.MAX_STRING_LENGTH:
            raise _NotCompiledError
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        if None in node.keys:
            raise _NotCompiledError
        return self._keep(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        if type(node.op) in _GUARDS:
            return _call(f"_{type(node.op).__name__}", left, right)
        if isinstance(node.op, _PLAIN):
            return ast.BinOp(left, node.op, right)
        raise _NotCompiledError

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Resolve a name in this order: a name of the SDK, a column, a function.

        The helper `amount` differs from the evaluator's in that its bare name is only a column.
        """
        if _is_record(node):
            self.reads_all = True
            return _RECORD
        if node.id in self._values:
            return ast.Name(f"_v_{node.id}", ast.Load())
        if node.id == "self":
            return self._if_present(self._column, self._at("self"))
        # Where a record lacks a column `amount`, the helper must not stand in for it unnoticed.
        if node.id in self._functions and node.id != AMOUNT:
            return self._if_present(node.id, self._function(node.id))
        return self._required(node.id)

    def _function(self, name: str) -> ast.expr:
        if name != GET:
            return ast.Name(f"_f_{name}", ast.Load())
        self.reads_all = True  # It may be called with any path.
        return _call("_getter", _RECORD)

    def _required(self, column: str) -> ast.expr:
        self.names.add(column)
        return self._at(column)

    def _at(self, column: str) -> ast.expr:
        self.columns.add(column)
        return ast.Subscript(_RECORD, ast.Constant(column), ast.Load())

    def _if_present(self, column: str, otherwise: ast.expr) -> ast.expr:
        present = ast.Compare(ast.Constant(column), [ast.In()], [_RECORD])
        return ast.IfExp(present, self._at(column), otherwise)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        column = _constant_text(node.slice)
        if _is_record(node.value) and column is not None:
            return self._required(column)
        return ast.Subscript(self.visit(node.value), self.visit(node.slice), ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        prefixes = tuple(simpleeval.DISALLOW_PREFIXES)
        if node.attr.startswith(prefixes) or node.attr in simpleeval.DISALLOW_METHODS:
            raise _NotCompiledError
        return _call("_attribute", self.visit(node.value), ast.Constant(node.attr))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if (path := self._constant_path(node)) is not None:
            return self._get(path)
        arguments = [self.visit(argument) for argument in node.args]
        keywords = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise _NotCompiledError
            keywords.append(ast.keyword(keyword.arg, self.visit(keyword.value)))
        return ast.Call(self._called(node), arguments, keywords)

    def _constant_path(self, node: ast.Call) -> str | None:
        """Return the path of a call `get('a.b')`; None for other calls and for computed paths."""
        is_get = isinstance(node.func, ast.Name) and node.func.id == GET
        if not is_get or GET not in self._functions:
            return None
        return _constant_text(node.args[0]) if len(node.args) == 1 and not node.keywords else None

    def _get(self, path: str) -> ast.expr:
        """Return the code of a `get` with a known path. It reads only the column of its start."""
        column, *steps = path.split(".")
        value = ast.Call(self._getting(column), [ast.Constant(column)], [])
        rest = ast.Tuple([ast.Constant(step) for step in steps], ast.Load())
        return _call("_walk", value, rest) if steps else value

    def _getting(self, column: str) -> ast.expr:
        """Return the method `get` of the record, for a call with a known column."""
        self.columns.add(column)
        return ast.Attribute(_RECORD, "get", ast.Load())

    def _called(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Attribute):
            column = _constant_text(node.args[0]) if node.args else None
            if function.attr == "get" and _is_record(function.value) and column is not None:
                return self._getting(column)
            attribute: ast.expr = self.visit(function)
            return attribute
        # The evaluator calls functions only, never the value of a column of the same name.
        if not isinstance(function, ast.Name) or function.id not in self._functions:
            raise _NotCompiledError
        if self._functions[function.id] in simpleeval.DISALLOW_FUNCTIONS:
            raise _NotCompiledError
        return self._function(function.id)


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"_", "record"}  # The SDK's names for it.


def _compares_by_identity(node: ast.Compare) -> bool:
    """Return whether a comparison has `is` without None, True or False beside it.

    Whether two equal constants are one object depends on who compiles them.
    """
    sides = [node.left, *node.comparators]
    return any(
        isinstance(operator, (ast.Is, ast.IsNot)) and not any(map(_is_singleton, pair))
        for operator, pair in zip(node.ops, itertools.pairwise(sides), strict=True)
    )


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _constant_text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]

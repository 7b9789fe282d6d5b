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
from typing import Any

import simpleeval

from target_liveintent.conversions import compiled
from target_liveintent.mapping.converter import FILTER, Expression
from target_liveintent.mapping.functions import ALSO_COLUMNS, FUNCTIONS, GET, getter, walk
from target_liveintent.mapping.reads import reads_of

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
_KEPT = (
    *(ast.boolop, ast.cmpop, ast.expr_context, ast.unaryop),
    *(ast.BoolOp, ast.Constant, ast.IfExp, ast.UnaryOp),
    *(ast.List, ast.Set, ast.Slice, ast.Tuple),
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
        self._other_names = _FUNCTIONS.keys() | values.keys()
        self.environment: dict[str, Any] = {
            "_attribute": _attribute,
            "_getter": getter,
            "_walk": walk,
            **{f"_{operator.__name__}": guard for operator, guard in _GUARDS.items()},
            **{f"_f_{name}": function for name, function in _FUNCTIONS.items()},
            **{f"_v_{name}": value for name, value in values.items()},
        }

    def compile(self, column: str, text: str) -> Expression:
        """Compile an expression.

        Raises:
            ValueError: If it is no Python.
        """
        try:
            tree = ast.parse(text).body[0]
        except (SyntaxError, IndexError):
            msg = f"Failed to parse expression {text}."
            raise ValueError(msg) from None
        reads = reads_of(tree, self._other_names)
        rewriter = _Rewriter(self._values, column)
        try:
            code = rewriter.rewrite(ast.parse(text).body[0])
            # It may be nested too deeply for Python's parser, also within the code of a function.
            ast.parse(f"((({code})))")
        except (_NotCompiledError, RecursionError, SyntaxError, MemoryError):
            name = f"_e_{len(self.environment)}"
            evaluate = functools.partial(self._evaluate, column, text, tree)
            self.environment[name] = evaluate
            return Expression(column, text.strip(), reads, evaluate, f"{name}(record)", None)
        compute = compiled(f"lambda record: ({code})", self.environment, "eval")
        columns = None if rewriter.reads_all else frozenset(rewriter.columns)
        names = frozenset(rewriter.names)
        return Expression(column, text.strip(), reads, compute, code, columns, names)

    def _evaluate(self, column: str, text: str, tree: ast.stmt, record: Row) -> Any:
        """Evaluate an expression with the names that the SDK gives it."""
        own = {"self": record[column]} if column in record and column != FILTER else {}
        shared = {"_": record, "record": record}
        self._evaluator.names = {**record, **shared, **self._values, **own}
        self._evaluator.functions[GET] = getter(record)
        return self._evaluator.eval(text, previously_parsed=tree)


class _NotCompiledError(Exception):
    """An expression cannot be compiled, and has to be evaluated."""


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

    Raises:
        _NotCompiledError: For a node that is neither kept nor has a method here.
    """

    def __init__(self, values: Mapping[str, Any], column: str) -> None:
        self._values = values
        self._column = column
        self.columns: set[str] = set()
        self.names: set[str] = set()
        self.reads_all = False

    def rewrite(self, tree: ast.stmt) -> str:
        if not isinstance(tree, ast.Expr):
            raise _NotCompiledError
        return ast.unparse(ast.fix_missing_locations(self.visit(tree.value)))

    def visit(self, node: ast.AST) -> Any:
        """Keep a node whose type is in the table, and visit other nodes by their type."""
        if isinstance(node, _KEPT):
            return self.generic_visit(node)
        method = getattr(self, f"visit_{type(node).__name__}", None)
        if method is None:
            raise _NotCompiledError
        return method(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        # Whether two equal constants are one object depends on who compiles them.
        for operator, side in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.Is, ast.IsNot)) and not _is_singleton(side):
                raise _NotCompiledError
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        if None in node.keys:
            raise _NotCompiledError
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        if type(node.op) in _GUARDS:
            return _call(f"_{type(node.op).__name__}", left, right)
        if isinstance(node.op, _PLAIN):
            return ast.BinOp(left, node.op, right)
        raise _NotCompiledError

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Resolve a name in this order: a name of the SDK, a column, a function.

        Helpers with the name of a column in many taps differ from the evaluator's functions in
        that their bare names are only columns.
        """
        if _is_record(node):
            self.reads_all = True
            return _RECORD
        if node.id in self._values:
            return ast.Name(f"_v_{node.id}", ast.Load())
        if node.id == "self":
            return self._if_present(self._column, self._at("self"))
        # Where a record lacks a column `amount`, the helper must not stand in for it unnoticed.
        if node.id in _FUNCTIONS and node.id not in ALSO_COLUMNS:
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
        if not isinstance(node.func, ast.Name) or node.func.id != GET:
            return None
        return _constant_text(node.args[0]) if len(node.args) == 1 and not node.keywords else None

    def _get(self, path: str) -> ast.expr:
        """Return the code of a `get` with a known path. It reads only the path's first column."""
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
        if not isinstance(function, ast.Name) or function.id not in _FUNCTIONS:
            raise _NotCompiledError
        return self._function(function.id)


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"_", "record"}  # The SDK's names of it.


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _constant_text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]

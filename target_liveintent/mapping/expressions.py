"""Compiles the expressions of stream maps to Python code that gives the same results as the SDK.

For each record, the SDK interprets the syntax tree of each expression with simpleeval, which takes
about 3 µs even for a bare column. In the compiled code, a name becomes a lookup in the record. Some
operators, such as `*`, become calls of simpleeval's functions, which limit the size of the result.
The rest stays plain Python. simpleeval still evaluates expressions with rare parts, such as
comprehensions, f-strings and starred items. A test compares both ways with the SDK.
"""

from __future__ import annotations

import ast
import copy
import datetime as dt
import functools
import hashlib
import json
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import simpleeval

from target_liveintent.conversions.fast_path import compiled
from target_liveintent.mapping.functions import FUNCTIONS, getter, walk
from target_liveintent.mapping.reading import Path, Reading

FILTER = "__filter__"
"""The key of the filter among the columns of a map."""
TapRecord = dict[str, Any]
"""A record as the tap sent it."""

_GUARDS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: simpleeval.safe_add,
    ast.Mult: simpleeval.safe_mult,
    ast.Pow: simpleeval.safe_power,
    ast.LShift: simpleeval.safe_lshift,
    ast.RShift: simpleeval.safe_rshift,
}
"""simpleeval's functions in place of operators. They fail if a result would be too large."""
_KEPT = (
    *(ast.boolop, ast.cmpop, ast.expr_context, ast.operator, ast.unaryop),
    *(ast.BoolOp, ast.Compare, ast.Constant, ast.IfExp, ast.UnaryOp),
    *(ast.Dict, ast.List, ast.Set, ast.Slice, ast.Tuple),
)
"""The types of nodes that stay as they are, while their parts are rewritten. `_Rewriter` has
methods for some other types. If a node has any other type, simpleeval evaluates the whole
expression."""
_FUNCTIONS: dict[str, Any] = {
    **simpleeval.DEFAULT_FUNCTIONS,
    **{kind.__name__: kind for kind in (bool, dict, list, set, tuple)},
    "md5": lambda string: hashlib.md5(string.encode(), usedforsecurity=False).hexdigest(),
    "sha256": lambda string: hashlib.sha256(string.encode()).hexdigest(),
    "datetime": simpleeval.ModuleWrapper(dt),
    "json": simpleeval.ModuleWrapper(json),
    **FUNCTIONS,
}
"""The functions and modules that the SDK offers to expressions, and the helpers."""
_CHANCE = frozenset({"rand", "randint"})
_CHANGING = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse"}
    | {"setdefault", "sort", "update", "difference_update", "intersection_update"}
    | {"symmetric_difference_update"}
)
"""Methods that change their object. An expression with such a method gets a copy of the record."""


class Expression(NamedTuple):
    """An expression of a map.

    Attributes:
        compute: The function that computes the value of the expression for a record.
        code: The expression as Python code that reads `record`.
        reading: The paths that the expression reads, and their alternatives.
        columns: The columns of a record that the expression needs. If the set contains None, the
            expression may need any column.
        names: The columns that the expression reads by their bare names. Without these columns, the
            expression fails.
        has_chance: Whether the value may differ each time, because the expression is random.
    """

    text: str
    compute: Callable[[TapRecord], Any]
    code: str
    reading: Reading
    columns: frozenset[str | None]
    names: frozenset[str]
    has_chance: bool = False


class Compiler:
    """Compiles the expressions of a map.

    Args:
        values: The values of names that are neither columns nor functions, such as `config`.

    Attributes:
        environment: The values of the names in the code. These names begin with an underscore.
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
        """Return the compiled expression of a column.

        Raises:
            SyntaxError: If the text is not a Python expression.
            ValueError: If the text cannot be parsed for another reason.
        """
        text = text.strip()
        tree, original = (ast.parse(text, mode="eval").body for _ in range(2))
        nodes = [*ast.walk(original)]
        twins = [*zip(ast.walk(tree), nodes, strict=True)]  # The rewriter changes the first tree.
        rewriter = _Rewriter(self._values, column, tree)
        made = rewriter.visit(tree)
        if rewriter.is_complete:
            code = ast.unparse(ast.fix_missing_locations(made))
            ast.parse(f"((({code})))")  # Inside a function, Python allows fewer nested brackets.
        else:
            evaluate = functools.partial(self._evaluate, column, text, original)
            code = f"{self._named(evaluate)}(record)"
            rewriter.columns.add(None)
        if any(isinstance(node, ast.Attribute) and node.attr in _CHANGING for node in nodes):
            change = self._function(column, code)
            code = f"{self._named(lambda record: change(copy.deepcopy(record)))}(record)"
        compute = self._function(column, code)
        paths = {twin: rewriter.paths[one] for one, twin in twins if one in rewriter.paths}
        columns, names = frozenset(rewriter.columns), frozenset(rewriter.names)
        has_chance = any(isinstance(node, ast.Name) and node.id in _CHANCE for node in nodes)
        return Expression(
            text, compute, code, Reading(original, paths), columns, names, has_chance=has_chance
        )

    def _function(self, column: str, code: str) -> Callable[[TapRecord], Any]:
        """Return a function that computes an expression for a record."""
        name = f"expression for {column!r}"
        function: Callable[[TapRecord], Any] = compiled(
            f"lambda record: ({code})", self.environment, "eval", name
        )
        return function

    def _named(self, function: Callable[[TapRecord], Any]) -> str:
        """Add a function to the environment, and return the function's name in the code."""
        name = f"_e_{len(self.environment)}"
        self.environment[name] = function
        return name

    def _evaluate(self, column: str, text: str, tree: ast.expr, record: TapRecord) -> Any:
        """Let simpleeval evaluate an expression, with the names that the SDK provides."""
        own = {"self": record[column]} if column in record and column != FILTER else {}
        shared = {"_": record, "record": record}
        self._evaluator.names = _Names({**record, **shared, **self._values, **own})
        self._evaluator.functions["get"] = getter(record)
        return self._evaluator.eval(text, previously_parsed=tree)


class _Names(dict[str, Any]):
    """The values of the names in an expression, for simpleeval.

    If simpleeval got an ordinary dict, it would use a helper in place of an absent column.
    """

    def __missing__(self, name: str) -> Any:
        if name in _FUNCTIONS and name not in FUNCTIONS:
            return _FUNCTIONS[name]
        raise simpleeval.NameNotDefined(name, "")


def _attribute(value: Any, name: str) -> Any:
    """Return the attribute `name` of a value, or else the item with this key, as simpleeval does.

    Raises:
        AttributeDoesNotExist: If the value has neither.
        FeatureNotAvailable: If simpleeval forbids expressions to use the result.
    """
    try:
        item = getattr(value, name)
    except (AttributeError, TypeError):
        try:
            item = value[name]
        except (KeyError, TypeError):
            raise simpleeval.AttributeDoesNotExist(name, "") from None
    forbidden = callable(item) and item in simpleeval.DISALLOW_FUNCTIONS
    if forbidden or isinstance(item, types.ModuleType):
        msg = "an expression cannot use this attribute"
        raise simpleeval.FeatureNotAvailable(msg)
    return item


class _Rewriter(ast.NodeTransformer):
    """Rewrites one expression, and notes the columns, names and paths that the expression reads.

    Attributes:
        is_complete: Whether the rewritten expression gives the same result as simpleeval.
    """

    def __init__(self, values: Mapping[str, Any], column: str, tree: ast.expr) -> None:
        self._values = values
        self._column = column
        self._bound = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self.is_complete = True
        self.columns: set[str | None] = set()
        self.names: set[str] = set()
        self.paths: dict[ast.AST, Path] = {}

    def visit(self, node: ast.AST) -> Any:
        """Return the rewritten node.

        If `_KEPT` has the type of the node, only the parts of the node are rewritten. For another
        type, the method `visit_…` of the type rewrites the node. Without such a method, simpleeval
        must evaluate the expression.
        """
        method = self.generic_visit
        if not isinstance(node, _KEPT):
            method = getattr(self, f"visit_{type(node).__name__}", self._refuse)
        return method(node)

    def _refuse(self, node: ast.AST) -> Any:
        """Note that simpleeval must evaluate the expression, and still visit a node's parts."""
        self.is_complete = False
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        if type(node.op) not in _GUARDS:
            return self.generic_visit(node)
        sides = [self.visit(node.left), self.visit(node.right)]
        return ast.Call(_code(f"_{type(node.op).__name__}"), sides, [])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return the code for the value of a name.

        The value is the first of these that exists:

        1. The record, for `record` and `_`.
        2. A variable of the expression itself, as in a comprehension.
        3. A value that the SDK provides, such as `config`.
        4. For `self`: the record's column of the same name as the column that is computed.
        5. The record's column of this name.
        6. A function of the SDK, such as `int`, but not a helper. If a record lacks the column
           `amount`, the code must not use the helper `amount` as the value of the column.
        """
        if _is_record(node):
            self.columns.add(None)
            return _code("record")
        if node.id in self._bound:
            return node
        if node.id in self._values:
            return _code(f"_v_{node.id}")
        if node.id == "self":
            self.columns.add("self")
            return self._if_present(self._column, "record['self']")
        if node.id in _FUNCTIONS and node.id not in FUNCTIONS:
            return self._if_present(node.id, f"_f_{node.id}")
        return self._named(node, node.id)

    def _note(self, node: ast.expr, *path: str) -> None:
        self.columns.add(path[0])
        self.paths[node] = path

    def _named(self, node: ast.expr, column: str) -> ast.expr:
        self.names.add(column)
        self._note(node, column)
        return _code(f"record[{column!r}]")

    def _if_present(self, column: str, otherwise: str) -> ast.expr:
        self.columns.add(column)
        return _code(f"record[{column!r}] if {column!r} in record else {otherwise}")

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        column = _constant_text(node.slice)
        if _is_record(node.value) and column is not None:
            return self._named(node, column)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        prefixes = tuple(simpleeval.DISALLOW_PREFIXES)
        if node.attr.startswith(prefixes) or node.attr in simpleeval.DISALLOW_METHODS:
            return self._refuse(node)
        return ast.Call(_code("_attribute"), [self.visit(node.value), ast.Constant(node.attr)], [])

    def visit_Call(self, node: ast.Call) -> Any:
        path = _constant_text(node.args[0]) if node.args else None
        match node:
            case ast.Call(func=ast.Name(id="get"), args=[_], keywords=[]) if path:
                column, *steps = path.split(".")
                self._note(node, column, *steps)
                value = f"record.get({column!r})"
                return _code(f"_walk({value}, {tuple(steps)!r})" if steps else value)
            case ast.Call(keywords=keywords) if any(word.arg is None for word in keywords):
                return self._refuse(node)
            case ast.Call(func=ast.Attribute(value=value, attr="get")) if (
                _is_record(value) and path is not None
            ):
                self._note(node, path)
                function = _code("record.get")
            case ast.Call(func=ast.Attribute()):
                function = self.visit(node.func)
            # simpleeval calls the function even if a column has the same name.
            case ast.Call(func=ast.Name(id=name)) if name in _FUNCTIONS:
                if name == "get":
                    self.columns.add(None)  # `get` may read any path.
                function = _code("_getter(record)" if name == "get" else f"_f_{name}")
            case _:
                function = self._refuse(node.func)
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(word.arg, self.visit(word.value)) for word in node.keywords]
        return ast.Call(function, arguments, keywords)


def _code(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"_", "record"}  # The names in the SDK.


def _constant_text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]

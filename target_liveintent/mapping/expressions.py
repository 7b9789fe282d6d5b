"""Stream-map expressions, compiled once to Python code with the meaning of the SDK's evaluator.

The SDK walks each expression's tree for each record: about 3 µs, even for a bare column. Here the
trees of a stream's map become one function. What the evaluator guards stays a call of the same
guard (simpleeval's own functions), a name becomes a look-up in the record, and the rest is plain
Python.
What is rare (comprehensions, f-strings, starred items) stays the evaluator's work. A differential
test holds the two against each other.
"""

from __future__ import annotations

import ast
import copy
import types
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import simpleeval

from target_liveintent.mapping.functions import GET, getter, steps_of, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Row = dict[str, Any]
_T = TypeVar("_T")

_RECORD = ("_", "record")
"""What the SDK calls the record."""
_GUARDS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: simpleeval.safe_add,
    ast.Mult: simpleeval.safe_mult,
    ast.Pow: simpleeval.safe_power,
    ast.LShift: simpleeval.safe_lshift,
    ast.RShift: simpleeval.safe_rshift,
}
_PLAIN = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.BitXor, ast.BitOr, ast.BitAnd)


class Names(NamedTuple):
    """What expressions may refer to beside columns.

    Attributes:
        functions: The functions of the SDK's evaluator, and our helpers.
        config: The setting `stream_map_config`.
        stream: `__stream_name__`.
        source: `__original_stream_name__`.
    """

    functions: Mapping[str, Any]
    config: Mapping[str, Any]
    stream: str
    source: str


class Expression(NamedTuple):
    """One expression of a map.

    Attributes:
        column: What it computes.
        tree: Its body.
        evaluate: The SDK's evaluation of it.
    """

    column: str
    tree: ast.stmt
    evaluate: Callable[[Row], Any]


class Compiled(NamedTuple):
    """Expressions as one function.

    Attributes:
        run: The record → a dict with all columns; None if the filter drops it.
        reads: The columns that it reads; None if that cannot be told.
        names: Those that must be there, or it fails.
        paths: Where it looks, as far as that is known: a column, and the steps into it.
    """

    run: Callable[[Row], Row | None]
    reads: frozenset[str] | None
    names: frozenset[str]
    paths: frozenset[tuple[str, ...]]


class _NotCompiledError(Exception):
    """Left to the SDK's evaluator."""


def compile_row(
    expressions: Iterable[Expression], names: Names, rule: Expression | None = None
) -> Compiled:
    """Compile expressions to one function that gives a new dict.

    Args:
        expressions: The expressions; each has a column.
        names: What they may refer to.
        rule: The filter: where it gives nothing true, there is no dict.
    """
    environment: dict[str, Any] = {
        "__builtins__": {},
        "_attribute": _attribute,
        "_config": names.config,
        "_getter": getter,
        "_walk": walk,
        **{f"_{operator.__name__}": guard for operator, guard in _GUARDS.items()},
        **{f"_f_{name}": function for name, function in names.functions.items()},
    }
    compiled: dict[str, ast.expr] = {}
    rewriters: list[_Rewriter] = []
    for number, expression in enumerate([*expressions, *([rule] if rule else [])]):
        rewriter = _Rewriter(names, expression.column)
        try:
            value = rewriter.rewrite(expression.tree)
        except (_NotCompiledError, RecursionError):
            environment[f"_e_{number}"] = expression.evaluate
            value = _call(f"_e_{number}", ast.Name("record", ast.Load()))
            rewriter.reads_all = True
        rewriters.append(rewriter)
        compiled[expression.column] = value
    test = compiled.pop(rule.column) if rule else None
    row: ast.expr = ast.Dict([ast.Constant(column) for column in compiled], [*compiled.values()])
    if test is not None:
        row = ast.IfExp(test, row, ast.Constant(None))
    parameters = ast.arguments([], [ast.arg("record")], None, [], [], None, [])
    body = ast.Expression(ast.Lambda(parameters, row))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # `x is 'a'` is the user's business.
        code = compile(ast.fix_missing_locations(body), "<stream map>", "eval")
    return Compiled(
        eval(code, environment),  # noqa: S307 (of nodes that `_Rewriter` let through, no builtins)
        None if any(r.reads_all for r in rewriters) else _union(r.columns for r in rewriters),
        _union(r.names for r in rewriters),
        _union(r.paths for r in rewriters),
    )


def _union(sets: Iterable[set[_T]]) -> frozenset[_T]:
    return frozenset[_T]().union(*sets)


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])


def _attribute(value: Any, name: str) -> Any:
    """`value.name`, else `value['name']`, guarded as simpleeval guards it."""
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
    """Rewrites one expression. Node types that it does not name are not compiled."""

    def __init__(self, names: Names, column: str) -> None:
        self._names = names
        self._column = column
        self.columns: set[str] = set()
        self.names: set[str] = set()
        self.paths: set[tuple[str, ...]] = set()
        self.reads_all = False

    def rewrite(self, tree: ast.stmt) -> ast.expr:
        if not isinstance(tree, ast.Expr):
            raise _NotCompiledError
        # Of a copy: the evaluator may still need the tree as it was.
        rewritten: ast.expr = self.visit(copy.deepcopy(tree.value))
        return rewritten

    def generic_visit(self, node: ast.AST) -> ast.AST:
        raise _NotCompiledError(type(node).__name__)

    def _keep(self, node: ast.AST) -> ast.AST:
        return super().generic_visit(node)

    visit_BoolOp = visit_Compare = visit_IfExp = visit_UnaryOp = _keep  # noqa: N815
    visit_List = visit_Set = visit_Slice = visit_Tuple = _keep  # noqa: N815

    def visit(self, node: ast.AST) -> Any:
        """Operators and contexts are kept by their family; everything else by its type."""
        if isinstance(node, (ast.boolop, ast.cmpop, ast.expr_context, ast.unaryop)):
            return node
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

    def visit_Name(self, node: ast.Name) -> ast.AST:  # noqa: PLR0911 (a table of names)
        """A name is, in this order: one of the SDK's own, a column, a function."""
        if node.id in _RECORD:
            self.reads_all = True
            return ast.Name("record", ast.Load())
        if node.id == "config":
            return ast.Name("_config", ast.Load())
        if node.id == "__stream_name__":
            return ast.Constant(self._names.stream)
        if node.id == "__original_stream_name__":
            return ast.Constant(self._names.source)
        if node.id == "self":
            return self._if_there(self._column, self._at("self"))
        if node.id == GET and GET in self._names.functions:
            return self._if_there(GET, self._getter())
        if node.id in self._names.functions:
            return self._if_there(node.id, ast.Name(f"_f_{node.id}", ast.Load()))
        return self._look_up(node.id)

    def _getter(self) -> ast.expr:
        """The function `get` of the record, which may be called with any path."""
        self.reads_all = True
        return _call("_getter", ast.Name("record", ast.Load()))

    def _look_up(self, column: str) -> ast.expr:
        self.names.add(column)
        self.paths.add((column,))
        return self._at(column)

    def _at(self, column: str) -> ast.expr:
        self.columns.add(column)
        record = ast.Name("record", ast.Load())
        return ast.Subscript(record, ast.Constant(column), ast.Load())

    def _if_there(self, column: str, otherwise: ast.expr) -> ast.expr:
        there = ast.Compare(ast.Constant(column), [ast.In()], [ast.Name("record", ast.Load())])
        return ast.IfExp(there, self._at(column), otherwise)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        column = _constant_text(node.slice)
        if _is_record(node.value) and column is not None:
            return self._look_up(column)
        return ast.Subscript(self.visit(node.value), self.visit(node.slice), ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr.startswith(tuple(simpleeval.DISALLOW_PREFIXES)):
            raise _NotCompiledError
        if node.attr in simpleeval.DISALLOW_METHODS:
            raise _NotCompiledError
        return _call("_attribute", self.visit(node.value), ast.Constant(node.attr))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if (path := self._path(node)) is not None:
            return self._look_along(path)
        arguments = [self.visit(argument) for argument in node.args]
        keywords = []
        for keyword in node.keywords:
            if keyword.arg is None:
                raise _NotCompiledError
            keywords.append(ast.keyword(keyword.arg, self.visit(keyword.value)))
        return ast.Call(self._function(node), arguments, keywords)

    def _path(self, node: ast.Call) -> str | None:
        """The path of a call `get('a.b')`; None if it is none, or if the path is computed."""
        is_get = isinstance(node.func, ast.Name) and node.func.id == GET
        if not is_get or GET not in self._names.functions:
            return None
        return _constant_text(node.args[0]) if len(node.args) == 1 and not node.keywords else None

    def _look_along(self, path: str) -> ast.expr:
        """`get` with a path that is known: of the columns, it reads the first step's alone."""
        column, *steps = steps_of(path)
        self.columns.add(column)
        self.paths.add((column, *steps))
        record = ast.Name("record", ast.Load())
        get = ast.Attribute(record, "get", ast.Load())
        value = ast.Call(get, [ast.Constant(column)], [])
        rest = ast.Tuple([ast.Constant(step) for step in steps], ast.Load())
        return _call("_walk", value, rest) if steps else value

    def _function(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Attribute):
            column = _constant_text(node.args[0]) if node.args else None
            if function.attr == "get" and _is_record(function.value) and column is not None:
                self.columns.add(column)
                self.paths.add((column,))
                return ast.Attribute(ast.Name("record", ast.Load()), "get", ast.Load())
            attribute: ast.expr = self.visit(function)
            return attribute
        # The evaluator calls functions only, never what a column of the same name holds.
        if not isinstance(function, ast.Name) or function.id not in self._names.functions:
            raise _NotCompiledError
        if self._names.functions[function.id] in simpleeval.DISALLOW_FUNCTIONS:
            raise _NotCompiledError
        if function.id == GET:
            return self._getter()
        return ast.Name(f"_f_{function.id}", ast.Load())


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _RECORD


def _constant_text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]

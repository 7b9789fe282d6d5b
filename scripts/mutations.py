"""Small changes to a Python file, for scripts/mutants.py."""

from __future__ import annotations

import ast
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TURNED: dict[type[ast.AST], ast.AST] = {
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.Lt: ast.GtE(), ast.GtE: ast.Lt(),
    ast.Gt: ast.LtE(), ast.LtE: ast.Gt(), ast.Is: ast.IsNot(), ast.IsNot: ast.Is(),
    ast.In: ast.NotIn(), ast.NotIn: ast.In(), ast.And: ast.Or(), ast.Or: ast.And(),
}  # fmt: skip
MOVED: dict[type[ast.AST], ast.AST] = {
    ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt(),
}  # fmt: skip
CALCULATED: dict[type[ast.AST], ast.AST] = {
    ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Div(), ast.Div: ast.Mult(),
    ast.FloorDiv: ast.Mult(),
}  # fmt: skip
Functions = (ast.FunctionDef, ast.AsyncFunctionDef)


class Mutant(NamedTuple):
    """A change to a file: `new` replaces the bytes from offset `start` to offset `end`."""

    path: str
    lines: tuple[int, int]
    start: int
    end: int
    kind: str
    new: str
    in_function: bool

    @property
    def name(self) -> str:
        """A name that is unique as long as the file does not change."""
        return f"{self.path}:{self.lines[0]}:{self.start} {self.kind}: {self.new}"

    def apply(self, source: bytes) -> bytes:
        """Return the changed file."""
        return source[: self.start] + self.new.encode() + source[self.end :]


Change = tuple[str, ast.AST, str]
"""The kind of a change, the node that it replaces, and the text that takes its place."""


def _operators(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        yield from _compared(node, "comparison turned", TURNED)
        yield from _compared(node, "boundary moved", MOVED)
    elif isinstance(node, ast.BoolOp):
        turned = ast.BoolOp(TURNED[type(node.op)], node.values)  # type: ignore[arg-type]
        yield "operator turned", node, f"({ast.unparse(turned)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "negation removed", node, f"({ast.unparse(node.operand)})"


def _compared(node: ast.Compare, kind: str, table: Mapping[Any, Any]) -> Iterator[Change]:
    for n, operator in enumerate(node.ops):
        if other := table.get(type(operator)):
            ops = [*node.ops[:n], other, *node.ops[n + 1 :]]
            yield kind, node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"


def _is_number(node: ast.AST) -> bool:
    """Return whether an operand may be a number; the difference of two texts always fails."""
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    text = isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    return not text and not isinstance(node, (ast.JoinedStr, ast.List, ast.Tuple))


def _arithmetic(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, (ast.BinOp, ast.AugAssign)) or type(node.op) not in CALCULATED:
        return
    other: Any = CALCULATED[type(node.op)]
    if isinstance(node, ast.AugAssign):
        if _is_number(node.value):
            changed = ast.AugAssign(node.target, other, node.value)
            yield "arithmetic turned", node, ast.unparse(changed)
    elif _is_number(node):
        yield "arithmetic turned", node, f"({ast.unparse(ast.BinOp(node.left, other, node.right))})"


def _conditions(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, (ast.If, ast.IfExp)):
        yield "condition forced", node.test, "True"
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition forced", node.test, "False"
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "condition forced", test, "True"


def _statements(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield "None returned", node, "return None"
    deleted = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break)
    # Without the assignment of a name, the following code always fails.
    stores = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
    if stores or isinstance(node, deleted):
        yield "statement deleted", node, "pass"


def _constants(node: ast.AST) -> Iterator[Change]:
    # Texts are not changed: most are messages, and a text that matters is in a comparison.
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool):
        yield "constant changed", node, str(not value)
    elif isinstance(value, (int, float)):
        yield "constant changed", node, repr(value + 1)


KINDS = (_operators, _arithmetic, _conditions, _statements, _constants)


def _stays(node: ast.AST) -> bool:
    """Return whether a node is not changed."""
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__"), *_]):
            return True
        # Python before 3.12 does not know where the parts of an f-string are.
        case ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
    return False


def walk(node: ast.AST, *, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield each node that can be changed, and whether the node is in a function."""
    if _stays(node):
        return
    yield node, in_function
    is_function = isinstance(node, Functions)
    for field, child in _children(node):
        yield from walk(child, in_function=in_function or (is_function and field == "body"))


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the child nodes that can be changed, each with the name of its field."""
    for field, value in ast.iter_fields(node):
        if field not in {"annotation", "returns", "decorator_list"}:
            children = value if isinstance(value, list) else [value]
            yield from ((field, child) for child in children if isinstance(child, ast.AST))


def mutants_of(path: str, source: bytes) -> Iterator[Mutant]:
    """Yield all mutants of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, in_function in walk(ast.parse(source)):
        for kind, old, new in chain(*(changes(node) for changes in KINDS)):
            place: Any = old
            lines = (place.lineno, place.end_lineno)
            start = starts[lines[0] - 1] + place.col_offset
            end = starts[lines[1] - 1] + place.end_col_offset
            yield Mutant(path, lines, start, end, kind, new, in_function)

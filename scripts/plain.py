"""Fails when code breaks a rule of docs/contributing.md that keeps the code easy to read.

Each complaint names a file and a line, and says what to do.
"""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import complexipy

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "target_liveintent"
MOST_COMPLEXITY = 12
MOST_ATTRIBUTES = 15
MOST_LINES_OF_A_SHORT_NAME = 3
MOST_FUNCTIONS_WITH_A_SHORT_NAME = 10
LONGEST_SUBJECT = 72
SHORT_NAMES = ("one", "found")
"""Names of variables that do not describe the value of the variable."""
LISTS_OF_FIELDS = {"Settings"}
"""Classes that may have any number of attributes. `Settings` has one for each setting."""
OTHER_PROGRAMS = (f"{PACKAGE}/sandbox/", f"{PACKAGE}/mapping/presets/")
"""Folders that may repeat names of the package: for example, the sandbox shares no code with it."""
COMMON_FILES = {"__init__.py", "__main__.py"}
NEWEST_COMMITS = 50
"""The number of newest commits whose subjects are checked."""

Files = Mapping[str, str]
"""The sources of Python files, by their paths from the root."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def names_twice(files: Files) -> Iterator[str]:
    """Yield a complaint for each public name that two modules of the package define."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in filter(_is_of_package, files):
        for name, line in _public_names(ast.parse(files[path])).items():
            places[name].append(f"{path}:{line}")
    for name, (*before, last) in sorted(places.items()):
        if before:
            yield (
                f"{last}: the public name '{name}' is also defined in {', '.join(before)}: give"
                " each of them a name that says what it is there"
            )


def file_names_twice(paths: Iterable[str]) -> Iterator[str]:
    """Yield a complaint for each name that two files of the package have."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in filter(_is_of_package, paths):
        places[path.rpartition("/")[2]].append(path)
    for name, (*before, last) in sorted(places.items()):
        if before and name not in COMMON_FILES:
            yield f"{last}:1: {', '.join(before)} has the same file name: rename one of them"


def _is_of_package(path: str) -> bool:
    return path.startswith(f"{PACKAGE}/") and not path.startswith(OTHER_PROGRAMS)


def _public_names(module: ast.Module) -> dict[str, int]:
    """Return the public names that a module defines at its top, with their lines."""
    names: dict[str, int] = {}
    for node in _top_level(module.body):
        defined: list[str] = []
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                defined = [name]
            case ast.ClassDef(name=name):
                defined = [name]
            case ast.Assign(targets=targets):
                defined = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined = [name]
        names.update({name: node.lineno for name in defined if not name.startswith("_")})
    return names


def _top_level(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, and the statements within `if` and `try`."""
    for statement in statements:
        yield statement
        if isinstance(statement, (ast.If, ast.Try)):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, part, []))


def short_names(files: Files) -> Iterator[str]:
    """Yield a complaint for each long use of a short name, if more functions have one than may."""
    complaints = [
        f"{path}:{first}: '{name}' in {function.name} lives for {last - first + 1} lines:"
        f" name it after what it holds (at most {MOST_FUNCTIONS_WITH_A_SHORT_NAME} functions may"
        f" have one for more than {MOST_LINES_OF_A_SHORT_NAME} lines)"
        for path, source in files.items()
        for function in functions(ast.parse(source))
        for name, first, last in long_lives(function)
    ]
    if len(complaints) > MOST_FUNCTIONS_WITH_A_SHORT_NAME:
        yield from complaints


def functions(module: ast.Module) -> Iterator[_Function]:
    """Yield all functions of a module."""
    for node in ast.walk(module):
        if isinstance(node, _Function):
            yield node


def long_lives(function: _Function) -> Iterator[tuple[str, int, int]]:
    """Yield the short names that are used over too many lines, with the first and last line.

    The variables of a comprehension or a lambda exist only in this expression, so they are
    separate variables.
    """
    lines: dict[tuple[int, str], list[int]] = defaultdict(list)
    waiting: list[tuple[ast.AST, dict[str, int]]] = [(function, {})]
    while waiting:
        node, owners = waiting.pop()
        match node:
            case ast.Name(id=name) if name in SHORT_NAMES:
                lines[owners.get(name, 0), name].append(node.lineno)
            case ast.arg(arg=name) if name in SHORT_NAMES:
                lines[owners.get(name, 0), name].append(node.lineno)
        if node is not function and isinstance(node, _Function):
            continue  # An inner function is checked separately.
        own = dict.fromkeys(_bound_in(node), id(node))
        waiting += [(child, {**owners, **own}) for child in ast.iter_child_nodes(node)]
    for (_, name), places in sorted(lines.items()):
        if max(places) - min(places) >= MOST_LINES_OF_A_SHORT_NAME:
            yield name, min(places), max(places)


def _bound_in(node: ast.AST) -> list[str]:
    """Return the names of variables that exist only within a comprehension or a lambda."""
    match node:
        case (
            ast.ListComp(generators=generators)
            | ast.SetComp(generators=generators)
            | ast.DictComp(generators=generators)
            | ast.GeneratorExp(generators=generators)
        ):
            targets = [ast.walk(generator.target) for generator in generators]
            bound = itertools.chain.from_iterable(targets)
            return [target.id for target in bound if isinstance(target, ast.Name)]
        case ast.Lambda(args=arguments):
            return [argument.arg for argument in arguments.args]
    return []


def attributes(files: Files) -> Iterator[str]:
    """Yield a complaint for each class with too many fields and attributes of `self`."""
    for path, source in files.items():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ClassDef) or node.name in LISTS_OF_FIELDS:
                continue
            count = len({*_fields(node), *_assigned_to_self(node)})
            if count > MOST_ATTRIBUTES:
                yield (
                    f"{path}:{node.lineno}: class {node.name} has {count} attributes: give some of"
                    f" them a class of their own (at most {MOST_ATTRIBUTES})"
                )


def _fields(kind: ast.ClassDef) -> Iterator[str]:
    for statement in kind.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                if not ast.unparse(annotation).startswith("ClassVar"):
                    yield name


def _assigned_to_self(kind: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(kind):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def complexities(files: Files) -> Iterator[str]:
    """Yield a complaint for each function whose cognitive complexity is too high."""
    for path, source in files.items():
        for function in complexipy.code_complexity(source).functions:
            if function.complexity > MOST_COMPLEXITY:
                yield (
                    f"{path}:{function.line_start}: {function.name} has a cognitive complexity of"
                    f" {function.complexity}: split it (at most {MOST_COMPLEXITY})"
                )


def rows_without_names(files: Files) -> Iterator[str]:
    """Yield a complaint for each parametrized test with rows that need names.

    Pytest derives the name of a row from its values if they are texts, numbers, flags or None.
    Values of other kinds, and rows of several values, need a name.
    """
    for path, source in files.items():
        module = ast.parse(source)
        tables = _tables(module)
        for line, rows in _parametrized(module):
            if any(map(_needs_name, _rows(rows, tables))):
                yield (
                    f"{path}:{line}: rows have no names: write ids=, or"
                    " pytest.param(…, id='what the row is')"
                )


def _tables(module: ast.Module) -> dict[str, ast.expr]:
    """Return the values that a module assigns to names; a test may use such a value as rows."""
    tables: dict[str, ast.expr] = {}
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                tables[name] = value
    return tables


def _parametrized(module: ast.Module) -> Iterator[tuple[int, ast.expr]]:
    """Yield the line and the rows of each `parametrize` without `ids`."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[_, rows, *_]):
                if all(keyword.arg != "ids" for keyword in node.keywords):
                    yield node.lineno, rows


def _rows(rows: ast.expr, tables: Mapping[str, ast.expr]) -> list[ast.expr]:
    """Return the rows of a table, or an example of a generated row.

    A table from another module has no rows here.
    """
    match rows:
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return elements
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
            return [element]
        case ast.Call(func=ast.Attribute(attr="items")):
            return [rows]  # (Each item is a tuple. The rows of a plain dictionary are its keys.)
        case ast.Name(id=name) if name in tables:
            return _rows(tables[name], {})
    return []


def _needs_name(row: ast.expr) -> bool:
    match row:
        case ast.Constant() | ast.Name() | ast.Attribute() | ast.UnaryOp() | ast.JoinedStr():
            return False
        case ast.Starred(value=rows):
            return any(map(_needs_name, _rows(rows, {})))
        case ast.Call(func=ast.Attribute(attr="param"), args=values, keywords=keywords):
            has_id = any(keyword.arg == "id" for keyword in keywords)
            return not has_id and (len(values) > 1 or any(map(_needs_name, values)))
    return True


def long_subjects(log: str) -> Iterator[str]:
    """Yield a complaint for each commit in a log whose subject is too long.

    Each line of the log is the short hash of a commit, a space, and the subject.
    """
    for line in log.splitlines():
        commit, _, subject = line.partition(" ")
        if len(subject) > LONGEST_SUBJECT and not subject.startswith(("Merge ", "Revert ")):
            yield (
                f"commit {commit}: its subject has {len(subject)} characters: say the rest in the"
                f" body (at most {LONGEST_SUBJECT})"
            )


def log_of_commits() -> str:
    """Return the log of the newest commits, which is empty outside of a clone."""
    command = ["git", "-C", str(ROOT), "log", "--format=%h %s", f"--max-count={NEWEST_COMMITS}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _read(*folders: str) -> dict[str, str]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def complaints() -> Iterator[str]:
    """Yield all complaints about the code and about the subjects of commits."""
    package = _read(PACKAGE)
    tests = _read("tests")
    support = {path: source for path, source in tests.items() if "/test_" not in path}
    others = _read("scripts", "benchmarks", "demo")
    yield from long_subjects(log_of_commits())
    yield from complexities({**others, **support})
    yield from names_twice(package)
    yield from file_names_twice(package)
    yield from short_names(package)
    yield from attributes(package)
    yield from complexities(package)
    yield from rows_without_names(tests)


def main() -> int:
    """Print the complaints, and return 1 if there are any."""
    lines = list(complaints())
    print(*lines, sep="\n", end="\n" if lines else "")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())

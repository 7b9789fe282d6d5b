"""Print which tests check each promise of docs/guarantees.md: `scripts/test --promises`.

A promise is a bold sentence at the beginning of an item of the page. A test names its promise by
`@pytest.mark.promise("…")`. The exit code is 1 if a promise has no test, or a test names none of
the promises. This script needs only Python's standard library.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PAGE = ROOT / "docs" / "guarantees.md"
_PROMISE = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def promises_in(page: str) -> list[str]:
    """Return the promises of a page, as plain text on one line each."""
    promised = page.partition("## What is not promised")[0]
    return [
        " ".join(_LINK.sub(r"\1", text).split()).strip(".") for text in _PROMISE.findall(promised)
    ]


def marks_in(source: str) -> Iterator[tuple[str, str]]:
    """Yield the promise and the name of each test in a file's source that names a promise."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.promise":
                    yield ast.literal_eval(call.args[0]), node.name


def main() -> int:
    """Print the promises with their tests, and what is missing."""
    tests = defaultdict[str, list[str]](list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for promise, name in marks_in(path.read_text(encoding="utf-8")):
            tests[promise].append(f"{path.relative_to(ROOT)}::{name}")
    promises = promises_in(_PAGE.read_text(encoding="utf-8"))
    for promise in promises:
        print(f"{promise}", *(f"    {test}" for test in tests[promise]), sep="\n")
    untested = [promise for promise in promises if not tests[promise]]
    unknown = [promise for promise in tests if promise not in promises]
    for promise in untested:
        print(f"No test names the promise: {promise}", file=sys.stderr)
    for promise in unknown:
        named = ", ".join(tests[promise])
        print(f"docs/guarantees.md has no promise '{promise}', named by {named}", file=sys.stderr)
    return 1 if untested or unknown else 0


if __name__ == "__main__":
    sys.exit(main())

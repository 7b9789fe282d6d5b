"""Fails when a class or a file of the project grows beyond what a reader can hold."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("target_liveintent", "scripts", "benchmarks")
MOST_METHODS = 20
MOST_LINES = 400


def complaints(source: str) -> Iterator[str]:
    """Yield a sentence for the file if it is too long, and for each class with too many methods."""
    lines = len(source.splitlines())
    if lines > MOST_LINES:
        yield f"The file has {lines} lines; at most {MOST_LINES} are allowed"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef)) for x in node.body)
            if methods > MOST_METHODS:
                yield f"Class {node.name} has {methods} methods; at most {MOST_METHODS} are allowed"


def main() -> int:
    """Print the complaints about all files, and return 1 if there are any."""
    found = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for complaint in complaints(path.read_text(encoding="utf-8"))
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Fails when a page or a message has a spelling mistake, or a word that `words.txt` replaces.

In a page, code is not checked. In a program, only strings that contain a space are checked, and
neither docstrings nor texts in upper case. Each complaint names the place, and what to write
instead.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "examples/*/*.md")
PROGRAMS = ("target_liveintent/**/*.py",)
WORDS = ROOT / "scripts" / "words.txt"
_CODE = re.compile(r"^( *)```.*?^\1```$|`[^`\n]+`|<!--.*?-->|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
_FOUND = re.compile(r"(\d+): (.*)")

Line = tuple[str, str]
"""A place, such as `docs/index.md:3`, and the text at this place."""


def lines_of_page(page: str, name: str) -> Iterator[Line]:
    """Yield the lines of a page in Markdown, without code, comments and the targets of links."""
    plain = _CODE.sub(lambda code: re.sub(r"[^\n]+", " ", code[0]), page)
    for number, line in enumerate(plain.splitlines(), 1):
        yield f"{name}:{number}", line


def texts_of_program(source: str, name: str) -> Iterator[Line]:
    """Yield the strings of a program that people may read."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            text = node.value
            if isinstance(text, str) and " " in text.strip() and not text.isupper():
                yield f"{name}:{node.lineno}", " ".join(_CODE.sub(" ", text).split())


def complaints(lines: list[Line]) -> list[str]:
    """Return the complaints of codespell about the lines, each with its place."""
    codespell = [sys.executable, "-m", "codespell_lib", "--stdin-single-line"]
    done = subprocess.run(
        [*codespell, "--dictionary", "-", "--dictionary", WORDS, "-"],
        input="".join(f"{text}\n" for _, text in lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stderr:
        raise SystemExit(done.stderr)
    found = filter(None, map(_FOUND.fullmatch, done.stdout.splitlines()))
    return [f"{lines[int(one[1]) - 1][0]}: {one[2]}" for one in found]


def all_lines() -> Iterator[Line]:
    """Yield the lines of all pages, and the strings of all programs."""
    for patterns, read in ((PAGES, lines_of_page), (PROGRAMS, texts_of_program)):
        for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
            yield from read(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())


def main() -> int:
    """Print the complaints about all pages and messages, and return 1 if there are any."""
    found = complaints(list(all_lines()))
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Troubleshooting quotes only what the program says, and is short."""

import ast
import fnmatch
import re
from collections.abc import Iterator

import pytest
from docs_support import DOCS, ROOT

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
MOST_WORDS = 2_500
OF_OTHERS = {'cannot be written in the "ErrorIfExists" mode', "read 0"}
"""What Spark says, and a part of a summary."""

# The code at the beginning of an entry or of a row, if it is more than a word.
_HEADS = re.findall(r"^(?:- |\| )((?:`[^`\n]+`(?:, )?)+)", PAGE, re.MULTILINE)
QUOTED = [text for head in _HEADS for text in re.findall("`([^`]+)`", head) if " " in text]


def _texts() -> Iterator[str]:
    """Yield the texts of the package, with `…` for what is filled in."""
    for path in (ROOT / "target_liveintent").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub("%[sdr]", "…", node.value)


TEXTS = [*_texts()]


def test_messages_are_quoted() -> None:
    assert len(QUOTED) > 15


@pytest.mark.parametrize("text", sorted({*QUOTED} - OF_OTHERS))
def test_the_program_says_it(text: str) -> None:
    """Whoever searches the page for a part of a message finds the words of the program."""
    pattern = "*" + re.sub(r"([\[*?])", r"[\1]", text).replace("…", "*") + "*"
    assert fnmatch.filter(TEXTS, pattern) != []


def test_is_short() -> None:
    """Messages explain themselves; the page has only what a message cannot know."""
    assert len(PAGE.split()) <= MOST_WORDS

"""The changes that scripts/mutants makes to the package."""

from __future__ import annotations

import pytest

mutations = pytest.importorskip("mutations", reason="not a checkout")

SOURCE = b'''"""A docstring stays."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1


def pay(amount: int, word: str = "\xc3\xa9") -> str:
    if amount < 3 and word:
        print(f"{word}")
    return word
'''


def test_every_kind() -> None:
    """Each change replaces its own place, also after a letter of two bytes, and nothing else."""
    found = list(mutations.mutants_of("pay.py", SOURCE))
    assert [(m.kind, m.lines[0], m.in_function) for m in found] == [
        ("constant changed", 8, False),
        ("condition forced", 9, True),
        ("condition forced", 9, True),
        ("operator turned", 9, True),
        ("comparison turned", 9, True),
        ("constant changed", 9, True),
        ("statement deleted", 10, True),
        ("None returned", 11, True),
    ]
    changed = [m.apply(SOURCE).decode().splitlines()[m.lines[0] - 1].strip() for m in found]
    assert changed == [
        "def pay(amount: int, word: str = 'éé') -> str:",
        "if True:",
        "if False:",
        "if (amount < 3 or word):",
        "if (amount >= 3) and word:",
        "if amount < 4 and word:",
        "pass",
        "return None",
    ]

"""The check of sizes that scripts/lint runs."""

from __future__ import annotations

import pytest

sizes = pytest.importorskip("sizes", reason="not a checkout")


def test_a_long_file_is_named() -> None:
    """A file may have 400 lines and no more."""
    assert list(sizes.complaints("x = 1\n" * 400)) == []
    assert list(sizes.complaints("x = 1\n" * 401)) == [
        "The file has 401 lines; at most 400 are allowed"
    ]


def test_a_large_class_is_named() -> None:
    """A class may have 20 methods; properties count, functions inside methods do not."""
    body = "class Large:\n" + "    def a(self):\n        def inner(): ...\n" * 19
    body += "    @property\n    def b(self): ...\n"
    assert list(sizes.complaints(body)) == []
    assert list(sizes.complaints(body + "    async def c(self): ...\n")) == [
        "Class Large has 21 methods; at most 20 are allowed"
    ]

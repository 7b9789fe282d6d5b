"""The check of spelling and words that scripts/lint runs."""

from __future__ import annotations

import pytest

pytest.importorskip("codespell_lib", reason="codespell is not installed")
prose = pytest.importorskip("prose", reason="not a checkout")

PAGE = """# How to mend a map

Mend the map, and not `mend`. See [the map](mend.md).

```sh
mend the map
```

A seperate line.
"""
PROGRAM = '''
"""No one need mend a docstring."""
MESSAGE = "mend the map"
CODE = "mend"
CODES = "ZAR TEH"
LONGER = f"no luck with {MESSAGE} within a minute"
'''


def test_words_of_a_page_are_found() -> None:
    """Headings and sentences are read; code, its spans and the targets of links are not."""
    lines = list(prose.lines_of_page(PAGE, "page.md"))
    assert prose.complaints(lines) == [
        "page.md:1: mend ==> fix",
        "page.md:3: Mend ==> Fix",
        "page.md:9: seperate ==> separate",
    ]


def test_words_of_a_message_are_found() -> None:
    """Strings with a space are read; docstrings and codes are not."""
    lines = list(prose.texts_of_program(PROGRAM, "program.py"))
    assert prose.complaints(lines) == [
        "program.py:3: mend ==> fix",
        "program.py:6: luck ==> success",
    ]


def test_nothing_else_is_said() -> None:
    lines = list(prose.lines_of_page("Fix the map: `total` is empty.", "page.md"))
    assert prose.complaints(lines) == []


def test_all_is_read() -> None:
    """The pages, and the texts of the program, are among what the check reads."""
    places = [place for place, _ in prose.all_lines()]
    for known in ("README.md:1", "docs/index.md:1", "docs/reference/glossary.md:1"):
        assert known in places
    assert any(place.startswith("target_liveintent/delivery/") for place in places)

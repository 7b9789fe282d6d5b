"""The rules that scripts/breaks breaks: their code and their tests are still there."""

from __future__ import annotations

from pathlib import Path

import pytest

breaks = pytest.importorskip("breaks", reason="not a checkout")

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("rule", breaks.BREAKS, ids=lambda rule: rule.name)
def test_a_break(rule: breaks.Break) -> None:
    """What it replaces is there once, and so is each test that must notice."""
    code = (breaks.ROOT / "target_liveintent" / rule.file).read_text(encoding="utf-8")
    assert code.count(rule.code) == 1
    assert rule.broken != rule.code
    for test in rule.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")

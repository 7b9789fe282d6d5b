"""The import paths that docs/reference/python.md promises to programs."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
PUBLIC = (
    "target_liveintent.config.SCHEMA",
    "target_liveintent.config.problems",
    "target_liveintent.config.settings_of",
    "target_liveintent.errors.RunError",
    "target_liveintent.reasons.REASONS",
    "target_liveintent.sandbox.Sandbox",
    "target_liveintent.spark.driver.explain",
    "target_liveintent.spark.source.LiveIntentDataSource",
    "target_liveintent.target.TargetLiveIntent",
)


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_name_can_be_imported(path: str) -> None:
    """Each name is where programs import it from."""
    place, _, name = path.rpartition(".")
    if ".spark." in path:  # It needs libraries that the tests may lack.
        assert importlib.util.find_spec(place)
    else:
        module = importlib.import_module(place)
        assert name in getattr(module, "__all__", vars(module))


@pytest.mark.skipif(not PAGE.exists(), reason="not a checkout")
def test_the_page_lists_these_names() -> None:
    """A name that is added to the page or taken from it is added here or taken from here."""
    table = PAGE.read_text(encoding="utf-8").partition("[[[end]]]")[0]
    named = re.findall(r"^\| `(target_liveintent\.[\w.]+)` \|", table, re.MULTILINE)
    assert sorted(named) == [*PUBLIC]

"""The reference of the command line names each field of the JSON that its commands print."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from target_liveintent.explain import comparison, record_walk, trace
from target_liveintent.explain import description as explanation
from target_liveintent.mapping import map_checks
from target_liveintent.reporting import findings, letter_groups, overview
from target_liveintent.reporting.history import Unusual
from target_liveintent.run.replay_converter import PROSPECTS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "json.md"
INTERNAL = [explanation.Explained]
"""What an explanation is made of; it is printed nowhere."""


@pytest.mark.skipif(not PAGE.exists(), reason="not a checkout")
@pytest.mark.parametrize(
    ("model", "name", "others"),
    [
        (explanation, "an explanation", {*explanation.SOURCE_WORDS}),
        (comparison, "a comparison", {"event_id", "pixel_id"}),
        (map_checks, "an explanation", {*map_checks.FINDING_WORDS, *map_checks.HINT_WORDS}),
        (letter_groups, "dead letters", {*PROSPECTS}),
        (overview, "a report", {*overview.FIGURES}),
        (trace, "a trace", {one.value for one in trace.TraceOutcome}),
        (record_walk, "a trace", set()),
        (findings, "a report", {*Unusual.__struct_fields__, "cause", "words", "what_to_do"}),
    ],
    ids=[
        "explanation",
        "comparison",
        "findings",
        "letters",
        "report",
        "trace",
        "walk",
        "causes of a report",
    ],
)
def test_every_field_is_documented(model: Any, name: str, others: set[str]) -> None:
    named = [kind for kind in vars(model).values() if isinstance(kind, msgspec.StructMeta)]
    kinds = [kind for kind in named if kind.__module__ == model.__name__ and kind not in INTERNAL]
    fields = {field for kind in kinds for field in kind.__struct_fields__}
    section = PAGE.read_text(encoding="utf-8").split(f"## The JSON of {name}\n")[1]
    assert set(re.findall(r"`(\w+)`", section.partition("\n## ")[0])) >= fields | others

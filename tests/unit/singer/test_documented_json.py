"""A page of the reference describes each field of the JSON that commands print."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from target_liveintent.explain import comparison, letter_groups, record_walk, trace
from target_liveintent.explain import description as explanation
from target_liveintent.mapping import map_checks
from target_liveintent.reporting import findings, overview
from target_liveintent.reporting.history import Unusual
from target_liveintent.run.replay_converter import PROSPECTS
from target_liveintent.store import ledger

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "json.md"
NOT_PRINTED = [explanation.Explained, letter_groups.Letters]
"""What an explanation is made of, and a base class."""


@pytest.mark.skipif(not PAGE.exists(), reason="not a checkout")
@pytest.mark.parametrize(
    ("model", "name", "others"),
    [
        (explanation, "an explanation", {*explanation.SOURCE_WORDS}),
        (comparison, "a comparison", set()),
        (map_checks, "an explanation", {*map_checks.FINDING_WORDS, *map_checks.HINT_WORDS}),
        (letter_groups, "dead letters", {*PROSPECTS}),
        (overview, "a report", {*overview.FIGURES}),
        (ledger, "a report", set()),
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
        "ledger",
        "trace",
        "walk",
        "causes of a report",
    ],
)
def test_every_field_is_documented(model: Any, name: str, others: set[str]) -> None:
    """The page has a table of the fields of each struct of a module, and names other words."""
    named = [kind for kind in vars(model).values() if isinstance(kind, msgspec.StructMeta)]
    kinds = [kind for kind in named if kind.__module__ == model.__name__]
    section = (
        PAGE.read_text(encoding="utf-8").split(f"## The JSON of {name}\n")[1].partition("\n## ")[0]
    )
    tables = [
        [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
        for table in section.split("\n\n")
    ]
    printed = [[*kind.__struct_fields__] for kind in kinds if kind not in NOT_PRINTED]
    # The JSON has the fields of a cause beside those of its problem.
    undocumented = [
        fields for fields in printed if [it for it in fields if it != "cause"] not in tables
    ]
    assert undocumented == []
    assert [word for word in others if f"`{word}`" not in section] == []

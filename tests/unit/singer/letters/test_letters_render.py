"""The lines that `--dead-letters` prints, and the JSON that it documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from target_liveintent.singer.letters import as_lines
from target_liveintent.singer.letters.model import (
    PROSPECTS,
    Addressee,
    DeadLetters,
    Example,
    NoLetters,
    ReasonLetters,
    StreamLetters,
)

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "cli.md"
FIRST, LAST = "2026-08-01T10:00:00+00:00", "2026-08-02T10:00:00+00:00"


def replay(**numbers: int) -> dict[str, int]:
    return {**dict.fromkeys(PROSPECTS, 0), **numbers}


def found(**changes: Any) -> DeadLetters:
    nothing = DeadLetters("x.singer", [], 0, 0, None, None, replay(), [], [], NoLetters())
    return msgspec.structs.replace(nothing, **changes)


ORDERS = StreamLetters(
    "orders",
    1_005,
    FIRST,
    LAST,
    replay(sends=1_000, expired=5),
    [
        Example("7", "#7", "value", "too much", None),
        Example("8", None, None, None, {"id": 8}),
        Example(None, None, None, None),
    ],
)


def test_what_is_printed() -> None:
    """Each number has its words; what does not occur is not mentioned."""
    lines = as_lines(
        found(
            notes=["A note."],
            files=2,
            letters=1_006,
            first=FIRST,
            last=LAST,
            replay=replay(sends=1_000, expired=6),
            reasons=[
                ReasonLetters("refused_by_api", 1_005, "What to do.", [ORDERS]),
                ReasonLetters(
                    "no_identity",
                    1,
                    "Nothing.",
                    [StreamLetters("carts", 1, FIRST, FIRST, replay(expired=1), [])],
                ),
            ],
            written_for=[
                Addressee("a-1b2c", "api.example.com", "5", letters=1_000),
                Addressee("a-1b2c", "api.example.com", None, letters=4),
                Addressee("(others)", None, None, letters=1),
                Addressee(None, None, None, letters=1),
            ],
            others=NoLetters(2, "x.singer", 9, 1),
        )
    )
    assert "\n".join(lines) == (
        "A note.\n"
        "Dead letters in 'x.singer', 2 files: 1,006,"
        " written from 2026-08-01 10:00:00 UTC to 2026-08-02 10:00:00 UTC\n"
        "  a replay sends them now: 1,000\n"
        "  their window has closed, so a replay drops them: 6\n"
        "\n"
        "refused_by_api: 1,005\n"
        "  What to do.\n"
        "  orders: 1,005,"
        " written from 2026-08-01 10:00:00 UTC to 2026-08-02 10:00:00 UTC\n"
        "    a replay sends them now: 1,000\n"
        "    their window has closed, so a replay drops them: 5\n"
        "    event 7, order #7, column value: too much\n"
        '    event 8, key properties {"id":8}\n'
        "    without an event ID\n"
        "    and 1,002 more\n"
        "\n"
        "no_identity: 1\n"
        "  Nothing.\n"
        "  carts: 1, written at 2026-08-01 10:00:00 UTC\n"
        "    their window has closed, so a replay drops them: 1\n"
        "    and 1 more\n"
        "\n"
        "Written for\n"
        "  a-1b2c at api.example.com, pixel 5: 1,000\n"
        "  a-1b2c at api.example.com: 4\n"
        "  (others): 1\n"
        "  unknown account: there was no usable pixel, or an older version wrote the"
        " dead letters: 1\n"
        "The output leaves out lines that are not dead letters (2). The first of these lines is"
        " line 9 of 'x.singer'.\n"
        "If the last line of a file is incomplete, the output leaves out this line (lines: 1). A"
        " run is still writing the line, or crashed while writing it. After a crash, the tap"
        " sends the record of the line again."
    )


def test_letters_that_do_not_say_when() -> None:
    """Where no letter has a time, no line has one."""
    (line, *_) = as_lines(found(files=1, letters=1, replay=replay(sends=1)))
    assert line == "Dead letters in 'x.singer': 1"


def test_no_letters() -> None:
    """That nothing is there is told from a file without letters."""
    absent = "There are no dead letters: '{}' does not exist."
    assert [*as_lines(found())] == [absent.format(Path("x.singer").absolute())]
    for path in ("/data/x.singer", "s3://bucket/letters"):
        assert [*as_lines(found(path=path))] == [absent.format(path)]
    assert [*as_lines(found(files=1))] == ["There are no dead letters in 'x.singer'."]


@pytest.mark.skipif(not PAGE.exists(), reason="not a checkout")
def test_the_page_has_each_field() -> None:
    """The reference names each member of the JSON, and each thing that a replay does."""
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition("## The JSON of dead letters")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section))
    kinds = (Addressee, DeadLetters, Example, NoLetters, ReasonLetters, StreamLetters)
    members = {name for kind in kinds for name in kind.__struct_fields__}
    assert documented >= members | PROSPECTS.keys()

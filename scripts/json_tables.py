"""Generates the tables of docs/reference/json.md from the docstrings of the structs."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import tables

from target_liveintent import failures
from target_liveintent.conversions import amounts
from target_liveintent.explain import comparison as comparisons
from target_liveintent.explain import description, letter_groups, record_walk
from target_liveintent.explain import trace as traces
from target_liveintent.mapping import map_checks
from target_liveintent.reporting import findings, history, overview
from target_liveintent.run import doubts
from target_liveintent.store import ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    import msgspec

_SECTION = re.compile(r"^Attributes:\n((?:    .*(?:\n|$))+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)
_PLACEHOLDER = re.compile(r"{(\w*)}")
_NAME = re.compile(r"\w*[a-z]_\w*(?:\([^)]*\))?")


def explanation() -> str:
    """Return the tables about an explanation."""
    return _joined(
        _fields("field", description.Explanation),
        _fields("field of one of `streams`", description.ExplainedStream),
        _fields("field of a source (in `fields`)", description.FieldSource),
        _sources(),
        _fields("field of a finding", map_checks.MapFinding),
        _findings(),
        _fields("field of a `hint`", map_checks.Hint),
        _hints(),
        _fields("field of a doubt (in `warnings`)", doubts.Doubt),
        _fields("field of `records`", description.Records),
        _fields("field of one of `reasons`", description.Rejected),
        _fields("field of `left_out`", description.LeftOut),
        _fields("field of one of `currencies`", amounts.CurrencyFigures),
        _fields("field of one of `absent_streams`", map_checks.AbsentStream),
        _fields("field of one of `failures`", failures.Failure),
        _fields("field of one of `hints`", failures.CauseHint),
        _fields("field of `expectation`", description.Expectation),
    )


def comparison() -> str:
    """Return the tables about a comparison."""
    return _joined(
        _fields("field", comparisons.Comparison),
        _fields("field of one of `streams`", comparisons.StreamComparison),
        _fields("field of `examples`", comparisons.ComparisonExamples),
        _fields("field of one of `changed_ids`", comparisons.ChangedId),
        _fields("field of `old` and `new`", comparisons.IdAndPixel),
    )


def dead_letters() -> str:
    """Return the tables about what `dead-letters` prints."""
    return _joined(
        _fields("field", letter_groups.DeadLetters),
        _fields("field of one of `reasons`", letter_groups.ReasonLetters),
        _fields("field of one of `streams`", letter_groups.StreamLetters),
        _fields("field of one of `examples`", letter_groups.Example),
        _fields("field of one of `written_for`", letter_groups.Addressee),
    )


def report() -> str:
    """Return the tables about a report, without its causes."""
    return _joined(
        _fields("other fields", overview.Overview),
        _fields("field of a ledger", ledger.Ledger),
        _fields("field of `last_24_hours`", overview.LastDay),
        _fields("field of one of `figures`", overview.Compared),
        _figures(),
        _fields("field of `usual`", history.Range),
        _fields("field of one of `days`", overview.DayOfRuns),
        _fields("field of one of `changes` of a day", findings.Change),
        _fields("field of one of `gaps`", findings.Gap),
    )


def causes() -> str:
    """Return the tables about the causes of a report."""
    return _joined(
        _fields("field of each cause", findings.Problem, without=("cause",)),
        _fields("field of a cause `failed`", findings.FailedRuns),
        _fields("field of a cause `no_run`", findings.NoRun),
    )


def trace() -> str:
    """Return the tables about a trace."""
    return _joined(
        _fields("field", traces.Traced),
        _fields("field of `letter`", traces.LetterDetails),
        _fields("field of `delivered`", traces.Delivery),
        _fields("field of `now`", record_walk.RecordNow),
        _fields("field of `filter`", record_walk.FilterNow),
        _fields("field of one of `columns`", record_walk.ColumnNow),
        _fields("field of `age`", record_walk.AgeNow),
    )


def _joined(*shown: str) -> str:
    return "\n\n".join(shown)


def attributes(kind: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say about each attribute."""
    meanings: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        section = _SECTION.search(inspect.cleandoc(one.__dict__.get("__doc__") or ""))
        for name, meaning in _ATTRIBUTE.findall(section[1] if section else ""):
            meanings[name] = " ".join(meaning.split())
    return meanings


def _fields(head: str, kind: type[msgspec.Struct], *, without: tuple[str, ...] = ()) -> str:
    """Return a table of the fields of a struct in JSON; `head` is the head of the first column.

    Raises:
        KeyError: If the docstring does not describe a field.
    """
    meanings = attributes(kind)
    rows = [
        (f"`{name}`", re.sub(r"\bNone\b", "null", meanings[name]))
        for name in kind.__struct_fields__
        if name not in without
    ]
    return tables.table((head, "what it contains"), rows)


def _sources() -> str:
    """Return a table of the kinds of sources that a column of an event can have."""
    return _codes("a source", description.SOURCE_WORDS, "value")


def _findings() -> str:
    """Return a table of the problems that a map can have."""
    return _codes("a finding", map_checks.FINDING_WORDS)


def _hints() -> str:
    """Return a table of the kinds of hints to the author of a map."""
    return _codes("a hint", map_checks.HINT_WORDS, "name")


def _codes(of: str, words: Mapping[str, str], unnamed: str = "") -> str:
    """Return a table of codes with their words, in which the names of fields take their values."""
    rows = [
        (
            f"`{code}`",
            # (In Markdown, the underscores of `__key_properties__` would mean bold text.)
            _PLACEHOLDER.sub(
                lambda found: f"`{found[1] or unnamed}`", _NAME.sub(r"`\g<0>`", sentence)
            ),
        )
        for code, sentence in words.items()
    ]
    return tables.table((f"`code` of {of}", "its words"), rows)


def _figures() -> str:
    """Return a table of the figures of a report."""
    rows = [
        (f"`{name}`", f"{kind.name} (a share)" if kind.is_share else kind.name)
        for name, kind in overview.FIGURES.items()
    ]
    return tables.table(("`figure`", "what it says"), rows)

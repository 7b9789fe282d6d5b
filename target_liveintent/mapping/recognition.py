"""Recognizes the columns of a source that certainly contain the values for columns of events.

A column is recognized only if each word of its name is known and no check has an objection. Columns
with similar names are candidates. A candidate has a remark that says why the column is not
recognized. `recognized.yaml` lists the names, and the forms of values.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from target_liveintent.mapping import functions
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.source_columns import (
    SourceColumn,
    SourceTable,
    has_form_of,
    time_calls,
)
from target_liveintent.mapping.vocabulary import is_number_of, vocabulary

_MOST_REPEATED_SHARE = 0.02
"""If more than this share of the rows repeat the ID of another row, the column is not the event
ID. A smaller share may be orders that were exported twice."""
_LEAST_ROWS_TO_COMPARE = 3
"""Equal values mean something only if there are at least this many rows."""
_MANY_ROWS, _LEAST_DIFFERENT_SHARE = 20, 0.1
"""If a column has values in at least this many rows, and at most this share of the values are
different, the column does not describe the buyers."""
_MOST_CANDIDATES = 5
_ID = re.compile(r"(?=.*\d)[\w#/.-]{1,40}")
_WORDS_OF_OTHER_URLS = frozenset({"referrer", "referer", "product", "image"})


class ColumnRemark(NamedTuple):
    """A remark on a column, for the person who checks a proposed map.

    Attributes:
        code: A key of `REMARK_WORDS` in explain/proposal_text.py, which has the words.
        facts: The values that replace the names in braces in these words.
    """

    code: str
    facts: Mapping[str, Any] = {}


class Candidate(NamedTuple):
    """A column that a person may choose, and the reason why it is not recognized."""

    column: SourceColumn
    remark: ColumnRemark


class Recognition(NamedTuple):
    """Which column of the source contains the values for one column of events.

    Attributes:
        column: The recognized column of the source; None if no column is recognized.
        candidates: Columns from which a person may choose if no column is recognized.
        remark: A remark on the result, for the person who checks the map.
        reading: The Python code that reads the value, with `{}` in place of the column's
            expression.
    """

    column: SourceColumn | None
    candidates: Sequence[Candidate] = ()
    remark: ColumnRemark | None = None
    reading: str = "{}"

    @property
    def expression(self) -> str | None:
        """The expression that reads the column; None if no column was recognized."""
        return None if self.column is None else self.reading.replace("{}", self.column.expression)


def recognize(field: str, table: SourceTable) -> Recognition:
    """Return the column of a source that certainly contains the values of `field`, or candidates.

    `field` is the name of a column of events.
    """
    column, against = _first_sure(field, _columns_by_name(field, table), table)
    if column is None and not against:
        by_form = [
            column
            for column in table.columns
            if _has_form(field, column) and _objection(field, column, table) is None
        ]
        column, against = _first_sure(field, [by_form], table)
    if column is None:
        return Recognition(None, _candidates(field, table, against))
    if field == "event_id":
        return Recognition(column, remark=_repeats(column, table))
    if field == "event_time" and column.samples:
        return Recognition(column, reading=time_calls(column.samples)[0])
    return Recognition(column)


def _first_sure(
    field: str, groups: Iterable[Sequence[SourceColumn]], table: SourceTable
) -> tuple[SourceColumn | None, dict[Path, ColumnRemark]]:
    """Return the first column without an objection, and the objections to the columns before it.

    The columns of a group fit equally well, and better than the columns of the next group.
    """
    against: dict[Path, ColumnRemark] = {}
    for group in groups:
        for column, remark in _judged(field, group, table):
            if remark is None:
                return column, against
            against[column.path] = remark
            if field == "value":  # The next column is a different amount, such as the tax.
                return None, against
    return None, against


def _judged(
    field: str, group: Sequence[SourceColumn], table: SourceTable
) -> list[tuple[SourceColumn, ColumnRemark | None]]:
    """Return each column of a group with its objection, or with None."""
    objections = [(column, _objection(field, column, table)) for column in group]
    equal = [column for column, objection in objections if objection is None]
    return [(column, objection or _rival(column, equal)) for column, objection in objections]


# Names


class _Match(NamedTuple):
    """How well the name of a column fits; the smallest tuple is the best match.

    Attributes:
        place: The position of the matching name in the `names` of `recognized.yaml`.
        more_words: How many other words the name of the column contains.
        is_vague: Whether the column is for a time, but the SCHEMA declares it as text.
        least_likely: The position in the list `also` of the least likely of the other words, or -1
            if none of them is in this list.
    """

    place: int
    more_words: int
    is_vague: bool
    least_likely: int


def _columns_by_name(field: str, table: SourceTable) -> list[list[SourceColumn]]:
    """Return groups of columns whose names fit equally well; the best group comes first."""
    groups: defaultdict[_Match, list[SourceColumn]] = defaultdict(list)
    for column in table.columns:
        match = _match(field, column, table.words)
        if match is not None:
            groups[match].append(column)
    return [groups[match] for match in sorted(groups)]


def _match(field: str, column: SourceColumn, stream: frozenset[str]) -> _Match | None:
    """Return how well a name fits; None if it does not fit, or contains an unknown word."""
    known = vocabulary()
    rules, words = known.fields[field], _relevant_words(field, column)
    is_number = field == "value" and is_number_of(column.path[-1])
    if is_number or not column.may_be(rules.types):
        return None
    beside = known.neutral.union(rules.also, _deeds_beside(field, stream))
    if field == "value":
        beside |= known.amounts.codes
    is_vague = field == "event_time" and column.types == {"string"}
    for place, name in enumerate(rules.phrases):
        more = words - name
        if name <= words and more <= beside:
            places = [rules.also.index(word) for word in more.intersection(rules.also)]
            return _Match(place, len(more), is_vague, max(places, default=-1))
    return None


def _relevant_words(field: str, column: SourceColumn) -> frozenset[str]:
    """Return the words of a name that are compared with the names in `recognized.yaml`."""
    known = vocabulary()
    if field == "value":
        return column.words - known.amounts.minor
    is_described = "time" in column.types or bool(column.samples)
    if field == "event_time" and is_described and column.words - known.neutral:
        return column.words | {"date"}  # The name may be just `created`.
    return column.words


def _deeds_beside(field: str, stream: frozenset[str]) -> frozenset[str]:
    """Return the words for actions, such as a payment, that the name of a column may contain.

    The name of an ID may contain only actions in the stream's name, because an order also has the
    IDs of payments.
    """
    deeds = vocabulary().deeds
    if field == "event_id":
        return deeds & stream
    if field == "order_id":
        return (deeds & stream) - {"subscription", "application", "ticket"}
    return deeds


def _rival(column: SourceColumn, equal: Sequence[SourceColumn]) -> ColumnRemark | None:
    """Return a remark if another column fits equally well, unless both have the same values."""
    rivals = [other for other in equal if other.path != column.path]
    if column.words == {"date", "created"}:  # A row is created only once.
        rivals = [other for other in rivals if other.words != column.words]
    has_values = len(column.samples) >= _LEAST_ROWS_TO_COMPARE
    if not rivals or (has_values and all(other.samples == column.samples for other in rivals)):
        return None
    return ColumnRemark("rival", {"column": rivals[0].name})


def _has_form(field: str, column: SourceColumn) -> bool:
    """Return whether a column's values have the form of `field`, and its name has no other meaning.

    Names with only neutral words, or with words for `field`, have no other meaning.
    """
    known = vocabulary()
    rules = known.fields[field]
    if rules.mark is not None and any(rules.mark in str(value) for value in column.samples):
        return column.words.isdisjoint(_WORDS_OF_OTHER_URLS)
    if not rules.by_shape or not column.may_be(rules.types):
        return False
    words = (word for word in column.words if not word.isdigit())
    if not rules.words.union(known.neutral).issuperset(words):
        return False
    if not column.samples:
        return field == "event_time" and "time" in column.types
    # A hash may be the hash of anything, and a number may be an ID or a telephone number.
    if field == "email":
        return column.fits(lambda value: "@" in str(value))
    return field != "event_time" or not column.fits(functools.partial(has_form_of, "value"))


# The objections to a column


def _objection(field: str, column: SourceColumn, table: SourceTable) -> ColumnRemark | None:
    """Return the objection to a column that fits; None if the column may be proposed."""
    if field == "email":
        if not table.words.isdisjoint(vocabulary().strangers):
            return ColumnRemark("strangers")
        of_customer = column.words | {"customer"}
        beside = (other.words for other in table.columns if other.path[:-1] == column.path[:-1])
        if column.words != of_customer and of_customer in beside:
            return ColumnRemark("other_customer")
    if _is_ambiguous(field, column, table):
        return ColumnRemark("ambiguous_name")
    return _against_values(field, column, table)


def _is_ambiguous(field: str, column: SourceColumn, table: SourceTable) -> bool:
    """Return whether the name of a column can mean something else because of other columns."""
    known = vocabulary()
    words = column.words - known.neutral
    return any(
        table.has_word(unsure.present, column)
        or (bool(unsure.absent) and not table.has_word(unsure.absent, column))
        for name, unsure in known.fields[field].unsure.items()
        if words == frozenset(name.split()) or column.name.casefold() == name
    )


def _against_values(field: str, column: SourceColumn, table: SourceTable) -> ColumnRemark | None:
    """Return the first objection to the values of a column; None if no check has an objection."""
    if field != "event_time" and not column.fits(functools.partial(has_form_of, field)):
        return ColumnRemark("other_form")
    remarks = (check(column, table) for check in _VALUE_CHECKS.get(field, ()))
    return next((remark for remark in remarks if remark is not None), None)


def _unclear_times(column: SourceColumn, _: SourceTable) -> ColumnRemark | None:
    calls = time_calls(column.samples) if column.samples else ["{}"]
    if not calls:
        return ColumnRemark("no_times")
    return ColumnRemark("day_or_month") if len(calls) > 1 else None


def _vague_id(column: SourceColumn, _: SourceTable) -> ColumnRemark | None:
    is_vague = column.words - vocabulary().neutral in ({"order"}, {"code"})
    are_ids = bool(column.samples) and all(_ID.fullmatch(str(value)) for value in column.samples)
    return ColumnRemark("vague_name") if is_vague and not are_ids else None


def _unknown_values(column: SourceColumn, _: SourceTable) -> ColumnRemark | None:
    is_known = bool(column.samples) or column.types == {"boolean"}
    return None if is_known else ColumnRemark("unknown_values")


def _few_values(column: SourceColumn, _: SourceTable) -> ColumnRemark | None:
    """Return a remark if the values repeat too often to describe the buyers.

    Such values may belong to a shop, its clerks or a proxy.
    """
    rows, different = len(column.samples), len(set(map(str, column.samples)))
    if rows >= _LEAST_ROWS_TO_COMPARE and different == 1:
        return ColumnRemark("one_value", {"rows": rows})
    if rows >= _MANY_ROWS and different <= rows * _LEAST_DIFFERENT_SHARE:
        return ColumnRemark("few_values", {"rows": rows, "different": different})
    return None


def _repeated_ids(column: SourceColumn, table: SourceTable) -> ColumnRemark | None:
    remark = _repeats(column, table)
    return remark if remark is not None and remark.code == "repeated" else None


_VALUE_CHECKS: dict[str, Sequence[Callable[[SourceColumn, SourceTable], ColumnRemark | None]]] = {
    "event_id": (_vague_id, _few_values, _repeated_ids),
    "event_time": (_unclear_times,),
    "email": (_few_values,),
    "order_id": (_vague_id, _few_values),
    "ip": (_few_values,),
    "consent": (_unknown_values,),
}
"""For each column of events, the checks of values that follow the check of the form."""


def _repeats(column: SourceColumn, table: SourceTable) -> ColumnRemark | None:
    """Return a remark if rows repeat the IDs of other rows; None if all IDs are different.

    The code is `repeated` if too many rows repeat IDs, and otherwise `repeated_sent_once`.
    """
    rows = len(column.samples)
    repeated = rows - len(set(map(str, column.samples)))
    if not repeated:
        return None
    # Two equal records are one event.
    records = {repr(sorted(record.items())): record for record in table.records}
    values = [str(functions.walk(record, column.path)) for record in records.values()]
    are_too_many = len(values) - len(set(values)) > rows * _MOST_REPEATED_SHARE
    code = "repeated" if are_too_many else "repeated_sent_once"
    return ColumnRemark(code, {"repeated": repeated, "rows": rows})


# Candidates


def _candidates(
    field: str, table: SourceTable, against: Mapping[Path, ColumnRemark]
) -> list[Candidate]:
    """Return the columns from which a person may choose; the most likely column comes first."""
    known = vocabulary()
    rules = known.fields[field]
    understood = known.neutral | known.deeds | rules.words
    near = []
    for column in table.columns:
        has_core = not column.words.isdisjoint(rules.core) and column.may_be(rules.types)
        if column.path in against or has_core:
            others = sorted(word for word in column.words - understood if not word.isdigit())
            near.append((column, others))
    near.sort(key=lambda pair: (pair[0].path not in against, len(pair[1])))
    return [
        Candidate(column, against.get(column.path) or _against_name(field, column, others, table))
        for column, others in near[:_MOST_CANDIDATES]
    ]


def _against_name(
    field: str, column: SourceColumn, others: Sequence[str], table: SourceTable
) -> ColumnRemark:
    if others:
        return ColumnRemark("other_word", {"word": others[0]})
    return _against_values(field, column, table) or ColumnRemark("vague_name")

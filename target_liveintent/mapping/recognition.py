"""Chooses the column of a source that surely holds what a column of an event needs.

A column is chosen only if each word of its name is understood and nothing speaks against it; any
other is a candidate, with a remark that says why. `recognized.yaml` has the names and forms.
"""

from __future__ import annotations

import functools
import itertools
import re
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
"""The share of rows that may repeat an ID: an order that was exported twice is still one order."""
_LEAST_ROWS_TO_COMPARE = 3
"""If so many rows have the same address, it is not the buyers'."""
_MANY_ROWS, _LEAST_DIFFERENT_SHARE = 20, 0.1
"""If so many rows have a smaller share of different addresses, they are not the buyers'."""
_MOST_CANDIDATES = 5
_ID = re.compile(r"(?=.*\d)[\w#/.-]{1,40}")
_WORDS_OF_OTHER_URLS = frozenset({"referrer", "referer", "product", "image"})


class Remark(NamedTuple):
    """What a person should know of a column: a code of `REMARK_WORDS`, and the facts in its words.

    The words are in explain/proposal_text.py.
    """

    code: str
    facts: Mapping[str, Any] = {}


class Candidate(NamedTuple):
    """A column that a person may choose, and why it was not chosen."""

    column: SourceColumn
    remark: Remark


class Recognition(NamedTuple):
    """The column that surely holds what a column of an event needs; None if there are candidates.

    `reading` is the call that reads the column, with `{}` for it.
    """

    column: SourceColumn | None
    candidates: Sequence[Candidate] = ()
    remark: Remark | None = None
    reading: str = "{}"

    @property
    def expression(self) -> str | None:
        """The expression that reads the column; None without one."""
        return None if self.column is None else self.reading.replace("{}", self.column.expression)


def recognize(field: str, table: SourceTable) -> Recognition:
    """Find the column that surely holds what a column of an event needs."""
    column, against = _first_sure(field, _columns_by_name(field, table), table)
    if column is None and not against:
        column, against = _first_sure(field, [_columns_by_form(field, table)], table)
    if column is None:
        return Recognition(None, _candidates(field, table, against))
    if field == "event_id":
        return Recognition(column, remark=_repeats(column, table))
    if field == "event_time" and column.samples:
        return Recognition(column, reading=time_calls(column.samples)[0])
    return Recognition(column)


def _first_sure(
    field: str, groups: Iterable[Sequence[SourceColumn]], table: SourceTable
) -> tuple[SourceColumn | None, dict[Path, Remark]]:
    """Return the first column with nothing against it, and what is against those before it.

    The columns of a group fit equally well, and better than those of the next group.
    """
    against: dict[Path, Remark] = {}
    for group in groups:
        objections = {column.path: _objection(field, column, table) for column in group}
        equal = [column for column in group if objections[column.path] is None]
        for column in group:
            remark = objections[column.path] or _rival(column, equal)
            if remark is None:
                return column, against
            against[column.path] = remark
            if field == "value":  # The next best amount is another one.
                return None, against
    return None, against


# Names


class _Match(NamedTuple):
    """How well the name of a column fits; the best one is the smallest.

    Attributes:
        place: That of the name among the names of the field.
        more_words: How many words stand beside the name.
        is_vague: Whether it may be a time, but its type is text, such as 20261128.
        least_likely: The place of the least likely word beside the name.
    """

    place: int
    more_words: int
    is_vague: bool
    least_likely: int


def _columns_by_name(field: str, table: SourceTable) -> list[list[SourceColumn]]:
    """Return the columns whose names fit, those that fit equally well as a group."""
    matches = [
        (match, column)
        for column in table.columns
        if (match := _match(field, column, table.words)) is not None
    ]
    matches.sort(key=_first)
    return [[column for _, column in group] for _, group in itertools.groupby(matches, key=_first)]


def _first(pair: tuple[_Match, SourceColumn]) -> _Match:
    return pair[0]


def _match(field: str, column: SourceColumn, stream: frozenset[str]) -> _Match | None:
    """Return how well a name fits; None if it does not, or has a word that is not understood."""
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
    """Return the words of a column by which its name is compared with those of a field."""
    known = vocabulary()
    if field == "value":
        return column.words - known.amounts.minor
    is_described = "time" in column.types or bool(column.samples)
    if field == "event_time" and is_described and column.words - known.neutral:
        return column.words | {"date"}  # Such as `created`.
    return column.words


def _deeds_beside(field: str, stream: frozenset[str]) -> frozenset[str]:
    """Return the deeds that a name may have: an order may have the ID of a payment beside its own.

    So the deed of an ID must be that of the stream.
    """
    deeds = vocabulary().deeds
    if field == "event_id":
        return deeds & stream
    if field == "order_id":
        return (deeds & stream) - {"subscription", "application", "ticket"}
    return deeds


def _rival(column: SourceColumn, equal: Sequence[SourceColumn]) -> Remark | None:
    """Return a remark if another column fits as well, and does not hold the same."""
    rivals = [other for other in equal if other.path != column.path]
    if column.words == {"date", "created"}:  # A row is created only once.
        rivals = [other for other in rivals if other.words != column.words]
    has_values = len(column.samples) >= _LEAST_ROWS_TO_COMPARE
    if not rivals or (has_values and all(other.samples == column.samples for other in rivals)):
        return None
    return Remark("rival", {"column": rivals[0].name})


# Forms


def _columns_by_form(field: str, table: SourceTable) -> list[SourceColumn]:
    """Return the columns whose values say what they hold, if nothing is against them."""
    return [
        column
        for column in table.columns
        if _has_form(field, column) and _objection(field, column, table) is None
    ]


def _has_form(field: str, column: SourceColumn) -> bool:
    """Return whether the values say what a column holds, and its name says nothing else."""
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
    # A hash can be that of anything, and a number can also be an ID or a telephone number.
    if field == "email":
        return column.fits(lambda value: "@" in str(value))
    return field != "event_time" or not column.fits(functools.partial(has_form_of, "value"))


# What is against a column

_Check = Callable[[str, SourceColumn, SourceTable], Remark | None]


def _objection(field: str, column: SourceColumn, table: SourceTable) -> Remark | None:
    """Return what is against a column that fits; None if it may be proposed."""
    name_checks = (*_NAME_CHECKS.get(field, ()), _ambiguous_name)
    return _first_remark(name_checks, field, column, table) or _against_values(field, column, table)


def _against_values(field: str, column: SourceColumn, table: SourceTable) -> Remark | None:
    """Return what the values say against a column."""
    return _first_remark((_other_form, *_VALUE_CHECKS.get(field, ())), field, column, table)


def _first_remark(
    checks: Iterable[_Check], field: str, column: SourceColumn, table: SourceTable
) -> Remark | None:
    remarks = (check(field, column, table) for check in checks)
    return next((remark for remark in remarks if remark is not None), None)


def _strangers(_: str, _column: SourceColumn, table: SourceTable) -> Remark | None:
    are_strangers = not table.words.isdisjoint(vocabulary().streams.strangers)
    return Remark("strangers") if are_strangers else None


def _other_customer(_: str, column: SourceColumn, table: SourceTable) -> Remark | None:
    if "customer" in column.words:
        return None
    is_beside = any(
        other.words == column.words | {"customer"} and other.path[:-1] == column.path[:-1]
        for other in table.columns
    )
    return Remark("other_customer") if is_beside else None


def _ambiguous_name(field: str, column: SourceColumn, table: SourceTable) -> Remark | None:
    known = vocabulary()
    for name, unsure in known.fields[field].unsure.items():
        is_named = column.words - known.neutral == frozenset(name.split())
        if not is_named and column.name.casefold() != name:
            continue
        is_doubtful = table.has_word(unsure.present, column)
        is_alone = bool(unsure.absent) and not table.has_word(unsure.absent, column)
        if is_doubtful or is_alone:
            return Remark("ambiguous_name")
    return None


def _other_form(field: str, column: SourceColumn, _: SourceTable) -> Remark | None:
    is_other = field != "event_time" and not column.fits(functools.partial(has_form_of, field))
    return Remark("other_form") if is_other else None


def _unclear_times(_: str, column: SourceColumn, _table: SourceTable) -> Remark | None:
    calls = time_calls(column.samples) if column.samples else ["{}"]
    if not calls:
        return Remark("no_times")
    return Remark("day_or_month") if len(calls) > 1 else None


def _vague_id(_: str, column: SourceColumn, _table: SourceTable) -> Remark | None:
    is_vague = column.words - vocabulary().neutral in ({"order"}, {"code"})
    are_ids = bool(column.samples) and all(_ID.fullmatch(str(value)) for value in column.samples)
    return Remark("vague_name") if is_vague and not are_ids else None


def _unknown_values(_: str, column: SourceColumn, _table: SourceTable) -> Remark | None:
    is_known = bool(column.samples) or column.types == {"boolean"}
    return None if is_known else Remark("unknown_values")


def _few_values(_: str, column: SourceColumn, _table: SourceTable) -> Remark | None:
    """Return a remark if the values are those of a shop, of its clerks or of a proxy."""
    rows, different = len(column.samples), len(set(map(str, column.samples)))
    if rows >= _LEAST_ROWS_TO_COMPARE and different == 1:
        return Remark("one_value", {"rows": rows})
    if rows >= _MANY_ROWS and different <= rows * _LEAST_DIFFERENT_SHARE:
        return Remark("few_values", {"rows": rows, "different": different})
    return None


def _repeated_ids(_: str, column: SourceColumn, table: SourceTable) -> Remark | None:
    remark = _repeats(column, table)
    return remark if remark is not None and remark.code == "repeated" else None


_NAME_CHECKS: dict[str, tuple[_Check, ...]] = {"email": (_strangers, _other_customer)}
_VALUE_CHECKS: dict[str, tuple[_Check, ...]] = {
    "event_id": (_vague_id, _few_values, _repeated_ids),
    "event_time": (_unclear_times,),
    "email": (_few_values,),
    "order_id": (_vague_id, _few_values),
    "ip": (_few_values,),
    "consent": (_unknown_values,),
}
"""What the name and the values of a column of an event must be, beside its form."""


def _repeats(column: SourceColumn, table: SourceTable) -> Remark | None:
    """Return a remark if rows have the same ID as other rows: too many, or so few as usual."""
    rows = len(column.samples)
    repeated = rows - len(set(map(str, column.samples)))
    if not repeated:
        return None
    # The same record twice is one event.
    records = {repr(sorted(record.items())): record for record in table.records}
    values = [str(functions.walk(record, column.path)) for record in records.values()]
    are_too_many = len(values) - len(set(values)) > rows * _MOST_REPEATED_SHARE
    code = "repeated" if are_too_many else "repeated_sent_once"
    return Remark(code, {"repeated": repeated, "rows": rows})


# Candidates


def _candidates(field: str, table: SourceTable, against: Mapping[Path, Remark]) -> list[Candidate]:
    """Return the columns of which a person may choose one, the likeliest first."""
    known = vocabulary()
    rules = known.fields[field]
    understood = known.neutral | known.deeds | rules.words
    near = []
    for column in table.columns:
        has_core = not column.words.isdisjoint(rules.core) and column.may_be(rules.types)
        if column.path in against or has_core:
            others = (word for word in column.words - understood if not word.isdigit())
            near.append((column, sorted(others)))
    near.sort(key=lambda pair: (pair[0].path not in against, len(pair[1])))
    return [
        Candidate(column, against.get(column.path) or _against_name(field, column, others, table))
        for column, others in near[:_MOST_CANDIDATES]
    ]


def _against_name(
    field: str, column: SourceColumn, others: Sequence[str], table: SourceTable
) -> Remark:
    if others:
        return Remark("other_word", {"word": others[0]})
    return _against_values(field, column, table) or Remark("vague_name")

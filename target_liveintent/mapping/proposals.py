"""Proposes how to map a stream: with a preset, or with a map of the recognized columns.

Somebody may run a proposed map unchanged. If it is uncertain which records may be sent, the
`__filter__` of the map contains a question. This is so if a column may forbid conversions, but its
meaning is uncertain. No run starts until a person answers the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from target_liveintent.conversions import coerce
from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.coerce import DECIMALS, UNUSABLE, flag
from target_liveintent.conversions.fields import IDENTIFYING
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_settings import ANSWER
from target_liveintent.mapping.presets import likely_preset
from target_liveintent.mapping.recognition import Candidate, ColumnRemark, Recognition, recognize
from target_liveintent.mapping.source_columns import (
    SourceColumn,
    SourceTable,
    decimal_sign,
    source_table,
)
from target_liveintent.mapping.stream_maps import Stream
from target_liveintent.mapping.vocabulary import vocabulary, words_of
from target_liveintent.privacy.addresses import scrub

_MOST_ASKED, _MOST_VALUES = 12, 6
_WORD_OR_FLAG = re.compile(r"(?=.{1,20}\Z)[^\W\d]+(?:[ _-][^\W\d]+)?|[01]")
"""Matches a value that a question may show: one or two short words, 0 or 1."""


class Proposal(NamedTuple):
    """The proposal for a stream: a map, and also a preset if one fits.

    Attributes:
        preset: The name of the preset, or None.
        expressions: The expressions of the map, by column of events or `__filter__`.
        recognized: The recognized column or the candidates for each column of events.
    """

    stream: str
    preset: str | None
    expressions: dict[str, str]
    recognized: dict[str, Recognition]

    @property
    def rank(self) -> int:
        """The rank of the stream: 2 for sales, 1 for other events, 0 for no events.

        Sales have a preset, or a time, a person and an amount. Other events have a time and a
        person.
        """
        if self.preset is not None:
            return 2
        columns = self.expressions.keys()
        if "event_time" not in columns or columns.isdisjoint(IDENTIFYING):
            return 0
        return 2 if "value" in columns else 1


def propose(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> Proposal:
    """Return a proposal that is based on the columns and the first records of a stream."""
    table = source_table(stream, records)
    recognized = {field: recognize(field, table) for field in vocabulary().fields}
    recognized["event_id"] = _event_id(recognized["event_id"], table, stream.keys)
    recognized["order_id"] = _order_id(recognized["order_id"], recognized["event_id"].column, table)
    recognized["currency"] = _currency(recognized["currency"], recognized["value"].column, table)
    recognized["value"] = _value(recognized["value"], recognized["currency"], table)
    expressions = {}
    amounts = _amounts_of_no_sale(recognized["value"])
    if condition := _filter(stream.name, table, recognized["consent"].column, amounts):
        expressions[FILTER] = condition
    for field, recognition in recognized.items():
        if recognition.expression is not None:
            expressions[field] = recognition.expression
        if field == "source":
            has_values = recognition.column is not None and recognition.column.samples
            expressions[field] = f"lower({recognition.expression})" if has_values else "'web'"
    preset = likely_preset(stream.schema["properties"])
    return Proposal(stream.name, preset, expressions, recognized)


# The columns of events


def _event_id(recognized: Recognition, table: SourceTable, keys: Sequence[str]) -> Recognition:
    """Return the column of the event ID, or a remark that says what the ID is derived from.

    A single key of the stream takes precedence over a recognized column.
    """
    lasting = lasting_keys(keys)
    if not lasting:
        if recognized.column is not None:
            return recognized
        return recognized._replace(remark=ColumnRemark("derived_from_record"))
    for column in table.columns:
        if column.path == lasting and column.words.isdisjoint(vocabulary().personal):
            return Recognition(column)
    return Recognition(None, remark=ColumnRemark("derived_from_keys", {"keys": ", ".join(lasting)}))


def _order_id(
    recognized: Recognition, event_id: SourceColumn | None, table: SourceTable
) -> Recognition:
    """Return the column of `order_id`: in a stream of orders, perhaps the column of `event_id`."""
    known = vocabulary()
    are_orders = table.words - known.neutral == {"order"}
    if recognized.column is not None or event_id is None or not are_orders:
        return recognized
    of_id = frozenset[str]().union(*known.fields["event_id"].phrases)
    return Recognition(event_id) if event_id.words - known.neutral <= of_id else recognized


def _currency(
    recognized: Recognition, value: SourceColumn | None, table: SourceTable
) -> Recognition:
    """Return the currency that belongs to the value.

    The currency may be in the same object as the value, in an outer object, or in the name of the
    value's column.
    """
    if value is None:
        return recognized
    *outer, last = value.path
    beside = [
        column._replace(words=words_of(column.path[-1]))
        for column in table.columns
        if [*column.path[:-1]] == outer
    ]
    own = recognize("currency", table._replace(columns=beside))
    if outer and own.column is not None:
        return own
    column = recognized.column
    if column is not None and [*column.path[:-1]] != outer[: len(column.path) - 1]:
        return Recognition(None, [Candidate(column, ColumnRemark("not_beside_value"))])
    codes = words_of(last) & vocabulary().amounts.codes
    if codes and column is None and not recognized.candidates:
        return Recognition(value, reading=f"'{min(codes).upper()}'")
    return recognized


def _value(recognized: Recognition, currency: Recognition, table: SourceTable) -> Recognition:
    """Return how to read the amount, or a candidate with a remark if the reading is uncertain."""
    column, words = recognized.column, vocabulary().amounts
    if column is None:
        return recognized
    has_minor_name = not column.words.isdisjoint(words.minor)
    if has_minor_name or (column.is_whole and _is_minor_source(table)):
        doubt = _doubt_about_cents(column, currency)
        reading = f"minor_units({{}}, {currency.expression})"
    else:
        doubt = _doubt_about_amount(column, currency)
        reading = "amount({})" if decimal_sign(column.samples) == "," else "{}"
    if doubt is not None:
        return Recognition(None, [Candidate(column, ColumnRemark(doubt))])
    return Recognition(column, reading=reading)


def _doubt_about_cents(column: SourceColumn, currency: Recognition) -> str | None:
    """Return the code of a remark if an amount in cents may be read wrongly, or else None."""
    if column.samples and not column.is_whole:
        return "cents_not_whole"
    return "cents_without_currency" if currency.expression is None else None


def _doubt_about_amount(column: SourceColumn, currency: Recognition) -> str | None:
    """Return the code of a remark if an amount may be in cents or be misread, or else None."""
    is_of_name = currency.column is not None and currency.column.path == column.path
    if column.words & vocabulary().amounts.codes and not is_of_name:
        return "two_currencies"
    codes = () if currency.column is None else currency.column.samples
    has_no_cents = bool(codes) and all(DECIMALS.get(str(code).upper()) == 0 for code in codes)
    if column.is_whole and not has_no_cents:
        return "maybe_cents"
    return "unclear_sign" if decimal_sign(column.samples) is None else None


def _is_minor_source(table: SourceTable) -> bool:
    """Return whether the columns belong to a source whose whole amounts are in minor units."""
    paths = {".".join(column.path[:end]) for column in table.columns for end in (1, 2)}
    return any(columns <= paths for columns in vocabulary().amounts.minor_sources)


# Which records count


def _amounts_of_no_sale(recognized: Recognition) -> str | None:
    """Return the expression of the amount, and how many amounts are 0 or negative, or else None.

    Such records may be refunds, free samples or tests.
    """
    column = recognized.column
    if column is None:
        return None
    sign = decimal_sign(column.samples) or "."
    amounts = [coerce.read_amount(value, sign) for value in column.samples]
    count = sum(isinstance(amount, (int, float, Decimal)) and amount <= 0 for amount in amounts)
    if not count:
        return None
    is_text = recognized.expression == column.expression and isinstance(column.samples[0], str)
    shown = f"number({recognized.expression})" if is_text else recognized.expression
    return f"{shown} (0 or negative in {count} of {len(amounts)} records)"


def _filter(
    stream: str, table: SourceTable, consent: SourceColumn | None, amounts: str | None
) -> str:
    """Return the expression of the filter: certain conditions, and a question if needed.

    Args:
        stream: The name of the stream.
        table: Its columns and first records.
        consent: The column of the consent, which the map uses elsewhere.
        amounts: What the question says about amounts of 0 or less, if there are any.
    """
    known = vocabulary()
    conditions, asked = [], []
    understood = {"consent"} if consent else set[str]()
    for column in table.columns:
        words = column.words - known.filters.also - known.neutral
        if condition := _sure_condition(column, known.filters.meanings.get(words)):
            understood |= words
            conditions.append(condition)
        elif column != consent and (words in known.filters.meanings or _can_forbid(column, table)):
            asked.append(column)
    # A column may say more about a condition that the filter already has, such as the time of a
    # cancellation. Such a column needs no question.
    beside = understood.union(known.filters.also, known.neutral, known.filters.unasked)
    asked = [
        column
        for column in asked
        if column.words.isdisjoint(known.filters.asked) or not column.words <= beside
    ]
    is_doubtful = not table.words.isdisjoint(known.doubtful_streams | known.strangers)
    if asked or amounts or is_doubtful:
        conditions.append(_question(stream, asked, amounts))
    return " and ".join(conditions)


def _sure_condition(column: SourceColumn, only_true: bool | None) -> str | None:  # noqa: FBT001
    """Return the condition on a column; None if no condition is certain.

    If `only_true` is True, records count only if the flag is true; if False, only if the flag is
    false. None means that the column's name is not the name of a flag.
    """
    if only_true is None:
        return None
    if _is_flag(column):
        return f"{'' if only_true else 'not '}is_true({column.expression})"
    is_time = column.is_time or (not column.samples and "date" in column.words)
    return f"not {column.expression}" if is_time and not only_true else None


def _is_flag(column: SourceColumn) -> bool:
    """Return whether `is_true` can read all values of a column."""
    if not column.samples:
        return column.types.isdisjoint({"string", "time"})
    return "time" not in column.types and UNUSABLE not in map(flag, column.samples)


def _can_forbid(column: SourceColumn, table: SourceTable) -> bool:
    """Return whether a column can say that a record must not be sent."""
    known = vocabulary()
    if not _words_of_few_values(column).isdisjoint(known.filters.of_no_sale):
        return True
    words = column.words - known.neutral - (known.filters.also - known.deeds)
    if words == {"paid"}:
        return not column.is_time and "number" not in column.types
    if words in ({"subscription"}, {"subscriber"}):
        return column.types == {"boolean"} or (bool(column.samples) and _is_flag(column))
    asked = column.words & known.filters.asked
    if not asked or column.words & known.filters.unasked:
        return False
    if asked <= {"status", "state", "valid", "active"}:
        is_named_state = column.path[-1].casefold() == "state"
        is_place = is_named_state and table.has_word(known.filters.places, column)
        return "date" not in column.words and not is_place and not column.is_time
    return True


def _words_of_few_values(column: SourceColumn) -> frozenset[str]:
    """Return the meanings of the words in a column that has only a few values of one or two words.

    An example is a column `type` with the values `purchase` and `refund`.
    """
    values = {*map(str, column.samples)}
    if len(values) > _MOST_VALUES or not all(map(_WORD_OR_FLAG.fullmatch, values)):
        return frozenset()
    return frozenset[str]().union(*map(words_of, values))


def _question(stream: str, asked: Sequence[SourceColumn], amounts: str | None) -> str:
    """Return the question that a person must replace with a condition."""
    question = f"{ANSWER} which records of {stream} are conversions that may be sent?"
    by_words = sorted(asked, key=lambda column: len(column.words))
    shown = [_with_values(column) for column in by_words[:_MOST_ASKED]]
    if amounts is not None:
        shown.append(amounts)
    if shown:
        question += f" Look at {', '.join(shown)}"
    if len(asked) > _MOST_ASKED:
        question += f" and {len(asked) - _MOST_ASKED} more"
    return line_without_addresses(question)


def _with_values(column: SourceColumn) -> str:
    """Return the expression of a column, and its values if these are a few words that repeat."""
    values = Counter(map(str, column.samples))
    come_again = 2 * len(values) <= len(column.samples)
    if 0 < len(values) <= _MOST_VALUES and come_again and all(map(_WORD_OR_FLAG.fullmatch, values)):
        return f"{column.expression} ({', '.join(values)})"
    return column.expression


def line_without_addresses(text: str) -> str:
    """Return a text, which may contain names of the tap, as one line without addresses."""
    return scrub("".join(c for c in " ".join(text.split()) if c.isprintable()))

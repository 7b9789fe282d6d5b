"""Lists the columns of a source with types and first values, and checks the forms of values."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from target_liveintent.conversions import coerce
from target_liveintent.mapping import functions
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.stream_maps import Stream
from target_liveintent.mapping.vocabulary import vocabulary, words_of

_MOST_SAMPLES = 1_000
"""How many records at the beginning of a stream are used as samples."""
_MOST_COLUMNS = 2_000
_MOST_STEPS = 4
"""The greatest number of steps in a path."""
_FITTING_SHARE = 0.8
"""The share of a column's first values that must have the expected form."""
_ADDED_BY_TAPS = ("_sdc_", "_smart_")
"""The beginnings of the names of columns that taps add."""
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d %B %Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " - %H:%M", " %I:%M %p", " %I:%M:%S %p")
_TIME_FORMS = tuple(map("".join, itertools.product(_DATES, _TIMES)))
"""The formats of times that are tried with `parse_time`."""
_COMPACT_FORMS = {
    8: ("%Y%m%d",),
    12: ("%Y%m%d%H%M",),
    14: ("%Y%m%d%H%M%S",),
    15: ("%Y%m%dT%H%M%S",),
    16: ("%Y%m%dT%H%M%SZ",),
}
"""Formats without separators, by the length of the text. Without the check of the length,
`%Y%m%d%H%M` would read 20261128 as 02:08 on 1 January."""
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL_SIGN = re.compile(r"0[.,]\d+|\d+[.,]\d{1,2}|\d+[.,]\d{4,}|\d{4,}[.,]\d+", re.ASCII)
"""Matches amounts whose separator is certainly the decimal sign. In `1.200`, the separator may
also separate thousands."""
_TWO_SIGNS = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?:(?!\1)[.,](\d+))?", re.ASCII)


class SourceColumn(NamedTuple):
    """A column of a tap's stream, or a value inside the objects of a column.

    Attributes:
        path: The name of the column, and the keys that lead to a value inside the column.
        words: The meanings of the words in the path.
        types: The JSON types that the SCHEMA allows, except null. This is only `time` if the SCHEMA
            declares a date or a time, and empty if the SCHEMA does not declare a type.
        samples: The first values that are not empty.
    """

    path: Path
    words: frozenset[str]
    types: frozenset[str]
    samples: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The path as a text with dots."""
        return ".".join(self.path)

    @property
    def expression(self) -> str:
        """The expression that reads the column."""
        has_dot = len(self.path) == 1 and "." in self.path[0]
        return f"_.get({self.name!r})" if has_dot else f"get({self.name!r})"

    @property
    def is_time(self) -> bool:
        """Whether the column contains times, according to the SCHEMA or to all samples."""
        return "time" in self.types or (bool(self.samples) and bool(time_calls(self.samples)))

    @property
    def is_whole(self) -> bool:
        """Whether all samples are whole numbers. Without samples, the SCHEMA decides."""
        if not self.samples:
            return self.types == {"integer"}
        return all(
            isinstance(value, int) or _WHOLE.fullmatch(str(value).strip()) is not None
            for value in self.samples
        )

    def may_be(self, types: frozenset[str]) -> bool:
        """Return whether the SCHEMA allows one of these types, or does not declare a type."""
        return not self.types or not self.types.isdisjoint(types)

    def fits(self, has_form: Callable[[Any], bool]) -> bool:
        """Return whether at least `_FITTING_SHARE` of the samples have the form that is checked."""
        return sum(map(has_form, self.samples)) >= len(self.samples) * _FITTING_SHARE


class SourceTable(NamedTuple):
    """A stream: the words of its name, its columns and its first records."""

    words: frozenset[str]
    columns: list[SourceColumn]
    records: Sequence[Mapping[str, Any]]

    def has_word(self, words: frozenset[str], beside: SourceColumn) -> bool:
        """Return whether the name of the stream, or of another column, has one of these words.

        `beside` is the column whose name does not count.
        """
        others = [column.words for column in self.columns if column.path != beside.path]
        return any(not words.isdisjoint(other) for other in (self.words, *others))


def source_table(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> SourceTable:
    """Return the table of a stream. Its columns include the values inside objects.

    The table has at most `_MOST_COLUMNS` columns, and no columns that taps add. It has the first
    `_MOST_SAMPLES` of the records.
    """
    records = records[:_MOST_SAMPLES]
    samples: defaultdict[Path, list[Any]] = defaultdict(list)
    for record in records:
        for path, value in _values(record):
            samples[path].append(value)
    types = dict(_typed_paths(stream.schema))
    # An object may hold values that the SCHEMA does not declare.
    paths = itertools.islice(dict.fromkeys([*types, *samples]), _MOST_COLUMNS)
    columns = [
        SourceColumn(path, words_of(*path), types.get(path, frozenset()), (*samples[path],))
        for path in paths
        if not path[0].startswith(_ADDED_BY_TAPS)
    ]
    return SourceTable(words_of(stream.name), columns, records)


def _has_parts(path: Path) -> bool:
    """Return whether the values inside the object at a path count as columns."""
    return len(path) < _MOST_STEPS and not any("." in step for step in path)


def _values(record: Mapping[str, Any], outer: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the value of each column that is not empty, including values in objects.

    Lists do not count as columns.
    """
    for name, value in record.items():
        path = (*outer, str(name))
        if isinstance(value, Mapping):
            yield from _values(value, path) if _has_parts(path) else ()
        elif functions.coalesce(value) is not None and not isinstance(value, (list, tuple)):
            yield path, value


def _typed_paths(schema: Any, path: Path = ()) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the path and the types of each column in a SCHEMA, including columns inside objects."""
    parts = _alternatives(schema)
    inner = {name: column for part in parts for name, column in _properties(part).items()}
    if inner and _has_parts(path):
        for name, column in inner.items():
            yield from _typed_paths(column, (*path, name))
        return
    types = frozenset[str]().union(*map(_json_types, parts)) - {"null"}
    if path and types not in ({"object"}, {"array"}):
        is_time = any(part.get("format") in {"date-time", "date"} for part in parts)
        yield path, frozenset({"time"}) if is_time else types


def _alternatives(schema: Any) -> list[Mapping[str, Any]]:
    """Return a schema and the schemas of its `anyOf`, where some taps write the types of times."""
    if not isinstance(schema, Mapping):
        return []
    return [schema, *(part for part in schema.get("anyOf") or () if isinstance(part, Mapping))]


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _json_types(schema: Mapping[str, Any]) -> Iterable[str]:
    types = schema.get("type") or ()
    return [types] if isinstance(types, str) else types


# Values


def has_form_of(field: str, value: Any) -> bool:
    """Return whether a value has the form of the values in a column of events."""
    if isinstance(value, bool) and field != "consent":
        return False
    if not isinstance(value, (str, int, float, Decimal)):
        return False
    if field == "value":
        return any(_is_read(coerce.read_amount(value, sign)) for sign in ".,")
    if field == "currency":
        return coerce.currency_code(value) in coerce.DECIMALS
    shape = vocabulary().fields[field].shape
    return re.fullmatch(shape, str(value).strip(), re.DOTALL) is not None


def _is_read(result: Any) -> bool:
    return result is not None and not isinstance(result, coerce.Unusable)


def time_calls(samples: Sequence[Any]) -> list[str]:
    """Return the calls of helpers that can read all times of a column, such as `excel_time({})`.

    `{}` stands for the column. If the times need no helper, the list contains only `{}`. If the
    list has several calls, the times are ambiguous: 03/04/2026 may be in March or in April. If the
    list is empty, no call can read all of the times.
    """

    def reads_all(read: Callable[[Any], Any]) -> bool:
        return all(_is_read(read(value)) for value in samples)

    if reads_all(lambda value: coerce.unix_time(value, dt.timezone.utc)):
        return ["{}"]
    texts = [str(coerce.text(value)) for value in samples]
    if not all(text[:1].isdigit() for text in texts):
        return []  # Trying all forms takes a while.
    lengths = {len(text) for text in texts}
    compact = _COMPACT_FORMS.get(lengths.pop(), ()) if len(lengths) == 1 else ()
    calls = [
        f"parse_time({{}}, {form!r})"
        for form in (*compact, *_TIME_FORMS)
        if reads_all(functools.partial(functions.parse_time, form=form))
    ]
    return calls or (["excel_time({})"] if reads_all(functions.excel_time) else [])


def decimal_sign(samples: Iterable[Any]) -> str | None:
    """Return the decimal sign of amounts; None if the sign is uncertain, or if both signs occur.

    If no amount has a sign, the result is the decimal point.
    """
    texts = [
        re.sub(r"[^\d.,]", "", sample).strip(".,") for sample in samples if isinstance(sample, str)
    ]
    signs = {sign for text in texts if (sign := _sign_of(text))}
    if len(signs) == 1:
        return signs.pop()
    has_unclear_sign = any("." in text or "," in text for text in texts)
    return None if has_unclear_sign else "."


def _sign_of(text: str) -> str | None:
    """Return the decimal sign of an amount; None if the amount has no sign or an ambiguous sign."""
    if _DECIMAL_SIGN.fullmatch(text):
        return "," if "," in text else "."
    signs = _TWO_SIGNS.fullmatch(text)
    if signs and (signs[2] or text.count(signs[1]) > 1):
        return "," if signs[1] == "." else "."
    return None

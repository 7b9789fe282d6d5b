"""Recognizes what the columns of a tap hold, by their names, their types and their first values.

The names and shapes are in `recognized.yaml`. A column that does not surely hold something is a
candidate, and a person chooses.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import pathlib
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.coerce import Unusable, currency_code, unix_time
from target_liveintent.conversions.coerce import amount as read_amount
from target_liveintent.mapping.expressions import Path
from target_liveintent.mapping.functions import CURRENCIES, coalesce, excel_time, parse_time
from target_liveintent.mapping.stream_maps import Stream

MAX_SAMPLES = 50
"""How many of the first records of a stream are read for their values."""
_MOST_COLUMNS = 2_000
_DEEPEST = 4
"""The longest path that is considered, in steps."""
_FITTING = 0.8
"""The share of a column's first values that must have the shape of what it should hold."""
_SMALL = 1_000
"""Integers with a median below this are not treated as amounts in cents."""
_MOST_CANDIDATES = 5
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p")
_FORMS = (
    *("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S"),
    *map("".join, itertools.product(_DATES, _TIMES)),
)
"""The formats of times that are tried with `parse_time`."""


class Field(msgspec.Struct):
    """A column of an event, as `recognized.yaml` describes it."""

    comment: str = ""
    names: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    core: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset({"string"})
    shape: str = ".*"
    by_shape: bool = False
    mark: str | None = None


class Table(msgspec.Struct):
    """The content of `recognized.yaml`."""

    words: dict[str, list[str]]
    neutral: frozenset[str]
    minor: frozenset[str]
    fields: dict[str, Field]
    filters_also: frozenset[str]
    filters: dict[str, bool]


class Column(NamedTuple):
    """A column of a tap, or a value inside an object.

    `words` are those of all steps of its path, `types` the JSON types that the SCHEMA allows (or
    only `time`), and `samples` its first values that are not empty.
    """

    path: Path
    words: frozenset[str]
    types: frozenset[str]
    samples: tuple[Any, ...]

    @property
    def expression(self) -> str:
        """The expression that reads it."""
        if len(self.path) == 1 and "." in self.path[0]:
            return f"_.get({self.path[0]!r})"
        return f"get({'.'.join(self.path)!r})"

    def fits(self, shape: Callable[[Any], bool]) -> bool:
        """Return whether nearly all values have a shape."""
        return sum(map(shape, self.samples)) >= len(self.samples) * _FITTING


@functools.cache
def table() -> Table:
    """Return the content of `recognized.yaml`."""
    text = pathlib.Path(__file__).with_name("recognized.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=Table)


@functools.cache
def _words() -> tuple[dict[str, str], re.Pattern[str]]:
    """Return what words mean that mean others, and a pattern of all words, the longest first."""
    known = table()
    meanings = {word: meaning for meaning, words in known.words.items() for word in words}
    of_fields = ([*one.names, *one.also] for one in known.fields.values())
    texts = [*meanings, *known.filters, *known.filters_also, *itertools.chain(*of_fields)]
    words = {word for text in texts for word in text.split() if len(word) > 1}
    return meanings, re.compile("|".join(sorted(words, key=len, reverse=True)))


def words_of(name: str) -> frozenset[str]:
    """Return the words of a name, abbreviations in full: `custMail` is `customer` and `email`.

    A word without spaces, such as `createdat`, is split if all its parts are known. The plural of a
    known word is its singular.
    """
    meanings, known = _words()
    words = []
    for part in re.findall(r"[^\W_]+", _CAMEL.sub(" ", name).lower()):
        found = known.findall(part)
        words += found if "".join(found) in {part, part.removesuffix("s")} else [part]
    return frozenset(" ".join(meanings.get(word, word) for word in words).split())


def columns_of(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> list[Column]:
    """Return the columns of a stream and of its first records, and those inside objects."""
    samples: defaultdict[Path, list[Any]] = defaultdict(list)
    for record in records[:MAX_SAMPLES]:
        for path, value in _values(record):
            samples[path].append(value)
    types = dict(_described(stream.schema))
    # What the SCHEMA calls an object may hold more than it says.
    paths = itertools.islice(dict.fromkeys([*types, *samples]), _MOST_COLUMNS)
    return [
        Column(path, words_of(" ".join(path)), types.get(path, frozenset()), (*samples[path],))
        for path in paths
        if not path[0].startswith(("_sdc_", "_smart_"))
    ]


def _has_parts(path: Path) -> bool:
    """Return whether an expression can read what is inside the object at a path."""
    return len(path) < _DEEPEST and not any("." in step for step in path)


def _values(record: Mapping[str, Any], outer: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in record.items():
        path = (*outer, str(name))
        if isinstance(value, Mapping):
            yield from _values(value, path) if _has_parts(path) else ()
        elif coalesce(value) is not None and not isinstance(value, (list, tuple)):
            yield path, value


def _described(schema: Any, path: Path = ()) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the columns of a SCHEMA, also those inside objects, with their types."""
    kinds = [schema, *(schema.get("anyOf") or ())] if isinstance(schema, Mapping) else []
    kinds = [kind for kind in kinds if isinstance(kind, Mapping)]
    inner: dict[str, Any] = {}
    for kind in kinds:
        if isinstance(properties := kind.get("properties"), Mapping):
            inner |= properties
    if inner and _has_parts(path):
        for name, one in inner.items():
            yield from _described(one, (*path, name))
        return
    given = [kind.get("type") or [] for kind in kinds]
    types = {name for one in given for name in ([one] if isinstance(one, str) else one)} - {"null"}
    if path and types not in ({"object"}, {"array"}):
        is_time = any(kind.get("format") in {"date-time", "date"} for kind in kinds)
        yield path, frozenset({"time"} if is_time else types)


# Shapes of values


def _looks_like(field: str, value: Any) -> bool:
    """Return whether a value looks like one of an event's column."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return False
    if field == "value":
        return any(_is_read(read_amount(value, sign)) for sign in ".,")
    if field == "currency":
        return currency_code(value) in CURRENCIES
    shape = table().fields[field].shape
    return re.fullmatch(shape, str(value).strip(), re.DOTALL) is not None


def _is_read(result: Any) -> bool:
    return result is not None and not isinstance(result, Unusable)


def time_call(samples: Sequence[Any]) -> str | None:
    """Return the call that reads all times of a column, with `{}` for the column.

    It is None if there is no such call, or if several read different times: `03/04/2026`.
    """
    if all(_is_read(unix_time(value, dt.timezone.utc)) for value in samples):
        return "{}"
    if not all(str(value).strip()[:1].isdigit() for value in samples):
        return None  # Trying all forms takes a while.
    forms = [x for x in _FORMS if all(_is_read(parse_time(value, x)) for value in samples)]
    if len(forms) == 1:
        return f"parse_time({{}}, {forms[0]!r})"
    return "excel_time({})" if all(_is_read(excel_time(value)) for value in samples) else None


def amount_call(samples: Sequence[Any]) -> str:
    """Return the call that reads the amounts of a column, with `{}` for the column."""
    points, commas = (sum(_is_read(read_amount(v, sign)) for v in samples) for sign in ".,")
    return "amount({})" if commas > points else "{}"


def are_cents(samples: Sequence[Any]) -> bool:
    """Return whether integers may be amounts in cents: they are not all small."""
    numbers = [abs(float(v)) for v in samples if isinstance(v, (int, float, Decimal))]
    return not numbers or statistics.median_high(numbers) >= _SMALL


# Recognition


def recognize(field: str, columns: Iterable[Column], stream: str) -> Column | None:
    """Return the column of a tap that surely holds a column of an event; None if none does."""
    fitting = [column for column in columns if _may_hold(field, column)]
    own = words_of(stream)
    ranks = [(rank, n) for n, one in enumerate(fitting) if (rank := _rank(field, one, own))]
    if ranks:
        return fitting[min(ranks)[1]]
    shaped = [column for column in fitting if _is_typical(field, column)]
    return shaped[0] if len(shaped) == 1 else None


def candidates(field: str, columns: Iterable[Column]) -> list[Column]:
    """Return the columns of which a person may choose one, the likeliest first."""
    one = table().fields[field]
    found = [
        column
        for column in columns
        if (column.words & one.core and _type_fits(field, column))
        or (_is_typical(field, column) and _may_hold(field, column))
    ]
    return sorted(found, key=lambda column: bool(column.words & one.never))[:_MOST_CANDIDATES]


def _may_hold(field: str, column: Column) -> bool:
    """Return whether name, types and values allow that a column holds a column of an event."""
    if column.words & table().fields[field].never or not _type_fits(field, column):
        return False
    if field == "event_time":
        return time_call(column.samples) is not None
    if field == "event_id" and len(set(column.samples)) < len(column.samples):
        return False
    return column.fits(functools.partial(_looks_like, field))


def _type_fits(field: str, column: Column) -> bool:
    return not column.types or not column.types.isdisjoint(table().fields[field].types)


def _is_typical(field: str, column: Column) -> bool:
    """Return whether values or the SCHEMA, and not only the name, say what a column holds.

    A number may be a time, but also an ID or a telephone number.
    """
    one = table().fields[field]
    if field == "event_time" and column.samples:
        return not column.fits(functools.partial(_looks_like, "value"))
    if one.mark is not None and any(one.mark in str(value) for value in column.samples):
        return True
    return one.by_shape and bool(column.samples or "time" in column.types)


def _rank(field: str, column: Column, own: frozenset[str]) -> tuple[int, int, bool] | None:
    """Return the rank of a column by its name, the best rank first; None if the name does not fit.

    The own words of the stream's name may stand beside each name.
    """
    one, words = table().fields[field], column.words - table().minor
    if field == "event_time" and ("time" in column.types or column.samples):
        words |= {"date"}
    last = words_of(column.path[-1]) if field in {"event_id", "order_id"} else words
    beside = one.also | table().neutral | own
    for place, phrase in enumerate(one.names):
        name = frozenset(phrase.split())
        if name <= last and words - name <= beside:
            is_vague = field == "event_time" and column.types == {"string"}  # Such as 20261128.
            return place, len(words - name), is_vague
    return None

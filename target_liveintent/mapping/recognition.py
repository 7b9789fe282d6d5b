"""Recognizes what the columns of a tap hold, by their names, their types and their first values.

The names are in `recognized.yaml`. A column that does not surely hold something is a candidate, and
a person chooses.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import pathlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from target_liveintent.conversions import (
    Unusable,
    currency_code,
    local_amount,
    unix_time,
)
from target_liveintent.mapping.converter import Stream
from target_liveintent.mapping.functions import (
    CURRENCIES,
    coalesce,
    excel_time,
    is_true,
    parse_time,
)
from target_liveintent.mapping.reads import Path

MAX_SAMPLES = 50
"""How many of the first records of a stream are read for their values."""
_MOST_COLUMNS = 2_000
_DEEPEST = 4
"""The longest path that is considered, in steps."""
_FITTING = 0.8
"""The share of a column's first values that must have the shape of what it should hold."""
_SMALL = 1_000
"""Integers with a median below this are not treated as amounts in cents."""
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p")
TIME_FORMS = (
    *("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S"),
    *map("".join, itertools.product(_DATES, _TIMES)),
)
"""The formats of times that are tried with `parse_time`."""
_TIME_LIKE = re.compile(r"\d[\d ./:,TZAPMapm-]{5,24}", re.ASCII)

_Types = frozenset[str]


class Column(NamedTuple):
    """A column of a tap, or a value inside an object.

    Attributes:
        path: The steps to it.
        words: The words of all steps.
        types: The JSON types that the SCHEMA allows, and `date-time` or `date`; empty if it does
            not say.
        samples: Its first values that are not empty.
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


class _Field(NamedTuple):
    """A column of an event, as `recognized.yaml` describes it."""

    names: tuple[frozenset[str], ...]
    also: frozenset[str]
    never: frozenset[str]
    core: frozenset[str]


class _Table(NamedTuple):
    """What `recognized.yaml` has."""

    words: Mapping[str, str]
    neutral: frozenset[str]
    minor: frozenset[str]
    currencies: frozenset[str]
    fields: Mapping[str, _Field]
    filters: Mapping[frozenset[str], bool]
    filters_also: frozenset[str]
    known: frozenset[str]


@functools.cache
def table() -> _Table:
    """Return the content of `recognized.yaml`."""
    import yaml  # noqa: PLC0415 (importing it takes longer than importing this whole package)

    text = pathlib.Path(__file__).with_name("recognized.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    fields = {
        name: _Field(
            tuple(frozenset(phrase.split()) for phrase in one["names"].split(",")),
            frozenset(one["also"].split()),
            frozenset(one["never"].split()),
            frozenset(one.get("core", "").split()),
        )
        for name, one in raw["fields"].items()
    }
    filters = {frozenset(words.split()): meaning for words, meaning in raw["filters"].items()}
    sets = [*filters, *(one.also for one in fields.values())]
    sets += [name for one in fields.values() for name in one.names]
    minor, neutral = frozenset(raw["minor"].split()), frozenset(raw["neutral"].split())
    known = frozenset(raw["words"]).union(*sets, minor, neutral)
    currencies = frozenset(raw["currencies"].split())
    filters_also = frozenset(raw["filters_also"].split())
    known |= filters_also
    return _Table(raw["words"], neutral, minor, currencies, fields, filters, filters_also, known)


def words_of(name: str) -> frozenset[str]:
    """Return the words of a name, abbreviations in full: `custMail` is `customer` and `email`."""
    meanings = table().words
    parts = re.findall(r"[^\W_]+", _CAMEL.sub(" ", name))
    words = itertools.chain.from_iterable(_pieces(part.lower()) for part in parts)
    return frozenset(" ".join(meanings.get(word, word) for word in words).split())


def _pieces(word: str) -> list[str]:
    """Split a word that is written without a space, such as `createdat`, if all pieces are known.

    The plural of a known word is its singular.
    """
    known = table().known
    if word in known:
        return [word]
    if word.endswith("s") and word[:-1] in known:
        return [word[:-1]]
    best: dict[int, list[str]] = {0: []}
    for end in range(2, len(word) + 1):
        found = [
            [*best[start], word[start:end]]
            for start in best
            if end - start > 1 and word[start:end] in known
        ]
        if found:
            best[end] = min(found, key=len)
    return best.get(len(word), [word])


def columns_of(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> list[Column]:
    """Return the columns of a stream that hold values, and those inside objects.

    Args:
        stream: The stream.
        records: Its first records.
    """
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
        if types.get(path) != frozenset(["array"]) and not path[0].startswith(("_sdc_", "_smart_"))
    ]


def _values(record: Mapping[str, Any], outer: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in record.items():
        path = (*outer, str(name))
        if isinstance(value, Mapping):
            if len(path) < _DEEPEST and "." not in name:
                yield from _values(value, path)
        elif coalesce(value) is not None and not isinstance(value, (list, tuple)):
            yield path, value


def _described(schema: Mapping[str, Any], outer: Path = ()) -> Iterator[tuple[Path, _Types]]:
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        path, parts = (*outer, name), list(_alternatives(inner))
        nested = [found for part in parts for found in _described(part, path)]
        if nested and len(path) < _DEEPEST and "." not in name:
            yield from nested
        elif types := frozenset(itertools.chain.from_iterable(map(_types, parts))) - {"null"}:
            if types != {"object"}:
                yield path, types
        else:
            yield path, frozenset()


def _alternatives(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for word in ("anyOf", "oneOf", "allOf"):
            for inner in schema.get(word) or ():
                yield from _alternatives(inner)


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type") or []
    form = schema.get("format")
    times = [form] if form in {"date-time", "date"} else []
    return [*([given] if isinstance(given, str) else given), *times]


# Shapes of values, by the column of an event that should have them

Shape = Callable[[Any], bool]
_TEXT_SHAPES = {
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+|[0-9a-fA-F]{32}|[0-9a-fA-F]{64}",
    "ip": r"(\d{1,3}\.){3}\d{1,3}(,.*)?|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}(,.*)?",
    "user_agent": r"[A-Za-z]{3,}/\d+\.\d.* .*",
    "source_url": r"(https?:/)?/.*",
    "decision_id": r".*\w{8}-\w{4}-\w{4}-\w{4}-\w{12}",
    "source": r"(?i:web|app|offline)",
}


def shape_of(field: str) -> Shape:
    """Return a function that says whether a value looks like one of an event's column."""
    if field in _TEXT_SHAPES:
        compiled = re.compile(_TEXT_SHAPES[field], re.DOTALL)
        return lambda value: compiled.fullmatch(str(value).strip()) is not None
    return _SHAPES.get(field, is_scalar)


def is_scalar(value: Any) -> bool:
    """Return whether a value is a text or a number."""
    return isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool)


def _is_read(result: Any) -> bool:
    return result is not None and not isinstance(result, Unusable)


def _is_unix_time(value: Any) -> bool:
    return _is_read(unix_time(value, dt.timezone.utc))


def _has_form(value: Any, form: str) -> bool:
    return _is_read(parse_time(value, form))


def _is_time(value: Any) -> bool:
    if _is_unix_time(value) or _is_read(excel_time(value)):
        return True
    looks_like_one = _TIME_LIKE.fullmatch(str(value).strip())  # Trying all forms takes a while.
    return looks_like_one is not None and any(_has_form(value, form) for form in TIME_FORMS)


def _is_amount(value: Any) -> bool:
    return any(_is_read(local_amount(value, sign)) for sign in ".,")


_SHAPES: dict[str, Shape] = {
    "event_time": _is_time,
    "value": _is_amount,
    "currency": lambda value: currency_code(value) in CURRENCIES,
    "consent": lambda value: is_flag(value) or str(value).lower() == "granted",
}


def is_flag(value: Any) -> bool:
    """Return whether `is_true` reads a value."""
    try:
        is_true(value)
    except ValueError:
        return False
    return True


def time_call(samples: Sequence[Any]) -> str | None:
    """Return the call that reads all times of a column, with `{}` for the column.

    It is None if there is no such call, or if several read different times: `03/04/2026`.
    """
    if all(map(_is_unix_time, samples)):
        return "{}"
    forms = [form for form in TIME_FORMS if all(_has_form(value, form) for value in samples)]
    if len(forms) == 1:
        return f"parse_time({{}}, {forms[0]!r})"
    return "excel_time({})" if all(_is_read(excel_time(value)) for value in samples) else None


def amount_call(samples: Sequence[Any]) -> str:
    """Return the call that reads the amounts of a column, with `{}` for the column."""
    points, commas = (sum(_is_read(local_amount(v, sign)) for v in samples) for sign in ".,")
    return "amount({})" if commas > points else "{}"


def are_cents(samples: Sequence[Any]) -> bool:
    """Return whether integers may be amounts in cents: they are not all small."""
    numbers = sorted(float(v) for v in samples if isinstance(v, (int, float, Decimal)))
    return not numbers or abs(numbers[len(numbers) // 2]) >= _SMALL


# Recognition

_IDS = ("event_id", "order_id")
_BY_SHAPE = ("event_time", "email", "currency", "ip", "user_agent", "decision_id")
"""If only one column has values of such a shape, it holds this column, whatever its name is."""
_TIME_TYPES = {"date-time", "date"}
_SCALARS = {"string", "integer", "number"}
_TYPES = {
    **dict.fromkeys((*_IDS, "event_time", "value"), _SCALARS),
    "consent": {"boolean", "string", "integer"},
}
"""The types of columns that can hold a column of an event; the others must be texts."""
_MOST_CANDIDATES = 5


def recognize(field: str, columns: Iterable[Column], stream: str) -> Column | None:
    """Return the column of a tap that surely holds a column of an event; None if none does."""
    fitting = [one for one in columns if _may_hold(field, one) and not _is_excluded(field, one)]
    own = words_of(stream)
    ranks = [(rank, n) for n, one in enumerate(fitting) if (rank := _rank(field, one, own))]
    if ranks:
        return fitting[min(ranks)[1]]
    shaped = [one for one in fitting if _is_typical(field, one)]
    return shaped[0] if len(shaped) == 1 else None


def candidates(field: str, columns: Iterable[Column]) -> list[Column]:
    """Return the columns of which a person may choose one, the likeliest first."""
    core = table().fields[field].core
    found = [
        column
        for column in columns
        if _type_fits(field, column.types)
        and (column.words & core or _is_typical(field, column))
        and column.fits(shape_of(field))
    ]
    return sorted(found, key=lambda column: _is_excluded(field, column))[:_MOST_CANDIDATES]


def _is_typical(field: str, column: Column) -> bool:
    """Return whether values or the SCHEMA, and not only the name, say what a column holds.

    A number may be a time, but also an ID or a telephone number.
    """
    if field == "event_time" and column.samples:
        return not column.fits(_is_amount)
    return field in _BY_SHAPE and bool(column.samples or "date-time" in column.types)


def _is_excluded(field: str, column: Column) -> bool:
    return not column.words.isdisjoint(table().fields[field].never)


def _may_hold(field: str, column: Column) -> bool:
    """Return whether types and values allow that a column holds a column of an event."""
    if not _type_fits(field, column.types) or not column.fits(shape_of(field)):
        return False
    if field == "event_time":
        return time_call(column.samples) is not None
    return field != "event_id" or len(set(column.samples)) == len(column.samples)


def _type_fits(field: str, types: frozenset[str]) -> bool:
    if not types.isdisjoint(_TIME_TYPES):
        return field == "event_time"
    return not types or not types.isdisjoint(_TYPES.get(field, {"string"}))


def _rank(field: str, column: Column, own: frozenset[str]) -> tuple[int, ...] | None:
    """Return the rank of a column by its name, the best rank first; None if the name does not fit.

    Args:
        field: The column of an event.
        column: The column of the tap.
        own: The words of the stream's name, which may stand beside each name.
    """
    one, words = table().fields[field], column.words
    if field == "event_time" and ("date-time" in column.types or column.samples):
        words |= {"date"}
    if field == "value":
        words -= table().minor | table().currencies
    if field == "event_time" and {"date"} < words <= own | {"date"}:
        return -1, len(column.path), column.types == {"string"}  # Such as a payment's date.
    last = words_of(column.path[-1]) if field in _IDS else words
    beside = one.also | table().neutral | own
    for place, name in enumerate(one.names):
        if name <= last and words - name <= beside:
            return place, len(column.path), len(words - name)
    return None

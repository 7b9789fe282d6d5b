"""Recognizes which columns of a stream hold what an event needs, by names, types and first values.

Names and shapes are in `recognized.yaml`. A column is recognized only if each word of its name is
understood and nothing speaks against it; any other is a candidate, with the reason.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import pathlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.mapping import functions
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.stream_maps import Stream

_MOST_SAMPLES = 1_000
"""How many of the first records of a stream are read for their values."""
_MOST_COLUMNS = 2_000
_DEEPEST = 4
"""The longest path that is considered, in steps."""
_FITTING = 0.8
"""The share of a column's first values that must have the shape of what it should hold."""
_REPEATED = 0.02
"""The share of rows that may repeat an ID: an order that was exported twice is still one order."""
_FEW_ROWS, _MANY_ROWS, _DISTINCT = 3, 20, 0.1
"""With the same address in a few rows, or with few addresses in many rows, they are not buyers'."""
_MOST_CANDIDATES = 5
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HUNGARIAN = re.compile(r"^[a-z](?=[A-Z])")
"""A first letter that names a type, as in `dErstellt`."""
_TOKEN = re.compile(r"sha256|md5|ipv4|v4|[^\W\d_]+|\d+")
_SHORT = frozenset({"id", "ip", "nr", "no", "de", "do", "da", "at", "on", "am", "em", "is"})
"""The words of two letters that can be parts of a longer word without spaces."""
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d %B %Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", ", %H:%M", " - %H:%M", " %I:%M %p", " %I:%M:%S %p")
_COMPACT = {
    8: ("%Y%m%d",),
    12: ("%Y%m%d%H%M",),
    14: ("%Y%m%d%H%M%S",),
    15: ("%Y%m%dT%H%M%S",),
    16: ("%Y%m%dT%H%M%SZ",),
}
"""Formats without signs by their length: otherwise 20261128 is also 2 o'clock on January 1."""
_FORMS = tuple(map("".join, itertools.product(_DATES, _TIMES)))
"""The formats of times that are tried with `parse_time`."""
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL_SIGN = re.compile(r"0[.,]\d+|\d+[.,]\d{1,2}|\d+[.,]\d{4,}|\d{4,}[.,]\d+", re.ASCII)
"""Amounts with one sign, which can only be their decimal sign. In `1.200`, it can be another."""
_TWO_SIGNS = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?:(?!\1)[.,](\d+))?", re.ASCII)


_ID = re.compile(r"(?=.*\d)[\w#/.-]{1,40}")


# What is known


class Unsure(msgspec.Struct):
    """Words of other columns that make a name unsure by being there, or by not being there."""

    present: frozenset[str] = msgspec.field(default=frozenset(), name="if")
    absent: frozenset[str] = msgspec.field(default=frozenset(), name="unless")


class Field(msgspec.Struct):
    """A column of an event, as `recognized.yaml` describes it."""

    comment: str = ""
    names: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    core: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset({"string"})
    shape: str = ".*"
    by_shape: bool = False
    mark: str | None = None
    unsure: dict[str, Unsure] = {}


class Table(msgspec.Struct):
    """The content of `recognized.yaml`."""

    words: dict[str, list[str]]
    neutral: frozenset[str]
    deeds: frozenset[str]
    doubtful_streams: frozenset[str]
    strangers: frozenset[str]
    personal: frozenset[str]
    minor: frozenset[str]
    minor_sources: tuple[frozenset[str], ...]
    counted: frozenset[str]
    codes: frozenset[str]
    places: frozenset[str]
    fields: dict[str, Field]
    filters_also: frozenset[str]
    filters: dict[str, bool]
    asked: frozenset[str]
    unasked: frozenset[str]


@functools.cache
def table() -> Table:
    """Return the content of `recognized.yaml`."""
    text = pathlib.Path(__file__).with_name("recognized.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=Table)


# Columns and their names


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

    @property
    def name(self) -> str:
        """Its path, for people."""
        return ".".join(self.path)

    def fits(self, shape: Callable[[Any], bool]) -> bool:
        """Return whether nearly all values have a shape."""
        return sum(map(shape, self.samples)) >= len(self.samples) * _FITTING


class Source(NamedTuple):
    """A stream with the words of its name, its columns and its first records."""

    words: frozenset[str]
    columns: list[Column]
    records: Sequence[Mapping[str, Any]]

    def has_word(self, words: frozenset[str], beside: Column) -> bool:
        """Return whether another column, or the stream, has one of some words in its name."""
        others = [one.words for one in self.columns if one.path != beside.path]
        return any(not words.isdisjoint(one) for one in (self.words, *others))


@functools.cache
def _meanings() -> dict[str, str]:
    """Return what each known word means: itself, or other words."""
    known = table()
    of_fields = ([*one.names, *one.also] for one in known.fields.values())
    others = (known.words, known.filters, known.filters_also, known.minor, known.neutral)
    more = (
        known.codes,
        known.places,
        known.deeds,
        known.asked,
        known.unasked,
        known.doubtful_streams,
    )
    texts = itertools.chain(*others, *more, *of_fields)
    meanings = {word: word for text in texts for word in text.split()}
    return meanings | {word: one for one, words in known.words.items() for word in words}


@functools.cache
def _parts(word: str) -> tuple[str, ...]:
    """Return the known words of which a word without spaces consists, or else the word."""
    known = _meanings()
    for whole in (word, word.removesuffix("s")):
        if whole in known:
            return (whole,)
        parts = _split(whole)
        if any(len(part) > 3 for part in parts):  # noqa: PLR2004 (short words fit by chance)
            return parts
    return (word,)


def _split(text: str) -> tuple[str, ...]:
    """Return a text as known words, the longest first; nothing if it does not consist of them."""
    for end in range(len(text), 1, -1):
        part = text[:end]
        if part in _meanings() and (end > 2 or part in _SHORT):  # noqa: PLR2004
            rest = _split(text[end:])
            if rest or end == len(text):
                return (part, *rest)
    return ()


def words_of(*path: str) -> frozenset[str]:
    """Return the words of a path, abbreviations in full: `custMail` is `customer` and `email`.

    Accents, the case and single letters do not matter. `data` is Italian and Portuguese for a date,
    where it begins a name.
    """
    words: list[str] = []
    for step in path:
        parts = _tokens(step)
        if parts[:1] == ["data"] and (len(parts) > 1 or len(path) == 1):
            parts[0] = "date"
        words += parts
    meanings = _meanings()
    found = " ".join(meanings.get(word, word) for word in words).split()
    return frozenset(word for word in found if len(word) > 1 or word.isdigit())


def _tokens(step: str) -> list[str]:
    """Return the words of a name as they are written, without accents."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", _HUNGARIAN.sub("", step)))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return [part for token in _TOKEN.findall(plain) for part in _parts(token)]


def source_of(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> Source:
    """Return the columns of a stream and of its first records, and those inside objects."""
    records = records[:_MOST_SAMPLES]
    samples: defaultdict[Path, list[Any]] = defaultdict(list)
    for record in records:
        for path, value in _values(record):
            samples[path].append(value)
    types = dict(_described(stream.schema))
    # What the SCHEMA calls an object may hold more than it says.
    paths = itertools.islice(dict.fromkeys([*types, *samples]), _MOST_COLUMNS)
    columns = [
        Column(path, words_of(*path), types.get(path, frozenset()), (*samples[path],))
        for path in paths
        if not path[0].startswith(("_sdc_", "_smart_"))
    ]
    return Source(words_of(stream.name), columns, records)


def _has_parts(path: Path) -> bool:
    """Return whether an expression can read what is inside the object at a path."""
    return len(path) < _DEEPEST and not any("." in step for step in path)


def _values(record: Mapping[str, Any], outer: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in record.items():
        path = (*outer, str(name))
        if isinstance(value, Mapping):
            yield from _values(value, path) if _has_parts(path) else ()
        elif functions.coalesce(value) is not None and not isinstance(value, (list, tuple)):
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


# Values


def _looks_like(field: str, value: Any) -> bool:
    if isinstance(value, bool) and field != "consent":
        return False
    if not isinstance(value, (str, int, float, Decimal)):
        return False
    if field == "value":
        return any(_is_read(coerce.read_amount(value, sign)) for sign in ".,")
    if field == "currency":
        return coerce.currency_code(value) in coerce.DECIMALS
    shape = table().fields[field].shape
    return re.fullmatch(shape, str(value).strip(), re.DOTALL) is not None


def _is_read(result: Any) -> bool:
    return result is not None and not isinstance(result, coerce.Unusable)


def time_calls(samples: Sequence[Any]) -> list[str]:
    """Return the calls that read all times of a column, with `{}` for the column.

    If there are several, the times are not known: 03/04/2026 is a day of March or of April.
    """

    def reads_all(read: Callable[[Any], Any]) -> bool:
        return all(_is_read(read(value)) for value in samples)

    if reads_all(lambda value: coerce.unix_time(value, dt.timezone.utc)):
        return ["{}"]
    texts = [str(coerce.text(value)) for value in samples]
    if not all(text[:1].isdigit() for text in texts):
        return []  # Trying all forms takes a while.
    lengths = {len(text) for text in texts}
    compact = _COMPACT.get(lengths.pop(), ()) if len(lengths) == 1 else ()
    forms = [
        form
        for form in (*compact, *_FORMS)
        if reads_all(functools.partial(functions.parse_time, form=form))
    ]
    if forms:
        return [f"parse_time({{}}, {form!r})" for form in forms]
    return ["excel_time({})"] if reads_all(functions.excel_time) else []


def is_time(column: Column) -> bool:
    """Return whether a column holds times, by the SCHEMA or by its values."""
    return "time" in column.types or (bool(column.samples) and bool(time_calls(column.samples)))


def are_whole(column: Column) -> bool:
    """Return whether all values are written as whole numbers, or the SCHEMA says so."""
    if not column.samples:
        return column.types == {"integer"}
    return all(
        isinstance(value, int) or _WHOLE.fullmatch(str(value).strip()) is not None
        for value in column.samples
    )


def decimal_sign(samples: Iterable[Any]) -> str | None:
    """Return the decimal sign of all amounts; None if it cannot be told, or there are both."""
    texts = [re.sub(r"[^\d.,]", "", one).strip(".,") for one in samples if isinstance(one, str)]
    signs = {sign for text in texts if (sign := _sign_of(text))}
    is_open = any("." in text or "," in text for text in texts)
    return signs.pop() if len(signs) == 1 else (None if signs or is_open else ".")


def _sign_of(text: str) -> str | None:
    """Return the decimal sign of an amount, if it can only be this one."""
    if _DECIMAL_SIGN.fullmatch(text):
        return "," if "," in text else "."
    found = _TWO_SIGNS.fullmatch(text)
    if found and (found[2] or text.count(found[1]) > 1):
        return "," if found[1] == "." else "."
    return None


# Recognition


class Recognition(NamedTuple):
    """The column that surely holds a column of an event, or candidates with what is against them.

    `remark` is what a person should know, and `reading` the call that reads the column, with `{}`
    for it.
    """

    column: Column | None
    candidates: list[tuple[Column, str]]
    remark: str = ""
    reading: str = "{}"

    @property
    def expression(self) -> str:
        """The expression of a column that is recognized."""
        return self.reading.replace("{}", self.column.expression) if self.column else ""


class _Match(NamedTuple):
    """How well the name of a column fits; the best one is the smallest."""

    place: int
    more: int
    least_likely: int


def recognize(field: str, source: Source) -> Recognition:
    """Find the column that surely holds a column of an event."""
    matches = [
        (one, match) for one in source.columns if (match := _match(field, one, source.words))
    ]
    matches.sort(key=lambda pair: pair[1])
    against: dict[Path, str] = {}
    objections = {one.path: _objection(field, one, source) for one, _ in matches}
    for column, match in matches:
        equal = [one for one, other in matches if other == match and not objections[one.path]]
        if objection := objections[column.path] or _rival(column, equal):
            against[column.path] = objection
            if field == "value":  # The next best amount is another one.
                break
        else:
            return _recognized(field, column, source)
    shaped = [] if against else [one for one in source.columns if _is_shaped(field, one)]
    shaped = [one for one in shaped if not _objection(field, one, source)]
    for column in shaped:
        if objection := _rival(column, shaped):
            against[column.path] = objection
        else:
            return _recognized(field, column, source)
    return Recognition(None, _candidates(field, source, against))


def _recognized(field: str, column: Column, source: Source) -> Recognition:
    calls = time_calls(column.samples) if field == "event_time" and column.samples else ["{}"]
    return Recognition(column, [], _repeats(field, column, source)[1], calls[0])


@functools.cache
def _phrases(field: str) -> tuple[frozenset[str], ...]:
    names = table().fields[field].names
    return tuple(frozenset(word for word in name.split() if len(word) > 1) for name in names)


def _match(field: str, column: Column, stream: frozenset[str]) -> _Match | None:
    """Return how well a name fits; None if it does not, or has a word that is not understood."""
    one, words = table().fields[field], column.words
    if not _type_fits(field, column) or (field == "value" and _is_count(column)):
        return None
    is_described = "time" in column.types or bool(column.samples)
    if field == "event_time" and is_described and words - table().neutral:  # Such as `created`.
        words |= {"date"}
    deeds = table().deeds
    if field in {"event_id", "order_id"}:  # An order may have the ID of a payment.
        deeds &= (
            stream if field == "event_id" else stream - {"subscription", "application", "ticket"}
        )
    beside = table().neutral.union(one.also, deeds)
    codes: frozenset[str] = frozenset()
    if field == "value":
        words, codes = words - table().minor, table().codes
    for place, name in enumerate(_phrases(field)):
        if name <= words and words - name - codes <= beside:
            ranks = [one.also.index(word) for word in words - name if word in one.also]
            is_vague = field == "event_time" and column.types == {"string"}  # Such as 20261128.
            return _Match(place, len(words - name), max(ranks, default=-1) + 100 * is_vague)
    return None


def _is_count(column: Column) -> bool:
    """Return whether a name says how many there are, as `total_orders` does."""
    last = _tokens(column.path[-1])[-1:]
    return table().counted.issuperset(last) and "total" in words_of(column.path[-1])


def _type_fits(field: str, column: Column) -> bool:
    return not column.types or not column.types.isdisjoint(table().fields[field].types)


def _rival(column: Column, others: Sequence[Column]) -> str:
    """Say which other column fits as well, unless it holds the same."""
    rivals = [one for one in others if one.path != column.path]
    if column.words == {"date", "created"}:  # A row is created only once.
        rivals = [one for one in rivals if one.words != column.words]
    is_same = len(column.samples) >= _FEW_ROWS and all(
        one.samples == column.samples for one in rivals
    )
    if not rivals or is_same:
        return ""
    return f"{rivals[0].name} fits as well"


def _is_shaped(field: str, column: Column) -> bool:
    """Return whether the values say what a column holds, and its name says nothing else.

    A number may be a time, but also an ID or a telephone number.
    """
    one, known = table().fields[field], table()
    if one.mark is not None and any(one.mark in str(value) for value in column.samples):
        return not column.words & {"referrer", "referer", "product", "image"}
    if not one.by_shape or not _type_fits(field, column):
        return False
    names = frozenset(word for name in one.names for word in name.split())
    understood = names.union(one.also, known.neutral)
    if any(not word.isdigit() and word not in understood for word in column.words):
        return False
    if field == "email" and not column.fits(lambda value: "@" in str(value)):
        return False  # A hash can be that of anything.
    if field == "event_time" and column.samples:
        return not column.fits(functools.partial(_looks_like, "value"))
    return bool(column.samples) or (field == "event_time" and "time" in column.types)


def _objection(field: str, column: Column, source: Source) -> str:
    """Return what is against a column whose name fits; nothing if it may be proposed."""
    if field == "email" and source.words & table().strangers:
        return "the records of this stream are no customers"
    fuller = column.words | {"customer"}
    if field == "email" and any(
        one.words == fuller != column.words and one.path[:-1] == column.path[:-1]
        for one in source.columns
    ):
        return "another column says that it is the customer's"
    for name, unsure in table().fields[field].unsure.items():
        is_named = column.words - table().neutral == frozenset(name.split())
        if is_named or column.name.casefold() == name:
            is_doubtful = source.has_word(unsure.present, column) if unsure.present else False
            is_alone = unsure.absent and not source.has_word(unsure.absent, column)
            if is_doubtful or is_alone:
                return "beside the other columns, its name can mean something else"
    return _values_against(field, column, source)


def _values_against(field: str, column: Column, source: Source) -> str:
    """Return what the values say against a column."""
    if field != "event_time" and not column.fits(functools.partial(_looks_like, field)):
        return "its values look like something else"
    check = _CHECKS.get(field)
    return check(column, source) if check else ""


def _time_against(column: Column, _: Source) -> str:
    calls = time_calls(column.samples) if column.samples else ["{}"]
    if len(calls) > 1:
        return "which number is the day, and which the month?"
    return "" if calls else "not all of its values can be read as times"


def _id_against(column: Column, source: Source) -> str:
    is_vague = column.words - table().neutral in ({"order"}, {"code"})
    if is_vague and not (column.samples and all(_ID.fullmatch(str(v)) for v in column.samples)):
        return "its name does not say enough"
    return _person_against(column, source)


def _event_id_against(column: Column, source: Source) -> str:
    return _id_against(column, source) or _repeats("event_id", column, source)[0]


def _consent_against(column: Column, _: Source) -> str:
    is_known = bool(column.samples) or column.types == {"boolean"}
    return "" if is_known else "its values are not known"


def _person_against(column: Column, _: Source) -> str:
    """Say that the values are those of a shop, of its clerks or of a proxy."""
    rows, distinct = len(column.samples), len(set(map(str, column.samples)))
    if rows >= _FEW_ROWS and distinct == 1:
        return f"all {rows} rows have the same value"
    if rows >= _MANY_ROWS and distinct <= rows * _DISTINCT:
        return f"{rows} rows have only {distinct} different values"
    return ""


_CHECKS: dict[str, Callable[[Column, Source], str]] = {
    "event_id": _event_id_against,
    "event_time": _time_against,
    "email": _person_against,
    "order_id": _id_against,
    "ip": _person_against,
    "consent": _consent_against,
}
"""What else the values of a column of an event must be."""


def _repeats(field: str, column: Column, source: Source) -> tuple[str, str]:
    """Return what repeated values say against an ID, and what a person should know of them."""
    rows = len(column.samples)
    if field != "event_id" or not (repeated := rows - len(set(map(str, column.samples)))):
        return "", ""
    said = f"{repeated} of {rows} rows {'has' if repeated == 1 else 'have'} the same value"
    said += " as another row"
    # The same record twice is one event.
    kept = {repr(sorted(record.items())): record for record in source.records}
    values = [str(functions.walk(record, column.path)) for record in kept.values()]
    differing = len(values) - len(set(values))
    return (said, "") if differing > rows * _REPEATED else ("", f"{said}: only one is sent")


def _candidates(
    field: str, source: Source, against: Mapping[Path, str]
) -> list[tuple[Column, str]]:
    """Return the columns of which a person may choose one, the likeliest first."""
    one, known = table().fields[field], table()
    beside = known.neutral.union(one.also, known.deeds, *(name.split() for name in one.names))
    near = [
        (sorted(word for word in column.words - beside if not word.isdigit()), column)
        for column in source.columns
        if column.path in against or (column.words & one.core and _type_fits(field, column))
    ]
    near.sort(key=lambda pair: (pair[1].path not in against, len(pair[0])))
    return [
        (column, against.get(column.path) or _name_against(field, column, others, source))
        for others, column in near[:_MOST_CANDIDATES]
    ]


def _name_against(field: str, column: Column, others: list[str], source: Source) -> str:
    if others:
        return f"its name also says {others[0]!r}"
    return _values_against(field, column, source) or "its name does not say enough"

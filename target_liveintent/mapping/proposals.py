"""Proposes how to map a stream: with a preset, or with a map of the columns that it recognizes.

A column is recognized by its name, its types and its first values; names and shapes are in
`recognized.yaml`. One that does not surely hold something is a candidate, and a person chooses.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
import pathlib
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions import coerce
from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.mapping import functions
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_checks import lacking_for_events
from target_liveintent.mapping.presets import likely_preset, preset_columns
from target_liveintent.mapping.reading import Path
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults

_MOST_SAMPLES = 50
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
_MOST_NAMED = 3
_HEAD = """\
# Proposed by target-liveintent explain. Fill in the three blanks, and check each line.
customer_id: # the ID of your account at LiveIntent
auth_token: # its token, if not in the variable TARGET_LIVEINTENT_AUTH_TOKEN
pixel_id: # the number of your conversion pixel
# api_url: http://127.0.0.1:8086 # to send to the sandbox first
timezone: UTC # the zone of times that have none, such as Europe/Berlin
"""
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


# Columns and their names


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
    others = (known.filters, known.filters_also, known.minor, known.neutral)
    texts = itertools.chain(meanings, *others, *of_fields)
    words = {word for text in texts for word in text.split() if len(word) > 1}
    return meanings, re.compile("|".join(sorted(words, key=len, reverse=True)))


def _words_of(name: str) -> frozenset[str]:
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


def _columns_of(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> list[Column]:
    """Return the columns of a stream and of its first records, and those inside objects."""
    samples: defaultdict[Path, list[Any]] = defaultdict(list)
    for record in records[:_MOST_SAMPLES]:
        for path, value in _values(record):
            samples[path].append(value)
    types = dict(_described(stream.schema))
    # What the SCHEMA calls an object may hold more than it says.
    paths = itertools.islice(dict.fromkeys([*types, *samples]), _MOST_COLUMNS)
    return [
        Column(path, _words_of(" ".join(path)), types.get(path, frozenset()), (*samples[path],))
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


# Shapes of values


def _looks_like(field: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return False
    if field == "value":
        return any(_is_read(coerce.amount(value, sign)) for sign in ".,")
    if field == "currency":
        return _is_read(coerce.currency_code(value))
    shape = table().fields[field].shape
    return re.fullmatch(shape, str(value).strip(), re.DOTALL) is not None


def _is_read(result: Any) -> bool:
    return result is not None and not isinstance(result, coerce.Unusable)


def _time_call(samples: Sequence[Any]) -> str | None:
    """Return the call that reads all times of a column, with `{}` for the column.

    It is None if there is no such call, or if several read different times: `03/04/2026`.
    """

    def reads_all(read: Callable[[Any], Any]) -> bool:
        return all(_is_read(read(value)) for value in samples)

    if reads_all(lambda value: coerce.unix_time(value, dt.timezone.utc)):
        return "{}"
    if not all(str(value).strip()[:1].isdigit() for value in samples):
        return None  # Trying all forms takes a while.
    forms = [x for x in _FORMS if reads_all(functools.partial(functions.parse_time, form=x))]
    if len(forms) == 1:
        return f"parse_time({{}}, {forms[0]!r})"
    return "excel_time({})" if reads_all(functions.excel_time) else None


def _amount_call(samples: Sequence[Any]) -> str:
    """Return the call that reads the amounts of a column, with `{}` for the column."""
    points, commas = (sum(_is_read(coerce.amount(v, sign)) for v in samples) for sign in ".,")
    return "amount({})" if commas > points else "{}"


def _are_cents(samples: Sequence[Any]) -> bool:
    """Return whether integers may be amounts in cents: they are not all small."""
    numbers = [abs(float(v)) for v in samples if isinstance(v, (int, float, Decimal))]
    return not numbers or statistics.median_high(numbers) >= _SMALL


# Recognition


def _recognize(field: str, columns: Iterable[Column], stream: str) -> Column | None:
    """Return the column of a tap that surely holds a column of an event; None if none does."""
    fitting = [column for column in columns if _may_hold(field, column)]
    own = _words_of(stream)
    ranks = [(rank, n) for n, one in enumerate(fitting) if (rank := _rank(field, one, own))]
    if ranks:
        return fitting[min(ranks)[1]]
    shaped = [column for column in fitting if _is_typical(field, column)]
    return shaped[0] if len(shaped) == 1 else None


def _candidates(field: str, columns: Iterable[Column]) -> list[Column]:
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
        return _time_call(column.samples) is not None
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
    last = _words_of(column.path[-1]) if field in {"event_id", "order_id"} else words
    beside = one.also | table().neutral | own
    for place, phrase in enumerate(one.names):
        name = frozenset(phrase.split())
        if name <= last and words - name <= beside:
            is_vague = field == "event_time" and column.types == {"string"}  # Such as 20261128.
            return place, len(words - name), is_vague
    return None


# Proposals


class Proposal(NamedTuple):
    """A preset for a stream, or a map of it, with remarks for the person who has to check it."""

    stream: str
    preset: str | None
    expressions: dict[str, str]
    remarks: list[str]

    @property
    def rank(self) -> int:
        """2 for sales, 1 for other records with a time and a person, 0 for what gives no event."""
        found = self.expressions.keys()
        gives_events = "event_time" in found and not found.isdisjoint(coerce.IDENTIFYING)
        return 2 if self.preset else gives_events + (gives_events and "value" in found)

    def as_yaml(self, name: str) -> list[str]:
        """Return the entry of `stream_maps` under a name, with a comment on each line."""
        comments = {column: field.comment for column, field in table().fields.items()}
        comments |= {FILTER: "which records count"}
        return [
            f"  {name}: # the map of this stream",
            *(f"    # {_one_line(remark)}" for remark in self.remarks),
            *(f"    {c}: {_yaml(text)} # {comments[c]}" for c, text in self.expressions.items()),
            "    __else__: __NULL__ # no other column leaves this machine",
        ]


def propose(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> Proposal:
    """Propose a map of the columns of a stream and its first records that are recognized."""
    columns = _columns_of(stream, records)
    fields = table().fields
    found = {field: one for field in fields if (one := _recognize(field, columns, stream.name))}
    made = {field: column.expression for field, column in found.items()} | {"source": "'web'"}
    if tests := [*_tests(columns)]:
        made[FILTER] = " and ".join(tests)
    remarks = [*_statuses(columns, made), *_event_id(columns, made, stream.keys)]
    if times := found.get("event_time"):
        made["event_time"] = (_time_call(times.samples) or "{}").format(times.expression)
    if value := found.get("value"):
        remarks += _amount(value, columns, made)
    if "event_id" in made and "order" in _words_of(stream.name):
        made.setdefault("order_id", made["event_id"])
    if (source := found.get("source")) and source.samples:
        made["source"] = f"lower({source.expression})"
    for field in fields:
        if field not in {*found, *made} and (others := _candidates(field, columns)):
            names = ", ".join(".".join(column.path) for column in others)
            remarks.append(f"{field}: not recognized; candidates: {names}")
    order = (FILTER, *fields)
    expressions = {one: made[one] for one in order if one in made}
    return Proposal(stream.name, likely_preset(stream.schema["properties"]), expressions, remarks)


def _tests(columns: Iterable[Column]) -> Iterator[str]:
    """Yield conditions against test orders and deleted ones."""
    known = table()
    meanings = {frozenset(name.split()): meaning for name, meaning in known.filters.items()}
    for column in columns:
        meaning = meanings.get(column.words - known.filters_also - known.neutral)
        is_flag = column.fits(lambda value: not isinstance(coerce.flag(value), coerce.Unusable))
        if meaning is not None and is_flag and "time" not in column.types:
            yield f"{'' if meaning else 'not '}is_true({column.expression})"


def _statuses(columns: Iterable[Column], made: Mapping[str, str]) -> Iterator[str]:
    statuses = [one for one in columns if "status" in one.words and "date" not in one.words]
    if statuses:
        begin = "extend __filter__: it" if FILTER in made else "a filter"
        names = ", ".join(column.expression for column in statuses[:_MOST_NAMED])
        yield f"{begin} can also read {names}, to leave out what was cancelled"


def _event_id(
    columns: Iterable[Column], made: dict[str, str], keys: Sequence[str]
) -> Iterator[str]:
    """Make the event ID the key; say what it is derived from if there is none."""
    if lasting := lasting_keys(keys):
        made.pop("event_id", None)
        if key := [one.expression for one in columns if one.path == lasting]:
            made["event_id"] = key[0]
        else:
            yield f"event_id: derived from the keys {', '.join(lasting)}"
    elif "event_id" not in made:
        yield "event_id: derived from the whole record, as no column is recognized"


def _amount(value: Column, columns: Iterable[Column], made: dict[str, str]) -> Iterator[str]:
    """Make the value, and the currency of the same object if there is one."""
    *outer, _ = value.path
    beside = [
        one._replace(words=_words_of(one.path[-1])) for one in columns if [*one.path[:-1]] == outer
    ]
    if outer and (own := _recognize("currency", beside, "")):
        made["currency"] = own.expression
    are_whole = value.fits(lambda sample: isinstance(functions.minor_units(sample, "USD"), Decimal))
    is_minor = value.types == {"integer"} and _are_cents(value.samples)
    if not are_whole or not (is_minor or value.words & table().minor):
        made["value"] = _amount_call(value.samples).format(value.expression)
    elif "currency" in made:
        made["value"] = f"minor_units({value.expression}, {made['currency']})"
    else:
        del made["value"]
        yield f"value: {'.'.join(value.path)} is in cents, but no column has the currency"


def advise_map(
    stream: Stream,
    defaults: EventDefaults,
    *,
    in_use: bool,
    records: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return how to map a stream: with a preset made for it, or with a map made of its columns.

    A stream that has a preset `in_use` gets a map.
    """
    name, proposal = _yaml(scrub(stream.name).replace(".", "\\.")), propose(stream, records)
    if in_use or proposal.preset is None:
        header = ["stream_maps:", "  __else__: __NULL__ # send no other stream"]
        return "\n".join(["A map to start from:", *header, *proposal.as_yaml(name)])
    plan = StreamPlan.without_map(stream.name, preset_columns(proposal.preset))
    still = lacking_for_events(plan, {}, defaults)
    also = f", and also {', and '.join(still)}" if still else ""
    return (
        f"These columns look like those of a preset: set `presets: {{{name}: {proposal.preset}}}`"
        f"{also}. To see the preset, run `target-liveintent preset {proposal.preset}`."
    )


def config_text(streams: Iterable[tuple[Stream, Sequence[Mapping[str, Any]]]]) -> str:
    """Return a complete configuration as YAML. Only values that its owner must add are blank.

    Of the streams, each with its first records, it sends those that look like sales; where none has
    an amount, all that have a time and a person; where none has these either, the first one.
    """
    proposals = [propose(stream, records) for stream, records in streams]
    best = max(one.rank for one in proposals)
    sent = [one for one in proposals if one.rank == best] if best else proposals[:1]
    chosen = {_yaml(one.stream): one for one in sent}
    presets = {name: one.preset for name, one in chosen.items() if one.preset}
    lines = ["presets: # ready maps"] if presets else []
    lines += [
        f"  {name}: {one} # run target-liveintent preset {one}" for name, one in presets.items()
    ]
    lines += ["stream_maps: # what is sent", "  __else__: __NULL__ # no other stream is sent"]
    for name, one in chosen.items():
        lines += [] if one.preset else one.as_yaml(name)
    others = [name for one in proposals if (name := _yaml(one.stream)) not in chosen]
    lines += [f"  # not proposed, because it has no amount or no person: {one}" for one in others]
    return _HEAD + "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """Return a text, which may hold names of the tap, as a comment of YAML."""
    return scrub("".join(c for c in " ".join(text.split()) if c.isprintable()))


def _yaml(text: str) -> str:
    """Return a text as YAML reads it: in quotes where YAML would take it for something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w .,()'\\/%-]*(?<! )", text, re.ASCII)
    is_plain = plain and text.lower() not in _YAML_WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())

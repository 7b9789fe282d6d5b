"""Proposes how to map a stream: with a preset, or with a map of the columns that it recognizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from target_liveintent.conversions import lasting_keys, missing_columns
from target_liveintent.mapping.converter import Stream
from target_liveintent.mapping.functions import minor_units
from target_liveintent.mapping.presets import likely_preset, preset_columns
from target_liveintent.mapping.recognition import (
    Column,
    amount_call,
    are_cents,
    candidates,
    columns_of,
    is_flag,
    recognize,
    table,
    time_call,
    words_of,
)
from target_liveintent.privacy import scrub
from target_liveintent.settings import EventDefaults

_FEWEST_UNIQUE = 10
"""How many values of a column are needed to judge whether it may be an ID or a status."""
_MOST_KINDS = 8
"""How many different values a status may have."""
_PLAIN = {
    "email": "the address or its hash; addresses are hashed on this machine",
    "order_id": "your order number",
    "ip": "the buyer's IP address",
    "user_agent": "the buyer's browser",
    "source_url": "the li_did in this URL identifies guests",
    "decision_id": "LiveIntent's decision ID",
    "idfa": "Apple's advertising ID",
    "aaid": "Android's advertising ID",
    "app_bundle": "the app's bundle ID",
}
"""The columns that are mapped as they are, with the comment of their line."""
_SUFFICIENT = ("email", "decision_id", "source_url")
"""The columns that can identify the person. One of them must exist."""


class Line(NamedTuple):
    """A line of a proposed map.

    Attributes:
        expression: What fills the column; None for a line that is only a comment.
    """

    column: str
    expression: str | None
    comment: str


class Proposal(NamedTuple):
    """A proposed map.

    Attributes:
        stream: The stream that it is for.
        lines: What each column is computed from.
    """

    stream: str
    lines: tuple[Line, ...]

    @property
    def expressions(self) -> dict[str, str]:
        """The expressions by column."""
        return {line.column: line.expression for line in self.lines if line.expression is not None}

    @property
    def gives_events(self) -> bool:
        """Whether time and person are known, which each event needs."""
        found = self.expressions
        return "event_time" in found and any(column in found for column in _SUFFICIENT)

    def as_yaml(self, name: str) -> list[str]:
        """Return the entry of `stream_maps` under a name, with a comment on each line."""
        lines = [f"  {name}: # the map of this stream"]
        for column, expression, comment in self.lines:
            written = "#" if expression is None else f"{column}: {_yaml(expression)} #"
            lines.append(f"    {written} {_one_line(comment)}")
        return lines


def propose(stream: Stream, records: Sequence[Mapping[str, Any]] = ()) -> Proposal:
    """Propose a map of the columns of a stream that are recognized.

    Args:
        stream: The stream.
        records: Its first records.
    """
    columns = columns_of(stream, records)
    found = {
        field: column
        for field in table().fields
        if (column := recognize(field, columns, stream.name)) is not None
    }
    lines = [*_filter(columns), *_statuses(columns, found), _event_id(columns, found, stream.keys)]
    times = found.get("event_time")
    if times is not None:
        call = time_call(times.samples) or "{}"
        lines.append(Line("event_time", call.format(times.expression), "when it happened"))
    lines += [
        Line(field, found[field].expression, comment)
        for field, comment in _PLAIN.items()
        if field in found
    ]
    lines += _amount(columns, found)
    if "order_id" not in found and "order" in words_of(stream.name):
        lines += [line._replace(column="order_id") for line in lines if line.column == "event_id"]
    lines.append(_source(found.get("source")))
    if (consent := found.get("consent")) is not None:
        lines.append(
            Line("", None, f"consent: {consent.expression} # to send only buyers who agreed")
        )
    mapped = {line.column for line in lines}
    for field in table().fields:
        if field not in mapped and (others := candidates(field, columns)):
            names = ", ".join(".".join(column.path) for column in others)
            lines.append(Line("", None, f"{field}: not recognized; candidates: {names}"))
    lines.append(Line("__else__", "__NULL__", "no other column leaves this machine"))
    return Proposal(stream.name, tuple(lines))


def _filter(columns: Iterable[Column]) -> Iterator[Line]:
    """Propose a filter against test orders and deleted ones."""
    known, tests = table(), []
    for column in columns:
        meaning = known.filters.get(column.words - known.filters_also - known.neutral)
        if meaning is not None and "date-time" not in column.types and column.fits(is_flag):
            tests.append(f"{'' if meaning else 'not '}is_true({column.expression})")
    if tests:
        yield Line("__filter__", " and ".join(tests), "no test orders, and none that do not count")


def _statuses(columns: Iterable[Column], found: Mapping[str, Column]) -> Iterator[Line]:
    """Name columns by which a filter may select paid orders that were not cancelled."""
    others = [column for column in columns if column not in found.values()]
    statuses = [column for column in others if "status" in column.words]
    statuses += [column for column in others if column not in statuses and _is_kind(column)]
    if statuses:
        names = ", ".join(column.expression for column in statuses[:3])
        yield Line("", None, f"a filter can also read {names}, to leave out what was cancelled")


def _is_kind(column: Column) -> bool:
    """Return whether the first values are a few words, like the values of a status."""
    texts = {value for value in column.samples if isinstance(value, str) and value.isalpha()}
    is_text = column.fits(lambda value: value in texts)
    return is_text and len(column.samples) >= _FEWEST_UNIQUE and 1 < len(texts) <= _MOST_KINDS


def _event_id(columns: Sequence[Column], found: Mapping[str, Column], keys: Sequence[str]) -> Line:
    """Return the line of the event ID: the key, or a column that looks like one."""
    lasting = lasting_keys(keys)
    if len(lasting) == 1:
        key = next((one for one in columns if one.path == lasting), None)
        if key is not None:
            return Line("event_id", key.expression, "the key of the stream")
    if lasting:
        return Line("", None, f"event_id: derived from the keys {', '.join(lasting)}")
    column = found.get("event_id")
    if column is not None:
        return Line("event_id", column.expression, "this must be different in each record")
    unique = [one.expression for one in columns if one not in found.values() and _is_unique(one)]
    advice = f"; these differ in all first records: {', '.join(unique[:3])}" if unique else ""
    return Line("", None, f"event_id: derived from the whole record, as no name is known{advice}")


def _is_unique(column: Column) -> bool:
    """Return whether the first values are many, and no two of them are equal."""
    texts = {str(value) for value in column.samples if isinstance(value, (str, int))}
    return len(texts) == len(column.samples) >= _FEWEST_UNIQUE


def _amount(columns: Iterable[Column], found: Mapping[str, Column]) -> Iterator[Line]:
    """Propose the value and its currency, which come from the same object if there is one."""
    value, currency = found.get("value"), found.get("currency")
    code = None if currency is None else currency.expression
    if value is not None:
        beside = [
            one._replace(words=words_of(one.path[-1]))
            for one in columns
            if one.path[:-1] == value.path[:-1]
        ]
        if len(value.path) > 1 and (own := recognize("currency", beside, "")):
            code = own.expression
        named = value.words & table().currencies
        if code is None and len(named) == 1:
            code = repr(next(iter(named)).upper())
        yield _value(value, code)
    if code is not None:
        yield Line("currency", code, "three letters, such as USD")


def _value(value: Column, code: str | None) -> Line:
    are_whole = value.fits(lambda sample: minor_units(sample, "USD").__class__ is Decimal)
    named = not value.words.isdisjoint(table().minor)
    if not are_whole or not (named or (value.types == {"integer"} and are_cents(value.samples))):
        call = amount_call(value.samples).format(value.expression)
        return Line("value", call, "the amount, refunds not deducted")
    if code is None:
        name = ".".join(value.path)
        return Line("", None, f"value: {name} is in cents, but no column has the currency")
    comment = "cents, by its name" if named else "check that these integers are cents"
    return Line("value", f"minor_units({value.expression}, {code})", comment)


def _source(column: Column | None) -> Line:
    if column is not None and column.samples:
        return Line("source", f"lower({column.expression})", "web, app or offline")
    return Line("source", "'web'", "or 'app', or 'offline' for sales in shops")


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
    preset = None if in_use else likely_preset(stream.schema["properties"])
    if preset is None:
        lines = propose(stream, records).as_yaml(setting_name(stream.name))
        header = ["stream_maps:", "  __else__: __NULL__ # send no other stream"]
        return "\n".join(["A map to start from:", *header, *lines])
    still = missing_columns(preset_columns(preset), defaults)
    also = f", and also {', and '.join(still)}" if still else ""
    return (
        f"These columns look like those of a preset: set `presets: {{{setting_name(stream.name)}:"
        f" {preset}}}`{also}. To see the preset, run `target-liveintent preset {preset}`."
    )


def config_text(streams: Sequence[tuple[Stream, Sequence[Mapping[str, Any]]]]) -> str:
    """Return a complete configuration as YAML. Only values that its owner must add are blank.

    It sends the streams that look like sales; where none has an amount, all that have a time and a
    person.

    Args:
        streams: The streams of an input, with their first records.
    """
    proposals = {stream.name: propose(stream, records) for stream, records in streams}
    presets = {
        stream.name: preset
        for stream, _ in streams
        if (preset := likely_preset(stream.schema["properties"])) is not None
    }
    usable = [one for one in proposals.values() if one.gives_events or one.stream in presets]
    sales = [one for one in usable if "value" in one.expressions or one.stream in presets]
    chosen = sales or usable or list(proposals.values())[:1]
    others = [name for name in proposals if name not in {one.stream for one in chosen}]
    lines = [
        "# Proposed by target-liveintent explain. Fill in the three blanks, and check each line.",
        "customer_id: # the ID of your account at LiveIntent",
        "auth_token: # its token, if not in the variable TARGET_LIVEINTENT_AUTH_TOKEN",
        "pixel_id: # the number of your conversion pixel",
        "# api_url: http://127.0.0.1:8086 # to send to the sandbox first",
        "timezone: UTC # the zone of times that have none, such as Europe/Berlin",
    ]
    if presets:
        lines.append("presets: # ready maps")
        lines += [
            f"  {_yaml(name)}: {preset} # to see it, run target-liveintent preset {preset}"
            for name, preset in presets.items()
        ]
    lines += ["stream_maps: # what is sent", "  __else__: __NULL__ # no other stream is sent"]
    for one in chosen:
        if one.stream not in presets:
            lines += one.as_yaml(_yaml(one.stream))
    lines += [
        f"  # not proposed, because it has no amount or no person: {_yaml(x)}" for x in others
    ]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """Return a text, which may hold names of the tap, as a comment of YAML."""
    return scrub("".join(c for c in " ".join(text.split()) if c.isprintable()))


def setting_name(stream: str) -> str:
    """Return a stream's name as a key in `meltano.yml`, where a dot would separate levels."""
    return _yaml(scrub(stream).replace(".", "\\."))


def _yaml(text: str) -> str:
    """Return a text as YAML reads it: in quotes where YAML would take it for something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w .,()'\\/%-]*(?<! )", text, re.ASCII)
    return text if plain and text.lower() not in _YAML_WORDS else json.dumps(text)


_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

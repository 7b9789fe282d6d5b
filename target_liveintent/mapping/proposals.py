"""Proposes how to map a stream: with a preset, or with a map of the columns that it recognizes.

A proposed map may be sent as it is. So what could forbid a conversion, and is not surely
understood, is asked in `__filter__`: nothing is sent before a person answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from target_liveintent.conversions import coerce
from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_checks import ANSWER, lacking_for_events
from target_liveintent.mapping.presets import likely_preset, preset_columns
from target_liveintent.mapping.recognition import (
    Column,
    Recognition,
    Source,
    are_whole,
    decimal_sign,
    is_time,
    recognize,
    source_of,
    table,
    words_of,
)
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults

_MOST_ASKED, _MOST_VALUES, _LONGEST_VALUE = 12, 6, 20
SCHEMA_URL = "https://target-liveintent.github.io/target-liveintent/latest/settings.schema.json"
"""The JSON Schema of the settings, for editors."""
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA_URL}
# Proposed by target-liveintent explain. Fill in the three blanks, and check each line. What begins
# with ANSWER: is a question: replace it, because nothing is sent before.
customer_id: # the ID of your account at LiveIntent
auth_token: # its token, if not in the variable TARGET_LIVEINTENT_AUTH_TOKEN
pixel_id: # the number of your conversion pixel
# api_url: http://127.0.0.1:8086 # to send to the sandbox first
timezone: UTC # the zone of times that have none, such as Europe/Berlin
"""
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


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
    source = source_of(stream, records)
    found = {field: recognize(field, source) for field in table().fields}
    found["event_id"] = _event_id(found["event_id"], source, stream.keys)
    found["order_id"] = _order_id(found["order_id"], found["event_id"].column, source)
    found["currency"] = _currency(found["currency"], found["value"].column, source)
    found["value"] = _value(found["value"], found["currency"], source)
    made = {field: one.expression for field, one in found.items() if one.column}
    made["source"] = f"lower({made['source']})" if _has_samples(found["source"]) else "'web'"
    if conditions := [*_conditions(stream.name, source, found["consent"].column)]:
        made[FILTER] = " and ".join(conditions)
    remarks = [f"{field}: {one.remark}" for field, one in found.items() if one.remark]
    remarks += [
        f"{field}: not recognized; candidates: {_listed(one.candidates)}"
        for field, one in found.items()
        if field not in made and one.candidates
    ]
    expressions = {one: made[one] for one in (FILTER, *found) if one in made}
    return Proposal(stream.name, likely_preset(stream.schema["properties"]), expressions, remarks)


def _has_samples(found: Recognition) -> bool:
    return found.column is not None and bool(found.column.samples)


def _listed(candidates: Iterable[tuple[Column, str]]) -> str:
    return ", ".join(f"{column.name} ({reason})" for column, reason in candidates)


# The columns of events


def _event_id(found: Recognition, source: Source, keys: Sequence[str]) -> Recognition:
    """Return the key as the event ID, or say what the ID is derived from without a column."""
    if lasting := lasting_keys(keys):
        key = [one for one in source.columns if one.path == lasting]
        derived = f"derived from the keys {', '.join(lasting)}"
        is_usable = bool(key) and not key[0].words & table().personal
        return Recognition(key[0], []) if is_usable else Recognition(None, [], derived)
    if found.column is None:
        derived = "without a column, the whole record gives it: a changed record is sent again"
        return found._replace(remark=derived)
    return found


def _order_id(found: Recognition, event_id: Column | None, source: Source) -> Recognition:
    """Return the ID of a record as the order number, where the records are orders."""
    known = table()
    names = {word for name in known.fields["event_id"].names for word in name.split()}
    if found.column or event_id is None or source.words - known.neutral != {"order"}:
        return found
    is_of_order = event_id.words - known.neutral <= names
    return Recognition(event_id, []) if is_of_order else found


def _currency(found: Recognition, value: Column | None, source: Source) -> Recognition:
    """Return the currency of the value: of the same object, of one around it, or of its name."""
    if value is None:
        return found
    *outer, last = value.path
    beside = [
        one._replace(words=words_of(one.path[-1]))
        for one in source.columns
        if [*one.path[:-1]] == outer
    ]
    own = recognize("currency", source._replace(columns=beside))
    if outer and own.column:
        return own
    if (column := found.column) and [*column.path[:-1]] != outer[: len(column.path) - 1]:
        return Recognition(None, [(column, "it is not in the object of the value")])
    codes = words_of(last) & table().codes
    if codes and not found.column and not found.candidates:
        return Recognition(value, [], reading=f"'{min(codes).upper()}'")
    return found


def _value(found: Recognition, currency: Recognition, source: Source) -> Recognition:
    """Say how the amount is read, or why this cannot be told."""
    if (column := found.column) is None:
        return found
    known, is_whole = table(), are_whole(column)
    sign = decimal_sign(column.samples)
    codes = [one for one in currency.column.samples if currency.column] if currency.column else []
    has_decimals = not codes or any(coerce.DECIMALS.get(str(one).upper()) != 0 for one in codes)
    is_minor = bool(column.words & known.minor) or (is_whole and _is_minor_source(source))
    if is_minor and (is_whole or not column.samples):
        if currency.column:
            reading = f"minor_units({{}}, {currency.expression})"
            return Recognition(column, [], reading=reading)
        reason = "it is in cents, but no column has the currency"
    elif is_minor:
        reason = "its name means cents, but not all of its values are whole numbers"
    elif column.words & known.codes and not currency.reading.startswith("'"):
        reason = "its name has a currency, and there is a column for the currency"
    elif is_whole and has_decimals:
        reason = "its values are whole numbers: are they cents?"
    elif sign is None:
        reason = "does its sign separate decimals or thousands?"
    else:
        return Recognition(column, [], reading="amount({})" if sign == "," else "{}")
    return Recognition(None, [(column, reason)])


def _is_minor_source(source: Source) -> bool:
    """Return whether the columns are those of a source whose integers are in minor units."""
    paths = {".".join(one.path[:end]) for one in source.columns for end in (1, 2)}
    return any(columns <= paths for columns in table().minor_sources)


# Which records count


def _conditions(stream: str, source: Source, consent: Column | None) -> Iterator[str]:
    """Yield the conditions that are sure, and then a question for all that can forbid a record."""
    known = table()
    meanings = {frozenset(name.split()): meaning for name, meaning in known.filters.items()}
    understood: set[str] = set()
    asked = []
    for column in source.columns:
        words = column.words - known.filters_also - known.neutral
        meaning = meanings.get(words)
        if meaning is not None and _is_flag(column):
            understood |= words
            yield f"{'' if meaning else 'not '}is_true({column.expression})"
        elif meaning is False and (
            is_time(column) or (not column.samples and "date" in column.words)
        ):
            understood |= words
            yield f"not {column.expression}"
        elif column != consent and (meaning is not None or _forbids(column, source)):
            asked.append(column)
    if consent:
        understood |= {"consent"}
    # When it was cancelled, or how the person agreed, says no more.
    beside = understood.union(known.filters_also, known.neutral, known.unasked)
    asked = [one for one in asked if not one.words & known.asked or not one.words <= beside]
    if asked or source.words & known.doubtful_streams:
        asked.sort(key=lambda one: len(one.words))
        shown = ", ".join(map(_with_values, asked[:_MOST_ASKED]))
        more = f" and {len(asked) - _MOST_ASKED} more" if asked[_MOST_ASKED:] else ""
        look = f" Look at {shown}{more}" if asked else ""
        yield _one_line(
            f"{ANSWER} which records of {stream} are conversions that may be sent?{look}"
        )


def _is_flag(column: Column) -> bool:
    """Return whether `is_true` can read all values of a column."""
    if not column.samples:
        return not column.types & {"string", "time"}
    is_read = [not isinstance(coerce.flag(value), coerce.Unusable) for value in column.samples]
    return "time" not in column.types and all(is_read)


def _forbids(column: Column, source: Source) -> bool:
    """Return whether a column can say that a record must not be sent."""
    known = table()
    words = column.words - known.neutral - (known.filters_also - known.deeds)
    if words == {"paid"}:
        return not is_time(column) and "number" not in column.types
    if words in ({"subscription"}, {"subscriber"}):
        return column.types == {"boolean"} or (bool(column.samples) and _is_flag(column))
    if not column.words & known.asked or column.words & known.unasked:
        return False
    if column.words & known.asked <= {"status", "state", "valid", "active"}:
        is_place = column.path[-1].casefold() == "state" and source.has_word(known.places, column)
        return "date" not in column.words and not is_place and not is_time(column)
    return True


def _with_values(column: Column) -> str:
    """Return the expression of a column, with its values if they are words that come again."""
    values = Counter(map(str, column.samples))
    is_shown = 0 < len(values) <= _MOST_VALUES and 2 * len(values) <= len(column.samples)
    if not is_shown or not all(_is_word(value) for value in values):
        return column.expression
    return f"{column.expression} ({', '.join(values)})"


def _is_word(value: str) -> bool:
    return (
        len(value) <= _LONGEST_VALUE
        and re.fullmatch(r"[^\W\d]+(?:[ _-][^\W\d]+)?|[01]", value) is not None
    )


# What is written


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

"""Proposes how to map a stream: with a preset, or with a map of the columns that it recognizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.coerce import IDENTIFYING, Unusable, flag, missing_columns
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.functions import minor_units
from target_liveintent.mapping.presets import likely_preset, preset_columns
from target_liveintent.mapping.recognition import (
    Column,
    amount_call,
    are_cents,
    candidates,
    columns_of,
    recognize,
    table,
    time_call,
    words_of,
)
from target_liveintent.mapping.stream_maps import Stream
from target_liveintent.privacy.addresses import scrub
from target_liveintent.settings import EventDefaults

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
        gives_events = "event_time" in found and not found.isdisjoint(IDENTIFYING)
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
    columns = columns_of(stream, records)
    fields = table().fields
    found = {field: one for field in fields if (one := recognize(field, columns, stream.name))}
    made = {field: column.expression for field, column in found.items()} | {"source": "'web'"}
    if tests := [*_tests(columns)]:
        made[FILTER] = " and ".join(tests)
    remarks = [*_statuses(columns, made), *_event_id(columns, made, stream.keys)]
    if times := found.get("event_time"):
        made["event_time"] = (time_call(times.samples) or "{}").format(times.expression)
    if value := found.get("value"):
        remarks += _amount(value, columns, made)
    if "event_id" in made and "order" in words_of(stream.name):
        made.setdefault("order_id", made["event_id"])
    if (source := found.get("source")) and source.samples:
        made["source"] = f"lower({source.expression})"
    for field in fields:
        if field not in made and (others := candidates(field, columns)):
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
        is_flag = column.fits(lambda value: not isinstance(flag(value), Unusable))
        if meaning is not None and is_flag and "time" not in column.types:
            yield f"{'' if meaning else 'not '}is_true({column.expression})"


def _statuses(columns: Iterable[Column], made: Mapping[str, str]) -> Iterator[str]:
    """Name columns by which a filter may select paid orders that were not cancelled."""
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
        one._replace(words=words_of(one.path[-1])) for one in columns if [*one.path[:-1]] == outer
    ]
    if outer and (own := recognize("currency", beside, "")):
        made["currency"] = own.expression
    are_whole = value.fits(lambda sample: isinstance(minor_units(sample, "USD"), Decimal))
    is_minor = value.words & table().minor or (
        value.types == {"integer"} and are_cents(value.samples)
    )
    if not (are_whole and is_minor):
        made["value"] = amount_call(value.samples).format(value.expression)
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
    still = missing_columns(preset_columns(proposal.preset), defaults)
    also = f", and also {', and '.join(still)}" if still else ""
    return (
        f"These columns look like those of a preset: set `presets: {{{name}: {proposal.preset}}}`"
        f"{also}. To see the preset, run `target-liveintent preset {proposal.preset}`."
    )


def config_text(streams: Iterable[tuple[Stream, Sequence[Mapping[str, Any]]]]) -> str:
    """Return a complete configuration as YAML. Only values that its owner must add are blank.

    Of the streams, each with its first records, it sends those that look like sales; where none has
    an amount, all that have a time and a person.
    """
    proposals = [propose(stream, records) for stream, records in streams]
    best = max(one.rank for one in proposals)
    chosen = {_yaml(one.stream): one for one in proposals if one.rank == best}
    presets = {name: one.preset for name, one in chosen.items() if one.preset}
    lines = ["presets: # ready maps"] if presets else []
    lines += [
        f"  {name}: {one} # run target-liveintent preset {one}" for name, one in presets.items()
    ]
    lines += ["stream_maps: # what is sent", "  __else__: __NULL__ # no other stream is sent"]
    for name, one in chosen.items():
        lines += [] if one.preset else one.as_yaml(name)
    others = [_yaml(one.stream) for one in proposals if one.rank < best]
    lines += [f"  # not proposed, because it has no amount or no person: {one}" for one in others]
    return _HEAD + "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """Return a text, which may hold names of the tap, as a comment of YAML."""
    return scrub("".join(c for c in " ".join(text.split()) if c.isprintable()))


def _yaml(text: str) -> str:
    """Return a text as YAML reads it: in quotes where YAML would take it for something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w .,()'\\/%-]*(?<! )", text, re.ASCII)
    return text if plain and text.lower() not in _YAML_WORDS else json.dumps(text)

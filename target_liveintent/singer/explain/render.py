"""Renders what `--explain` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO

import msgspec

from target_liveintent.conversions import FIELDS
from target_liveintent.mapping import (
    FILTER,
    StreamPlan,
    absent_streams,
    advise_map,
    likely_preset,
    settings_to_set,
    unknown_columns,
    unknown_read,
)
from target_liveintent.privacy import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.singer.explain.inspect import (
    FILTERED,
    NOT_MAPPED,
    SENT,
    Explained,
    Inspector,
)
from target_liveintent.singer.stream_maps import StreamMaps

_MAX_UNUSED_COLUMNS = 12
_json = msgspec.json.Encoder(decimal_format="number").encode


def explain(
    source: IO[str], settings: Settings, maps: StreamMaps, in_use: Mapping[str, str]
) -> Iterator[str]:
    """Explain, in lines to print, what a run would do with a Singer stream or a tap's catalog.

    The argument `in_use` is the setting `presets`.

    Raises:
        InputError: If the input is neither. The message has the number of a line, not its content.
    """
    inspector = Inspector(settings, maps)
    yield from inspector.read(source)
    for plans in inspector.streams.values():
        for explained in plans:
            yield from _paragraph(explained, settings, in_use)
    for name, hint in absent_streams(maps.names, inspector.streams):
        yield from ("", f"Stream {name}", f"  A map names it, but it did not come{hint}")


def _paragraph(
    explained: Explained, settings: Settings, in_use: Mapping[str, str]
) -> Iterator[str]:
    """Describe what one map makes of a stream."""
    stream, plan = explained.stream, explained.plan
    preset = f" (preset {in_use[stream.name]})" if stream.name in in_use else ""
    copied = f", counted as {plan.stream}" if plan.stream != stream.name else ""
    yield ""
    yield f"Stream {stream.name}{copied}{preset}"
    if plan.transform is None:
        yield "  Your map drops it." if plan.named else "  It is skipped: no map names it."
    else:
        yield from _fields(explained, settings)
    if explained.missing:
        yield f"  It can never give an event: it lacks {'; '.join(explained.missing)}."
    columns = stream.schema["properties"]
    if explained.missing and (advice := settings_to_set(explained.missing)):
        yield f"  {advice}"
    elif explained.missing or (not plan.named and likely_preset(columns)):
        advice = advise_map(
            stream.name, columns, stream.keys, settings.events, in_use=stream.name in in_use
        )
        yield from (f"  {line}" for line in advice.splitlines())
    if explained.outcomes:
        yield from _records(explained)
    if explained.mistake:
        yield f"  A run would end at a record: {explained.mistake}"


def _fields(explained: Explained, settings: Settings) -> Iterator[str]:
    plan, columns = explained.plan, explained.stream.schema["properties"]
    if marks := [column for column in plan.deletion_columns if column in columns]:
        yield f"  deleted rows     dropped, by {' or '.join(marks)}"
    if FILTER in plan.origins:
        yield f"  only if          {_one_line(plan.origins[FILTER].expression)}"
    empty = []
    for field in FIELDS:
        source = _mapped(field.name, field.path, plan)
        source = source or _default(field.name, explained, settings)
        if source:
            yield f"  {field.name:16} {source}"
        else:
            empty.append(field.name)
    yield f"  Empty: {', '.join(empty)}."
    if plan.reads is not None:
        names = sorted(set(columns) - plan.reads.union(explained.stream.keys, marks))
        if names:
            hidden = len(names) - _MAX_UNUSED_COLUMNS
            more = f" and {hidden} more" if hidden > 0 else ""
            yield f"  Not used: {', '.join(names[:_MAX_UNUSED_COLUMNS])}{more}."
    yield from _misspelled(explained)


_NOTES = {"email": "  (normalized and hashed, never sent)", "consent": "  (never sent)"}
_OF_PAGE = "li_did of source_url"


def _mapped(name: str, path: tuple[str, ...], plan: StreamPlan) -> str:
    """Return the expressions and columns of which the first with a value fills a field."""
    sources = []
    for place in (name, *path[:1]):
        if place in plan.origins:
            sources.append(_one_line(plan.origins[place].expression))
        elif place in plan.properties:
            sources.append("the column of that name" if place == name else f"the column {place}")
    if sources and name == "decision_id" and "source_url" in plan.properties:
        sources.append(_OF_PAGE)
    note = _NOTES.get(name, "") if sources else ""
    return ", else ".join(dict.fromkeys(sources)) + note


def _default(column: str, explained: Explained, settings: Settings) -> str:
    """Return what fills a field that no column of the map fills; empty if nothing does."""
    events, keys = settings.events, explained.stream.keys
    derived = f"key properties {', '.join(keys)}" if keys else "the whole mapped record"
    defaults = {
        "event_id": f"derived from the stream's name and {derived}",
        "pixel_id": f"{events.pixel_id} (setting pixel_id)" if events.pixel_id else "",
        "source": f"'{events.source}' (setting default_source)" if events.source else "",
        "decision_id": _OF_PAGE if "source_url" in explained.plan.properties else "",
    }
    return defaults.get(column, "")


def _one_line(expression: str) -> str:
    return " ".join(expression.split())


def _misspelled(explained: Explained) -> Iterator[str]:
    """Name columns that no event has, and columns that expressions read and the tap lacks."""
    plan = explained.plan
    for unknown in unknown_columns(plan.stream, plan.computed):
        yield f"  {unknown[0].upper()}{unknown[1:]}"
    for column, source in plan.origins.items():
        for path in sorted(source.paths):
            if wrong := unknown_read(column, path, explained.stream.schema):
                yield f"  {wrong}"


def _records(explained: Explained) -> Iterator[str]:
    outcomes = explained.outcomes
    reasons = {reason: count for reason, count in outcomes.most_common() if reason in REASONS}
    dropped = sum(count for reason, count in reasons.items() if not REASONS[reason].letter)
    yield (
        f"  Of {outcomes.total():,} records, {outcomes[SENT]:,} would be sent,"
        f" {outcomes[FILTERED]:,} filtered, {sum(reasons.values()) - dropped:,} rejected"
        f"{f', {dropped:,} dropped' if dropped else ''}."
    )
    for reason, count in reasons.items():
        first = explained.rejected[reason]
        about = f", {first.field}" if first.field else ""
        about += f" ({scrub(first.detail)})" if first.detail else ""
        about += f", key properties {_json(first.keys).decode()}" if first.keys else ""
        yield f"  {reason} ({count:,}), event {first.event_id} first{about}:"
        yield f"    {REASONS[reason].meaning}"
    mapped = outcomes.total() - sum(outcomes[kind] for kind in (FILTERED, *NOT_MAPPED))
    empty = [column for column in explained.plan.computed if column not in explained.filled]
    if mapped:
        yield from (f"  {column} is empty in all {mapped:,} records." for column in empty)
    already_shown = {f"{column} empty" for column in empty}
    for column, count in sorted(explained.left_out.items()):
        if column not in already_shown:
            yield f"  Left out of events: {column}, {count:,} times."
    for example in explained.examples:
        yield f"  {example}"

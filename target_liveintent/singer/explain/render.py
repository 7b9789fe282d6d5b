"""What `--explain` prints of a stream, and the advice that a run gives in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.conversions.fields import FIELDS
from target_liveintent.conversions.requirements import SETTING_FOR, missing_columns
from target_liveintent.mapping import presets
from target_liveintent.mapping.suggestions import (
    absent_streams,
    setting_name,
    suggest_map,
    unknown_columns,
    unknown_read,
)
from target_liveintent.privacy.identity import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.singer.stream_maps import FILTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from target_liveintent.mapping.converter import Source, StreamPlan
    from target_liveintent.settings import EventDefaults, Settings
    from target_liveintent.singer.explain.inspect import Explained
    from target_liveintent.singer.stream_maps import StreamMaps

_SHOWN_COLUMNS = 12
_json = msgspec.json.Encoder(decimal_format="number").encode


def paragraph(explained: Explained, settings: Settings, in_use: Mapping[str, str]) -> Iterator[str]:
    """What there is to say of one stream by way of one map.

    Args:
        explained: The stream, its map, and what became of its records.
        settings: The settings.
        in_use: The setting `presets`.
    """
    stream, plan = explained.stream, explained.plan
    preset = f" (preset {in_use[stream.name]})" if stream.name in in_use else ""
    copied = f", counted as {plan.stream}" if plan.stream != stream.name else ""
    yield ""
    yield f"Stream {stream.name}{copied}{preset}"
    if plan.transform is None:
        yield "  Your map drops it." if plan.named else "  It is skipped: no map names it."
    else:
        yield from _fields(explained, settings)
    if explained.lacks:
        yield f"  It can never give an event: it lacks {'; '.join(explained.lacks)}."
    columns = stream.schema["properties"]
    if explained.lacks and (advice := settings_to_set(explained.lacks)):
        yield f"  {advice}"
    elif explained.lacks or (not plan.named and presets.likely_preset(columns)):
        out = advise_map(
            stream.name, columns, stream.keys, settings.events, in_use=stream.name in in_use
        )
        yield from (f"  {line}" for line in out.splitlines())
    if explained.fates:
        yield from _fates(explained)
    if explained.mistake:
        yield f"  A run would end at a record: {explained.mistake}"


def settings_to_set(lacks: Sequence[str]) -> str | None:
    """Which settings give all that a stream lacks; None if they cannot."""
    if not SETTING_FOR.keys() >= set(lacks):
        return None
    settings = (SETTING_FOR[lacking] for lacking in lacks)
    named = (f"{name} (TARGET_LIVEINTENT_{name.upper()} in the environment)" for name in settings)
    return f"Set {' and '.join(named)}."


def advise_map(
    stream: str,
    columns: Iterable[str],
    keys: Sequence[str],
    defaults: EventDefaults,
    *,
    in_use: bool,
) -> str:
    """What to map a stream with: a preset that was made for it, or what its columns suggest.

    Args:
        stream: The stream's name.
        columns: The tap's columns.
        keys: Its key properties.
        defaults: What the settings say about events.
        in_use: Whether a preset is in use already.
    """
    preset = None if in_use else presets.likely_preset(columns)
    if preset is None:
        return f"A map to start from:\n{suggest_map(stream, columns, keys)}"
    still = missing_columns(presets.columns_of(preset), defaults)
    return (
        f"They look like those of a preset: `presets: {{{setting_name(stream)}: {preset}}}`"
        f" would do{''.join(f', with {what}' for what in still)};"
        f" `target-liveintent --preset {preset}` shows what it does."
    )


def _fields(explained: Explained, settings: Settings) -> Iterator[str]:
    """How each field of the event is filled."""
    plan = explained.plan
    sources = plan.map.sources if plan.map is not None else {}
    if FILTER in sources:
        yield f"  only if          {_one_line(sources[FILTER].expression)}"
    empty = []
    for field in FIELDS:
        filled = _filled(field.name, field.path, explained, sources)
        filled = filled or _otherwise(field.name, explained, settings)
        if filled:
            yield f"  {field.name:16} {filled}"
        else:
            empty.append(field.name)
    yield f"  Empty: {', '.join(empty)}."
    used = (plan.reads or frozenset()) | set(explained.stream.keys)
    names = sorted(set(explained.stream.schema["properties"]) - used)
    if plan.reads is not None and names:
        more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
        yield f"  Not used: {', '.join(names[:_SHOWN_COLUMNS])}{more}."
    yield from _misspelled(explained, sources)


def _filled(
    name: str, path: tuple[str, ...], explained: Explained, sources: Mapping[str, Source]
) -> str:
    """Of which expressions and columns a field is made, the first that has a value."""
    ways = []
    for place in (name, path[0] if path else name):
        if place in sources:
            ways.append(_one_line(sources[place].expression))
        elif place in explained.plan.properties:
            ways.append("the column of that name" if place == name else f"the column {place}")
    return ", else ".join(dict.fromkeys(ways)) + (_NOTES.get(name, "") if ways else "")


_NOTES = {
    "email": "  (normalised and hashed, never sent)",
    "consent": "  (never sent)",
}


def _otherwise(name: str, explained: Explained, settings: Settings) -> str:
    """What a field is made of where no column gives it."""
    events, keys = settings.events, explained.stream.keys
    derived = f"key properties {', '.join(keys)}" if keys else "the whole mapped record"
    there = {
        "event_id": f"derived from the stream's name and {derived}",
        "pixel_id": f"{events.pixel_id} (setting pixel_id)" if events.pixel_id else "",
        "source": f"'{events.source}' (setting default_source)" if events.source else "",
        "decision_id": "li_did of source_url, where there is no e-mail"
        if "source_url" in explained.plan.properties
        else "",
    }
    return there.get(name, "")


def _one_line(expression: str) -> str:
    return " ".join(expression.split())


def _computed(plan: StreamPlan) -> tuple[str, ...]:
    return plan.map.columns if plan.map is not None else ()


def _misspelled(explained: Explained, sources: Mapping[str, Source]) -> Iterator[str]:
    """What an expression reads and the tap does not have; what it computes for nothing."""
    plan = explained.plan
    for unknown in unknown_columns(plan.stream, _computed(plan)):
        yield f"  {unknown[0].upper()}{unknown[1:]}"
    for column, source in sources.items():
        for path in sorted(source.paths):
            if wrong := unknown_read(column, path, explained.stream.schema):
                yield f"  {wrong}"


def _fates(explained: Explained) -> Iterator[str]:
    fates = explained.fates
    rejected = {reason: count for reason, count in fates.most_common() if reason in REASONS}
    yield (
        f"  Of {sum(fates.values()):,} records, {fates['sent']:,} would be sent,"
        f" {fates['filtered']:,} filtered, {sum(rejected.values()):,} rejected."
    )
    for reason, count in rejected.items():
        first = explained.rejected[reason]
        about = f", {first.field}" if first.field else ""
        about += f" ({scrub(first.detail)})" if first.detail else ""
        about += f", key properties {_json(first.keys).decode()}" if first.keys else ""
        yield f"  {reason} ({count:,}), event {first.event_id} first{about}:"
        yield f"    {REASONS[reason].meaning}"
    mapped = sum(fates.values()) - fates["filtered"] - fates["mapping_failed"]
    empty = [column for column in _computed(explained.plan) if column not in explained.filled]
    if mapped:
        yield from (f"  {column} is empty in all {mapped:,} records." for column in empty)
    told = {f"{column} empty" for column in empty}
    for column, count in sorted(explained.left_out.items()):
        if column not in told:
            yield f"  Left out of events: {column}, {count:,} times."
    for example in explained.examples:
        yield f"  {example}"


def absent(maps: StreamMaps, streams: Mapping[str, Any]) -> Iterator[str]:
    """Streams that the maps name and that did not come."""
    for name, hint in absent_streams(maps.names, streams):
        yield ""
        yield f"Stream {name}"
        yield f"  A map names it, but it did not come{hint}"

"""Describes as an `Explanation` what an `Inspector` found out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from target_liveintent.conversions import FIELDS, Rejection, lasting_keys
from target_liveintent.explain.explained import NOT_MAPPED, Explained
from target_liveintent.explain.model import (
    ExplainedStream,
    FirstRejected,
    Records,
    Rejected,
)
from target_liveintent.mapping import (
    FILTER,
    StreamPlan,
    advise_map,
    doubtful_reads,
    likely_preset,
    propose,
    settings_to_set,
    unknown_columns,
    unused_zone,
)
from target_liveintent.privacy import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.run import StreamCounts, currency_figures, warnings_of, what_to_do
from target_liveintent.settings import Settings

_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')


def describe(
    explained: Explained, settings: Settings, in_use: Mapping[str, str]
) -> ExplainedStream:
    """Describe what one map makes of a stream; `in_use` is the setting `presets`."""
    stream, plan = explained.stream, explained.plan
    described = ExplainedStream(stream.name, plan.stream, in_use.get(stream.name), _use(plan))
    described.lacks = explained.missing
    described.advice = _advice(explained, settings, in_use=stream.name in in_use)
    described.ends_run = explained.mistake
    if plan.transform is not None:
        _describe_fields(described, explained, settings)
    if _converted(explained.counts):
        described.records = _records(explained)
        described.warnings = list(_warnings(explained, settings))
    return described


def _converted(counts: StreamCounts) -> int:
    """Return how many records were converted."""
    return counts.read - counts.unmapped - counts.unsettled


def _warnings(explained: Explained, settings: Settings) -> Iterator[str]:
    counts = explained.counts
    yield from warnings_of(counts, least_filtered=1)
    yield from _keys_are_positions(explained)
    if explained.repeated:
        yield (
            f"{explained.repeated:,} of {counts.delivered:,} events have the event ID of another"
            " one, and a run sends only one of each. If they are different conversions, map"
            " event_id to a column that is different in each record"
        )
    if counts.delivered and not counts.zone_uses:
        yield from unused_zone(settings.timezone, [explained.stream.name])


def _keys_are_positions(explained: Explained) -> Iterator[str]:
    """Say that the keys identify nothing, and which column may."""
    stream = explained.stream
    if not stream.keys or lasting_keys(stream.keys) or "event_id" in explained.plan.properties:
        return
    found = propose(stream, explained.samples).expressions.get("event_id")
    yield (
        f"the key properties {', '.join(stream.keys)} only say where in a file a record stood, so"
        " the event ID is derived from the mapped record. Map event_id to a column that is"
        f" different in each record{f', such as {found}' if found else ''}"
    )


def _use(plan: StreamPlan) -> str:
    if plan.transform is None:
        return "dropped" if plan.named else "skipped"
    return "mapped" if plan.origins else "as it is"


def _advice(explained: Explained, settings: Settings, *, in_use: bool) -> str | None:
    stream, missing = explained.stream, explained.missing
    if missing and (advice := settings_to_set(missing)):
        return advice
    columns = stream.schema["properties"]
    is_unnamed = explained.plan.transform is not None and not explained.plan.named
    if missing or (is_unnamed and likely_preset(columns)):
        return advise_map(stream, settings.events, in_use=in_use, records=explained.samples)
    return None


def _describe_fields(described: ExplainedStream, explained: Explained, settings: Settings) -> None:
    plan = explained.plan
    columns = explained.stream.schema["properties"]
    described.deleted_by = [column for column in plan.deletion_columns if column in columns]
    if FILTER in plan.origins:
        described.only_if = _one_line(plan.origins[FILTER].text)
    for field in FIELDS:
        source = _mapped(field.name, field.path, plan)
        source = source or _default(field.name, explained, settings)
        if source and field.name == "event_time" and explained.counts.zone_uses:
            source += f"  (times without a zone are in {settings.timezone}: setting timezone)"
        if source:
            described.fields[field.name] = source
        else:
            described.empty_fields.append(field.name)
    if plan.reads is not None:
        used = plan.reads.union(explained.stream.keys, described.deleted_by)
        described.unused_columns = sorted(set(columns) - used)
    described.misspelled = list(_misspelled(explained))


_NOTES = {"email": "  (normalized and hashed, never sent)", "consent": "  (never sent)"}
_OF_PAGE = "li_did of source_url"


def _mapped(name: str, path: tuple[str, ...], plan: StreamPlan) -> str:
    """Return the expressions and columns of which the first with a value fills a field."""
    sources = []
    for place in (name, *path[:1]):
        if place in plan.origins:
            sources.append(_one_line(plan.origins[place].text))
        elif place in plan.properties:
            same = "the column of the same name"
            sources.append(same if place == name else f"the column {place}")
    if sources and name == "decision_id" and "source_url" in plan.properties:
        sources.append(_OF_PAGE)
    note = _NOTES.get(name, "") if sources else ""
    return ", else ".join(dict.fromkeys(sources)) + note


def _default(column: str, explained: Explained, settings: Settings) -> str:
    """Return what fills a field that no column of the map fills; empty if nothing does."""
    events, keys = settings.events, lasting_keys(explained.stream.keys)
    derived = f"the key properties {', '.join(keys)}" if keys else "the whole mapped record"
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
        yield f"{unknown[0].upper()}{unknown[1:]}"
    for column, origin in plan.origins.items():
        is_optional = origin.is_shipped and column != "event_time"
        note = " (The preset reads this column only if it exists.)" if is_optional else ""
        for said, end in doubtful_reads({column: origin}, explained.stream.schema):
            yield f"{said}{end}{note}"


def _records(explained: Explained) -> Records:
    counts = explained.counts
    first: dict[str, Rejection] = {}
    for rejection in explained.rejections:
        first.setdefault(rejection.reason, rejection)
    streams = {explained.plan.stream: counts}
    not_sent = counts.not_sent
    empty = []
    if counts.delivered + not_sent.total() - sum(not_sent[reason] for reason in NOT_MAPPED):
        empty = [column for column in explained.plan.computed if column not in explained.filled]
    return Records(
        read=_converted(counts),
        sent=counts.delivered,
        filtered=counts.filtered,
        rejected=counts.rejected.total(),
        dropped=counts.dropped.total(),
        reasons=[
            Rejected(reason, count, what_to_do(reason, streams), _first(first[reason]))
            for reason, count in not_sent.most_common()
        ],
        always_empty=empty,
        left_out=dict(sorted(counts.left_out.items())),
        currencies=currency_figures(counts.values),
        examples=[
            msgspec.Raw(_HASH.sub(r'"\1":"\2…"', body.decode()).encode())
            for body in explained.events[:_MAX_EXAMPLES]
        ],
    )


def _first(rejection: Rejection) -> FirstRejected:
    detail = rejection.detail and scrub(rejection.detail)
    keys = rejection.keys if REASONS[rejection.reason].letter else None  # A deleted row is gone.
    return FirstRejected(rejection.event_id, rejection.field, detail, keys)

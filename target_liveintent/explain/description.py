"""What `explain` says about an input, as values: printed as text, or as one JSON object.

docs/reference/cli.md describes the fields. Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from target_liveintent.conversions import FIELDS, FROM_SETTINGS, Rejection, lasting_keys
from target_liveintent.explain.explained import Explained
from target_liveintent.mapping import (
    FILTER,
    StreamPlan,
    advise_map,
    likely_preset,
    misspelled,
    propose,
    unused_zone,
)
from target_liveintent.privacy import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.run import CurrencyFigures, currency_figures, warnings_of, what_to_do
from target_liveintent.settings import Settings

VERSION = 1
_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')


class Rejected(msgspec.Struct):
    """Records that are rejected, or dropped, for one reason.

    Attributes:
        first: The first of them: its `event_id`, the `field` at fault, a `detail` without
            addresses, and the values of the `keys`, where the columns are not known.
    """

    reason: str
    records: int
    meaning: str
    first: dict[str, Any]


class Records(msgspec.Struct):
    """The records of a stream by what would become of them; the examples have shortened hashes."""

    read: int
    sent: int
    filtered: int
    rejected: int
    dropped: int
    reasons: list[Rejected]
    always_empty: list[str]
    left_out: dict[str, int]
    currencies: list[CurrencyFigures]
    examples: list[msgspec.Raw]


class ExplainedStream(msgspec.Struct):
    """What one map makes of a stream.

    Attributes:
        counted_as: The name under which its records are counted.
        use: `mapped`, `as it is` (without a map), `dropped` (by a map), or `skipped` (no map names
            it).
        fields: What fills each field that something fills.
        records: None if no record of it was read.
        warnings: What is wrong with the values of the records, a sentence each.
    """

    stream: str
    counted_as: str
    preset: str | None
    use: str
    deleted_by: list[str] = msgspec.field(default_factory=list)
    only_if: str | None = None
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    empty_fields: list[str] = msgspec.field(default_factory=list)
    unused_columns: list[str] = msgspec.field(default_factory=list)
    misspelled: list[str] = msgspec.field(default_factory=list)
    lacks: list[str] = msgspec.field(default_factory=list)
    advice: str | None = None
    records: Records | None = None
    warnings: list[str] = msgspec.field(default_factory=list)


class AbsentStream(msgspec.Struct):
    """A stream that a map names, and that is not in the input, and perhaps a similar name."""

    stream: str
    similar: str | None


class Expectation(msgspec.Struct):
    """The comparison of the input's result with the file of `--expect`.

    Attributes:
        written: Whether the file did not exist, and is written now.
        difference: A diff from the file to what the input becomes; empty if they are equal.
    """

    file: str
    events: int
    rejections: int
    written: bool = False
    difference: list[str] = msgspec.field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether the result is what the file says."""
        return not (self.written or self.difference)


class Explanation(msgspec.Struct):
    """All that `explain` says: sentences about the input, its streams, and why a run would fail."""

    notes: list[str]
    streams: list[ExplainedStream]
    absent_streams: list[AbsentStream]
    failures: list[str]
    expectation: Expectation | None = None
    version: int = VERSION

    @property
    def is_good(self) -> bool:
        """Whether a run would succeed, and the result is as expected, if something is expected."""
        return not self.failures and (self.expectation is None or self.expectation.met)


def describe(
    explained: Explained, settings: Settings, in_use: Mapping[str, str]
) -> ExplainedStream:
    """Describe what one map makes of a stream; `in_use` is the setting `presets`."""
    stream, plan = explained.stream, explained.plan
    described = ExplainedStream(stream.name, plan.stream, in_use.get(stream.name), _use(plan))
    described.lacks = explained.missing
    described.advice = _advice(explained, settings, in_use=stream.name in in_use)
    if plan.is_used:
        _describe_fields(described, explained, settings)
    counts = explained.counts
    if converted := counts.read - counts.unmapped - counts.unsettled:
        described.records = _records(explained, converted)
        described.warnings = list(_warnings(explained, settings))
    return described


def _warnings(explained: Explained, settings: Settings) -> Iterator[str]:
    counts = explained.counts
    yield from warnings_of(counts, least_filtered=1)
    yield from _keys_are_positions(explained)
    if repeated := len(explained.ids) - len(set(explained.ids)):
        yield (
            f"{repeated:,} of {counts.delivered:,} events have the event ID of another"
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
    if not plan.is_used:
        return "dropped" if plan.named else "skipped"
    return "mapped" if plan.origins else "as it is"


def _advice(explained: Explained, settings: Settings, *, in_use: bool) -> str | None:
    stream, missing = explained.stream, explained.missing
    columns = stream.schema["properties"]
    is_unnamed = explained.plan.is_used and not explained.plan.named
    if not FROM_SETTINGS.issuperset(missing) or (is_unnamed and likely_preset(columns)):
        return advise_map(stream, settings.events, in_use=in_use, records=explained.samples)
    return None


def _describe_fields(described: ExplainedStream, explained: Explained, settings: Settings) -> None:
    plan = explained.plan
    columns = explained.stream.schema["properties"]
    described.deleted_by = [column for column in plan.deletion_columns if column in columns]
    if FILTER in plan.origins:
        described.only_if = _one_line(plan.origins[FILTER].text)
    for field in FIELDS:
        source = _mapped(field.name, plan) or _default(field.name, explained, settings)
        if source and field.name == "event_time" and explained.counts.zone_uses:
            source += f"  (times without a zone are in {settings.timezone}: setting timezone)"
        if source:
            described.fields[field.name] = source
        else:
            described.empty_fields.append(field.name)
    if plan.reads is not None:
        used = plan.reads.union(explained.stream.keys, described.deleted_by)
        described.unused_columns = sorted(set(columns) - used)
    found = misspelled(plan, explained.stream.schema)
    described.misspelled = [f"{said[0].upper()}{said[1:]}" for said in found]


_NOTES = {"email": "  (normalized and hashed, never sent)", "consent": "  (never sent)"}
_OF_PAGE = "li_did of source_url"


def _mapped(name: str, plan: StreamPlan) -> str:
    """Return the expression or column for a field, and what fills it if that has no value."""
    sources = []
    if name in plan.origins:
        sources.append(_one_line(plan.origins[name].text))
    elif name in plan.properties:
        sources.append("the column of the same name")
    if name == "decision_id" and "source_url" in plan.properties:
        sources.append(_OF_PAGE)
    return ", else ".join(sources) + (_NOTES.get(name, "") if sources else "")


def _default(column: str, explained: Explained, settings: Settings) -> str:
    """Return what fills a field that the map does not fill; empty if nothing does."""
    events, keys = settings.events, lasting_keys(explained.stream.keys)
    derived = f"the key properties {', '.join(keys)}" if keys else "the whole mapped record"
    defaults = {
        "event_id": f"derived from the stream's name and {derived}",
        "pixel_id": f"{events.pixel_id} (setting pixel_id)" if events.pixel_id else "",
        "source": f"'{events.source}' (setting default_source)" if events.source else "",
    }
    return defaults.get(column, "")


def _one_line(expression: str) -> str:
    return " ".join(expression.split())


def _records(explained: Explained, converted: int) -> Records:
    counts = explained.counts
    first: dict[str, Rejection] = {}
    for rejection in explained.rejections:
        first.setdefault(rejection.reason, rejection)
    streams = {explained.plan.stream: counts}
    return Records(
        read=converted,
        sent=counts.delivered,
        filtered=counts.filtered,
        rejected=counts.rejected.total(),
        dropped=counts.dropped.total(),
        reasons=[
            Rejected(reason, count, what_to_do(reason, streams), _first(first[reason]))
            for reason, count in counts.not_sent.most_common()
        ],
        always_empty=counts.always_empty,
        left_out=dict(sorted(counts.left_out.items())),
        currencies=currency_figures(counts.values),
        examples=[
            msgspec.Raw(_HASH.sub(r'"\1":"\2…"', body.decode()).encode())
            for body in explained.events[:_MAX_EXAMPLES]
        ],
    )


def _first(rejection: Rejection) -> dict[str, Any]:
    detail = rejection.detail and scrub(rejection.detail)
    keys = rejection.keys if REASONS[rejection.reason].letter else None  # No row is left.
    return {
        "event_id": rejection.event_id,
        "field": rejection.field,
        "detail": detail,
        "keys": keys,
    }

"""What one map makes of a stream and its records, and what `explain` says about it, as values.

They are printed as text, or as one JSON object. docs/reference/cli.md describes the fields.
Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.coerce import FIELDS
from target_liveintent.conversions.event_model import Conversion, Rejection, fingerprint
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_checks import (
    FROM_SETTINGS,
    MISREAD_ADVICE,
    equal_ids_message,
    lacking_for_events,
    lacking_message,
    misread_columns,
    misspelled,
    unused_zone,
)
from target_liveintent.mapping.presets import likely_preset
from target_liveintent.mapping.proposals import advise_map, propose
from target_liveintent.mapping.stream_maps import (
    MELTANO_TEST_STREAM,
    Stream,
    StreamPlan,
)
from target_liveintent.privacy.addresses import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, HASH_CONFLICT, LOCAL_TIME
from target_liveintent.run.amounts import CurrencyFigures, currency_figures
from target_liveintent.run.counts import RunCounts, StreamCounts, add
from target_liveintent.run.doubts import stream_warnings, too_many_rejected, what_to_do
from target_liveintent.settings import EventDefaults, Settings

VERSION = 1
_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')

MAX_RECORDS = 10_000
"""Records that are read: enough to show what a map does, and read within seconds."""


class Explained(msgspec.Struct):
    """What one map makes of a stream and its records.

    The stream is as its last SCHEMA describes it, or the first one that ends a run.

    Attributes:
        missing: What the stream lacks to give events.
        gives_events: Whether records of the stream can become events, or it is Meltano's test.
        counts: The figures of a run over these records; what a map drops counts as `unmapped`.
        rejections: Those of dropped records too.
        fingerprints: Those of the first event with each event ID and pixel, of all maps of the
            stream: a run sends no other one.
        code: The generated code that converts usual records; empty if no record is usual.
        equal_ids: The earlier map of the stream that gives its events the same IDs, if one does.
    """

    stream: Stream
    plan: StreamPlan
    missing: list[str] = []
    gives_events: bool = False
    counts: StreamCounts = msgspec.field(default_factory=StreamCounts)
    samples: list[dict[str, Any]] = []
    conversions: list[Conversion] = []
    rejections: list[Rejection] = []
    fingerprints: dict[tuple[str, int], int] = {}
    equal_ids: str | None = None
    code: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether a run ends because the user wants events of a stream that cannot give them."""
        is_test = self.stream.name == MELTANO_TEST_STREAM
        return bool(self.missing) and self.plan.named and not is_test

    def take_schema(self, stream: Stream, plan: StreamPlan, defaults: EventDefaults) -> bool:
        """Take the stream as a SCHEMA describes it; return whether its records give events.

        The plan is what the map makes of this SCHEMA.
        """
        missing = lacking_for_events(plan, stream.schema, defaults) if plan.is_used else []
        if not self.is_refused:
            self.stream, self.plan, self.missing = stream, plan, missing
        gives_events = plan.is_used and not missing
        self.gives_events |= gives_events or stream.name == MELTANO_TEST_STREAM
        return gives_events

    def add(
        self, record: dict[str, Any], converter: RecordConverter | None, violation: str | None
    ) -> None:
        """Convert a record as a run would; `violation` is what is wrong with it as a whole.

        The converter is None if the record cannot become an event.
        """
        counts = self.counts
        counts.read += 1
        self.samples.append(record)
        if converter is None:
            counts.unmapped += 1
            return
        result = converter.convert(record, violation)
        if result is None:
            counts.filtered += 1
            return
        counts.note(result.remarks)
        if isinstance(result, Conversion):
            self._add_event(result)
        else:
            self._add_rejection(result)

    def _add_event(self, conversion: Conversion) -> None:
        event, found = conversion.event, fingerprint(conversion.event)
        key = event.event_id, event.pixel_id
        if key in self.fingerprints:
            self.counts.conflicting_ids += self.fingerprints[key] != found
            self._add_rejection(conversion.rejected("already_sent", None, None))
            return
        self.fingerprints[key] = found
        self.conversions.append(conversion)
        self.counts.deliver([event], [event.event_time])

    def _add_rejection(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)
        if REASONS[rejection.reason].letter:
            self.counts.reject(rejection)
        else:
            self.counts.dropped[rejection.reason] += 1


# What is said


class Rejected(msgspec.Struct):
    """Records that are rejected, or dropped, for one reason, and the first of them.

    Its `detail` has no addresses; `keys` are there where the columns are not known.
    """

    reason: str
    records: int
    meaning: str
    first: dict[str, Any]


class LeftOut(msgspec.Struct):
    """How many events lack a column that is unusable or empty, or have conflicting hashes."""

    unusable: dict[str, int]
    empty: dict[str, int]
    conflicting_hashes: int


class Records(msgspec.Struct):
    """The records of a stream by what would become of them; the examples have shortened hashes."""

    read: int
    sent: int
    filtered: int
    rejected: int
    dropped: int
    reasons: list[Rejected]
    always_empty: list[str]
    left_out: LeftOut
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
        code: The generated code that converts usual records, if it is to be shown.
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
    code: str | None = None


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
    explained: Explained, settings: Settings, *, show_code: bool = False
) -> ExplainedStream:
    """Describe what one map makes of a stream, perhaps with its generated code."""
    stream, plan = explained.stream, explained.plan
    preset = settings.presets.get(stream.name)
    described = ExplainedStream(stream.name, plan.stream, preset, _use(plan))
    described.lacks = explained.missing
    described.advice = _advice(explained, settings)
    if plan.is_used:
        _describe_fields(described, explained, settings)
    if show_code:
        described.code = explained.code
    counts = explained.counts
    if converted := counts.read - counts.unmapped:
        described.records = _records(explained, converted)
        described.warnings = list(_warnings(explained, settings))
    return described


def _warnings(explained: Explained, settings: Settings) -> Iterator[str]:
    counts = explained.counts
    if explained.equal_ids is not None:
        yield equal_ids_message(explained.plan.stream, explained.equal_ids)
    # (Some records are enough to show a map.)
    yield from (doubt.words for doubt in stream_warnings(counts, least=1))
    yield from _keys_are_positions(explained)
    if counts.delivered and not counts.noted(LOCAL_TIME):
        yield from unused_zone(settings.timezone, [explained.stream.name])


def _keys_are_positions(explained: Explained) -> Iterator[str]:
    """Say that the keys identify nothing, and which column may."""
    stream = explained.stream
    if not stream.keys or lasting_keys(stream.keys) or "event_id" in explained.plan.properties:
        return
    if explained.plan.keys is not None:
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


def _advice(explained: Explained, settings: Settings) -> str | None:
    stream, missing = explained.stream, explained.missing
    columns = stream.schema["properties"]
    is_unnamed = explained.plan.is_used and not explained.plan.named
    if missing and set(missing) <= {*misread_columns(explained.plan, stream.schema)}:
        return MISREAD_ADVICE
    if not set(missing) <= FROM_SETTINGS.keys() or (is_unnamed and likely_preset(columns)):
        in_use = stream.name in settings.presets
        return advise_map(stream, settings.events, in_use=in_use, records=explained.samples)
    return None


def _describe_fields(described: ExplainedStream, explained: Explained, settings: Settings) -> None:
    plan = explained.plan
    columns = explained.stream.schema["properties"]
    found = frozenset(columns).union(*explained.samples)  # Some taps do not declare all columns.
    described.deleted_by = [column for column in plan.deletion_columns if column in found]
    if FILTER in plan.origins:
        described.only_if = _one_line(plan.origins[FILTER].text)
    for field in FIELDS:
        source = _mapped(field.name, plan, found) or _default(field.name, explained, settings)
        if source and field.name == "event_time" and explained.counts.noted(LOCAL_TIME):
            source += f"  (times without a zone are in {settings.timezone}: setting timezone)"
        if source:
            described.fields[field.name] = source
        else:
            described.empty_fields.append(field.name)
    if plan.reads is not None:
        used = plan.reads.union(explained.stream.keys, described.deleted_by, plan.consent_columns)
        described.unused_columns = sorted(set(columns) - used)
    sentences = misspelled(plan, explained.stream.schema)
    described.misspelled = [f"{said[0].upper()}{said[1:]}" for said in sentences]


_NOTES = {"email": "  (normalized and hashed, never sent)", "consent": "  (never sent)"}
_OF_PAGE = "li_did of source_url"


def _mapped(name: str, plan: StreamPlan, found: Collection[str]) -> str:
    """Return the expression or column for a field, and what fills it if that has no value.

    `found` are the columns that the SCHEMA or a record has.
    """
    sources = []
    if name in plan.origins:
        sources.append(_one_line(plan.origins[name].text))
    elif name in plan.properties:
        sources.append("the column of the same name")
    elif name == "consent" and (own := [x for x in plan.consent_columns if x in found]):
        sources.append(f"the column {own[0]}, as the map does not name consent")
    elif name in plan.undeclared and name in found:
        sources.append("the column of the same name, which the tap's SCHEMA does not have")
    if name == "decision_id" and "source_url" in plan.properties:
        sources.append(_OF_PAGE)
    return ", else ".join(sources) + (_NOTES.get(name, "") if sources else "")


def _default(column: str, explained: Explained, settings: Settings) -> str:
    """Return what fills a field that the map does not fill; empty if nothing does."""
    events, keys = settings.events, lasting_keys(explained.stream.keys)
    if explained.plan.keys is not None:
        keys = explained.plan.keys
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
    first = {one.reason: one for one in reversed(explained.rejections)}
    streams = {explained.plan.stream: counts}
    return Records(
        read=converted,
        sent=counts.delivered,
        filtered=counts.filtered,
        rejected=counts.rejected.total(),
        dropped=counts.dropped.total(),
        reasons=[
            Rejected(reason, count, what_to_do(reason, streams).words, _first(first[reason]))
            for reason, count in counts.not_sent.most_common()
        ],
        always_empty=counts.always_empty,
        left_out=LeftOut(
            dict(sorted(counts.noted(COLUMN_UNUSABLE).items())),
            dict(sorted(counts.noted(COLUMN_EMPTY).items())),
            counts.noted(HASH_CONFLICT).total(),
        ),
        currencies=currency_figures(counts.values),
        examples=[
            msgspec.Raw(_HASH.sub(r'"\1":"\2…"', one.body.decode()).encode())
            for one in explained.conversions[:_MAX_EXAMPLES]
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


def run_problems(plans: Sequence[Explained], settings: Settings) -> Iterator[str]:
    """Yield a sentence for each stream that ends a run, and for too many dead letters."""
    counts = RunCounts()
    for explained in plans:
        name = explained.plan.stream
        add(counts.of(name), explained.counts)
        if explained.is_refused:
            yield lacking_message(name, explained.missing)
        if settings.on_rejection == "fail" and explained.counts.rejected:
            reason = next(iter(explained.counts.rejected))
            yield f"a record of '{name}' is rejected as {reason}, and on_rejection is 'fail'"
    percent = settings.max_dead_letter_percent
    if problem := too_many_rejected(counts, percent, at_end=True):
        yield problem.words

"""The results of maps for streams and their records, and the output of `explain`, as values.

The command prints these values as text (explanation.txt), or as one JSON object.
docs/reference/json.md describes the fields of this object. If the meaning of a field changes,
increase `version` in `Explanation`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import msgspec

from target_liveintent.conversions.amounts import CurrencyFigures, currency_figures
from target_liveintent.conversions.builder import lasting_keys
from target_liveintent.conversions.event_model import Conversion, Rejection, fingerprint
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.explain.proposal_text import advise
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.map_checks import (
    AbsentStream,
    Hint,
    MapFinding,
    can_be_set,
    lacking_for_events,
    lacking_message,
    map_warnings,
    unused_zone,
)
from target_liveintent.mapping.presets import likely_preset
from target_liveintent.mapping.proposals import propose
from target_liveintent.mapping.stream_maps import (
    MELTANO_TEST_STREAM,
    Stream,
    StreamPlan,
)
from target_liveintent.privacy.addresses import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, HASH_CONFLICT, LOCAL_TIME
from target_liveintent.run.counts import RunCounts, StreamCounts, add
from target_liveintent.run.doubts import Doubt, stream_warnings, what_to_do
from target_liveintent.run.stopping import too_many_rejected
from target_liveintent.settings import EventDefaults

_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')

MAX_RECORDS = 10_000
"""The greatest number of records that `explain` reads. Reading them takes seconds."""


class Explained(msgspec.Struct):
    """The result of one map for a stream and its records.

    Attributes:
        stream: The stream in its last SCHEMA, or in the first SCHEMA that ends a run.
        plan: The plan for the same SCHEMA.
        missing: Findings that say what the stream lacks to produce events.
        gives_events: Whether records of the stream can become events, or the stream is Meltano's
            test stream.
        counts: The counts of a run with these records. Records without a converter count as
            `unmapped`.
        samples: The records as the tap sent them.
        rejections: The rejections of rejected and dropped records.
        fingerprints: The fingerprint of the first event for each pair of event ID and pixel ID. All
            maps of the stream share this dict, because a run sends only the first event.
        equal_ids: A finding if an earlier map of the stream gives its events the same IDs.
        preset: The preset that the settings name for the stream.
        code: The generated code that converts usual records; empty without such code.
    """

    stream: Stream
    plan: StreamPlan
    missing: list[MapFinding] = []
    gives_events: bool = False
    counts: StreamCounts = msgspec.field(default_factory=StreamCounts)
    samples: list[dict[str, Any]] = []
    conversions: list[Conversion] = []
    rejections: list[Rejection] = []
    fingerprints: dict[tuple[str, int], int] = {}
    equal_ids: MapFinding | None = None
    preset: str | None = None
    code: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether a run fails because the stream cannot produce events.

        A run fails only if the configuration names the stream, or has no maps.
        """
        is_test = self.stream.name == MELTANO_TEST_STREAM
        return bool(self.missing) and self.plan.named and not is_test

    def take_schema(self, stream: Stream, plan: StreamPlan, defaults: EventDefaults) -> bool:
        """Note a new SCHEMA and its plan, and return whether the next records can become events."""
        missing = lacking_for_events(plan, stream.schema, defaults) if plan.is_used else []
        if not self.is_refused:
            self.stream, self.plan, self.missing = stream, plan, missing
        gives_events = plan.is_used and not missing
        self.gives_events |= gives_events or stream.name == MELTANO_TEST_STREAM
        return gives_events

    def add(
        self,
        record: dict[str, Any],
        converter: RecordConverter | None,
        violation: str | None,
        now: float,
    ) -> None:
        """Convert a record as a run does, and note the result.

        Args:
            record: The record as the tap sent it.
            converter: The converter of the stream; None if the record cannot become an event.
            violation: How the record violates the tap's schema; None if the record is valid.
            now: The Unix time at which the age of the event is judged, in seconds.
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
        if isinstance(result, Conversion) and result.expires_at <= now:
            self._add_rejection(result.too_old())
        elif isinstance(result, Conversion):
            self._add_event(result)
        else:
            self._add_rejection(result)

    def _add_event(self, conversion: Conversion) -> None:
        event, content = conversion.event, fingerprint(conversion.event)
        key = event.event_id, event.pixel_id
        if key in self.fingerprints:
            if self.fingerprints[key] != content:
                self.counts.conflicting_ids += 1
            self._add_rejection(conversion.rejected("already_sent", None, None))
            return
        self.fingerprints[key] = content
        self.conversions.append(conversion)
        self.counts.count_delivered([event], [event.event_time])

    def _add_rejection(self, rejection: Rejection) -> None:
        self.rejections.append(rejection)
        if REASONS[rejection.reason].letter:
            self.counts.count_rejected(rejection)
        else:
            self.counts.dropped[rejection.reason] += 1


# The values of the output

SOURCE_WORDS = {
    "expression": "{}",
    "same_column": "the column of the same name",
    "consent_column": "the column {}, because the map does not name consent",
    "undeclared_column": "the column of the same name, which the tap's SCHEMA does not have",
    "source_url": "the parameter li_did of source_url",
    "key_properties": "derived from the stream's name and the key properties {}",
    "whole_record": "derived from the stream's name and the whole mapped record",
    "pixel_id_setting": "{} (setting pixel_id)",
    "default_source_setting": "'{}' (setting default_source)",
}


class FieldSource(msgspec.Struct, frozen=True):
    """The source of a column of an event. `code` is a key of `SOURCE_WORDS`.

    Attributes:
        code: The kind of the source.
        value: The expression, the name of the column, the key properties, or the value of the
            setting; None for other sources.
        timezone: The zone of times without an offset, if the records have such times.
    """

    code: str
    value: str | None = None
    timezone: str | None = None

    @property
    def words(self) -> str:
        """The source in words, as a part of a line."""
        words = SOURCE_WORDS[self.code].format(self.value)
        if self.timezone is None:
            return words
        return f"{words}  (times without a zone are in {self.timezone}: setting timezone)"


class Rejected(msgspec.Struct):
    """The records that are rejected or dropped for one reason, without addresses.

    Attributes:
        reason: The code of the reason.
        records: How many records have the reason.
        meaning: What happened, and what to do.
        first: The first record: its `event_id`, the column at fault (`field`) and the `detail`; if
            the record was not mapped, also its key properties (`keys`).
    """

    reason: str
    records: int
    meaning: str
    first: dict[str, Any]


class LeftOut(msgspec.Struct):
    """What of the records is not in their events.

    Attributes:
        unusable: For each column, in how many events its value could not be used.
        empty: For each column, in how many events it has no value.
        conflicting_hashes: In how many events a hash is not a hash of the address.
    """

    unusable: dict[str, int]
    empty: dict[str, int]
    conflicting_hashes: int


class Records(msgspec.Struct):
    """How many records of a stream have each outcome, and examples.

    Attributes:
        read: How many records were read.
        sent: How many records become events.
        filtered: How many records the filter leaves out.
        rejected: How many records become dead letters.
        dropped: How many records are dropped: not sent, and without a dead letter.
        reasons: The rejected and dropped records, by reason.
        always_empty: The columns that are empty in all events.
        left_out: What of the records is not in their events.
        currencies: The values of the events, by currency.
        examples: The first three events, with shortened hashes.
    """

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
    """What a run makes of the records of a stream, with one of the maps that name the stream.

    Attributes:
        stream: The tap's name for the stream.
        counted_as: The name of the stream in the counts of a run.
        preset: The preset that the settings name for the stream.
        use: `mapped`, `as_it_is` (without a map), `dropped` (by its map), or `skipped` (no map
            names the stream).
        deleted_by: The columns that mark deleted rows.
        only_if: The filter of the map.
        fields: The sources of each column of an event. The first source with a value counts.
        empty_fields: The columns of events that have no source.
        unused_columns: The columns of the tap that are not used.
        misspelled: Findings about probable mistakes in the map, such as wrong names.
        lacks: Findings about what the stream lacks to produce events.
        advice: What to map or set.
        records: What a run makes of the records; None if no record was read.
        warnings: Findings about the map, and doubts about the values of the records.
        code: With `--show-code`, the generated code that converts usual records; empty if there is
            no such code.
    """

    stream: str
    counted_as: str
    preset: str | None
    use: Literal["mapped", "as_it_is", "dropped", "skipped"]
    deleted_by: list[str] = msgspec.field(default_factory=list)
    only_if: str | None = None
    fields: dict[str, list[FieldSource]] = msgspec.field(default_factory=dict)
    empty_fields: list[str] = msgspec.field(default_factory=list)
    unused_columns: list[str] = msgspec.field(default_factory=list)
    misspelled: list[MapFinding] = msgspec.field(default_factory=list)
    lacks: list[MapFinding] = msgspec.field(default_factory=list)
    advice: str | None = None
    records: Records | None = None
    warnings: list[MapFinding | Doubt] = msgspec.field(default_factory=list)
    code: str | None = None


class Expectation(msgspec.Struct):
    """The comparison of the result with the file of `--expect`.

    Attributes:
        file: The path of the file.
        events: How many events the result has.
        rejections: How many rejections the result has.
        written: Whether the command has created the file.
        difference: The lines of a diff from the file to the result; empty if both are equal.
    """

    file: str
    events: int
    rejections: int
    written: bool = False
    difference: list[str] = msgspec.field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether the result is the same as in the file."""
        return not (self.written or self.difference)


class Explanation(msgspec.Struct):
    """The output of `explain`.

    Attributes:
        notes: Sentences about the settings or the whole input.
        streams: The result for each stream, and for each map with `__source__`.
        absent_streams: The streams that have a map, but are not in the input.
        failures: Why a run with the same input would fail.
        expectation: With `--expect`, the comparison with the file.
        version: The version of this format.
    """

    notes: list[str]
    streams: list[ExplainedStream]
    absent_streams: list[AbsentStream]
    failures: list[Failure]
    expectation: Expectation | None = None
    version: int = 1

    @property
    def is_good(self) -> bool:
        """Whether a run would succeed, and the result is as expected if there is an expectation."""
        return not self.failures and (self.expectation is None or self.expectation.met)


def describe(
    explained: Explained, events: EventDefaults, *, show_code: bool = False
) -> ExplainedStream:
    """Return what a run makes of the records of a stream, with one map.

    Args:
        explained: What `explain` has found about the stream and the map.
        events: The values that the settings supply.
        show_code: Whether the description includes the generated code.
    """
    stream, plan, counts = explained.stream, explained.plan, explained.counts
    described = ExplainedStream(stream.name, plan.stream, explained.preset, _use(plan))
    described.lacks = explained.missing
    described.advice = _advice(explained, events)
    if plan.is_used:
        _describe_fields(described, explained, events)
    if show_code:
        described.code = explained.code
    if counts.read > counts.unmapped:
        described.records = _records(explained)
        described.warnings = list(_warnings(explained, str(events.zone)))
    return described


def _warnings(explained: Explained, timezone: str) -> Iterator[MapFinding | Doubt]:
    counts = explained.counts
    if explained.equal_ids is not None:
        yield explained.equal_ids
    yield from stream_warnings(counts, least=1)  # (A few records are enough to check a map.)
    are_positions = _keys_are_positions(explained)
    if are_positions is not None:
        yield are_positions
    has_no_effect = bool(counts.delivered) and not counts.noted(LOCAL_TIME)
    unused = unused_zone(timezone, [explained.stream.name]) if has_no_effect else None
    if unused is not None:
        yield unused


def _keys_are_positions(explained: Explained) -> MapFinding | None:
    """Return a finding if the keys are only positions in a file, so event IDs ignore the keys."""
    stream, plan = explained.stream, explained.plan
    is_derived = "event_id" not in plan.properties and plan.keys is None
    if not is_derived or not stream.keys or lasting_keys(stream.keys):
        return None
    likely = propose(stream, explained.samples).expressions.get("event_id")
    return MapFinding(
        "keys_are_positions",
        plan.stream,
        "event_id",
        ", ".join(stream.keys),
        None if likely is None else Hint("likely_key", likely),
    )


def _use(plan: StreamPlan) -> Literal["mapped", "as_it_is", "dropped", "skipped"]:
    if plan.is_used:
        return "mapped" if plan.origins else "as_it_is"
    return "dropped" if plan.named else "skipped"


def _advice(explained: Explained, events: EventDefaults) -> str | None:
    stream, missing = explained.stream, explained.missing
    is_unnamed = explained.plan.is_used and not explained.plan.named
    may_have_preset = is_unnamed and likely_preset(stream.schema["properties"]) is not None
    if can_be_set(missing) and not may_have_preset:
        return None
    in_use = explained.preset is not None
    return advise(stream, missing, events, in_use=in_use, records=explained.samples)


def _describe_fields(
    described: ExplainedStream, explained: Explained, events: EventDefaults
) -> None:
    plan, schema = explained.plan, explained.stream.schema
    columns = schema["properties"]
    present = frozenset(columns).union(*explained.samples)  # Some taps do not declare all columns.
    described.deleted_by = [column for column in plan.deletion_columns if column in present]
    if FILTER in plan.origins:
        described.only_if = _one_line(plan.origins[FILTER].text)
    for field in FIELDS:
        sources = sources_of_field(field.name, explained, events, present)
        if sources:
            described.fields[field.name] = sources
        else:
            described.empty_fields.append(field.name)
    if plan.reads is not None:
        used = plan.reads.union(explained.stream.keys, described.deleted_by, plan.consent_columns)
        described.unused_columns = sorted(set(columns) - used)
    described.misspelled = list(map_warnings(plan, schema))


def sources_of_field(
    name: str, explained: Explained, events: EventDefaults, present: Collection[str]
) -> list[FieldSource]:
    """Return the sources of a field in the map, or else the key properties or a setting."""
    sources = _mapped(name, explained.plan, present) or _defaults(name, explained, events)
    if name == "event_time" and explained.counts.noted(LOCAL_TIME):
        zone = str(events.zone)
        return [msgspec.structs.replace(source, timezone=zone) for source in sources]
    return sources


def _mapped(name: str, plan: StreamPlan, present: Collection[str]) -> list[FieldSource]:
    """Return the sources of a field in the map. A later source counts if earlier ones are empty.

    `present` are the columns that the SCHEMA or a record has.
    """
    own_consent = [column for column in plan.consent_columns if column in present]
    sources = []
    if name in plan.origins:
        sources.append(FieldSource("expression", _one_line(plan.origins[name].text)))
    elif name in plan.properties:
        sources.append(FieldSource("same_column"))
    elif name == "consent" and own_consent:
        sources.append(FieldSource("consent_column", own_consent[0]))
    elif name in plan.undeclared and name in present:
        sources.append(FieldSource("undeclared_column"))
    if name == "decision_id" and "source_url" in plan.properties:
        sources.append(FieldSource("source_url"))
    return sources


def _defaults(column: str, explained: Explained, events: EventDefaults) -> list[FieldSource]:
    """Return the key properties or the setting that give a field its value without the map."""
    if column == "event_id":
        keys = explained.plan.keys
        if keys is None:
            keys = lasting_keys(explained.stream.keys)
        by_keys = FieldSource("key_properties", ", ".join(keys))
        return [by_keys if keys else FieldSource("whole_record")]
    if column == "pixel_id" and events.pixel_id:
        return [FieldSource("pixel_id_setting", str(events.pixel_id))]
    if column == "source" and events.source:
        return [FieldSource("default_source_setting", events.source)]
    return []


def _one_line(expression: str) -> str:
    return " ".join(expression.split())


def _records(explained: Explained) -> Records:
    counts = explained.counts
    first = {rejection.reason: rejection for rejection in reversed(explained.rejections)}
    streams = {explained.plan.stream: counts}
    return Records(
        read=counts.read - counts.unmapped,
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
            msgspec.Raw(_HASH.sub(r'"\1":"\2…"', conversion.body.decode()).encode())
            for conversion in explained.conversions[:_MAX_EXAMPLES]
        ],
    )


def _first(rejection: Rejection) -> dict[str, Any]:
    detail = rejection.detail and scrub(rejection.detail)
    has_letter = REASONS[rejection.reason].letter  # (A run stores nothing of other records.)
    return {
        "event_id": rejection.event_id,
        "field": rejection.field,
        "detail": detail,
        "keys": rejection.keys if has_letter else None,
    }


def run_failures(
    plans: Sequence[Explained], on_rejection: str, max_dead_letter_percent: int
) -> Iterator[Failure]:
    """Yield the failures with which a run over these streams would end."""
    counts = RunCounts()
    for explained in plans:
        name = explained.plan.stream
        add(counts.of(name), explained.counts)
        if explained.is_refused:
            text = lacking_message(name, explained.missing)
            yield Failure.of(FailureCode.STREAM_MAPPING, text=text)
        letters = (one for one in explained.rejections if REASONS[one.reason].letter)
        first = next(letters, None)
        if on_rejection == "fail" and first is not None:
            yield first.failure
    if failure := too_many_rejected(counts, max_dead_letter_percent, at_end=True):
        yield failure

"""What one map makes of a stream and its records, noted as the records are converted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import msgspec

from target_liveintent.conversions import (
    Conversion,
    EventBuilder,
    Rejection,
    watch_zone,
)
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping import (
    MAX_SAMPLES,
    MELTANO_TEST_STREAM,
    RecordConverter,
    Stream,
    StreamPlan,
    coalesce,
)
from target_liveintent.privacy import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.run import Amounts, StreamCounts, count_time
from target_liveintent.settings import EventDefaults

SENT, FILTERED = "sent", "filtered"
"""Outcomes of a record, beside the reason codes of rejections."""
NOT_MAPPED = ("mapping_failed", "deleted")
"""The reasons of records that have no mapped record."""


class Noted(msgspec.Struct):
    """What became of the records of a stream.

    Attributes:
        read: How many records came.
        outcomes: Counts records by outcome: `sent`, `filtered`, or a reason code.
        left_out: Counts, by column, how often a column could not be used.
        causes: As in `StreamCounts`.
        samples: The first records, for suggestions.
        mapped: The columns of the stream that say whose conversion it is.
        filled: The columns that have a value in at least one mapped record.
        events: The JSON of each event.
        amounts: The values of the events.
        rejections: All rejections, those of dropped records too.
        zone_uses: How many event times were read in the zone of the setting `timezone`.
        mistake: The error that would end a run.
    """

    read: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    causes: Counter[str] = msgspec.field(default_factory=Counter)
    samples: list[dict[str, Any]] = msgspec.field(default_factory=list)
    mapped: frozenset[str] = frozenset()
    filled: set[str] = msgspec.field(default_factory=set)
    events: list[bytes] = msgspec.field(default_factory=list)
    amounts: Amounts = msgspec.field(default_factory=Amounts)
    rejections: list[Rejection] = msgspec.field(default_factory=list)
    zone_uses: int = 0
    mistake: str | None = None

    def note_zone_use(self) -> None:
        """Count an event time that is read in the zone of the setting `timezone`."""
        self.zone_uses += 1


class Validator(Protocol):
    """Checks records against the schema of their stream."""

    def violation(self, record: dict[str, Any]) -> str | None:
        """Return how a record breaks the schema; None if it does not."""


class Explained(msgspec.Struct):
    """What one map makes of a stream and its records.

    Attributes:
        noted: What became of the records; a later SCHEMA does not change that.
        missing: What the stream lacks to give events.
        converter: None if the records cannot become events.
        validator: None if the settings do not ask for it.
    """

    stream: Stream
    plan: StreamPlan
    noted: Noted = msgspec.field(default_factory=Noted)
    missing: list[str] = msgspec.field(default_factory=list)
    converter: RecordConverter | None = None
    validator: Validator | None = None

    def builder(self, defaults: EventDefaults, suppressions: Suppressions) -> EventBuilder:
        """Return what builds the events of the stream, and notes what it reads."""
        noted, stream = self.noted, self.stream
        watched = watch_zone(defaults, noted.note_zone_use)
        properties = self.plan.properties
        builder = EventBuilder(stream.name, properties, stream.keys, watched, suppressions)
        builder.causes = noted.causes
        noted.mapped |= builder.identifying
        return builder

    @property
    def gives_events(self) -> bool:
        """Whether records of the stream can become events, or it is Meltano's test."""
        return self.converter is not None or self.stream.name == MELTANO_TEST_STREAM

    @property
    def is_refused(self) -> bool:
        """Whether a run ends because the user wants events of a stream that cannot give them."""
        return bool(self.missing) and self.plan.named and not self.gives_events

    @property
    def counts(self) -> StreamCounts:
        """The counts of a run over these records; what a map drops counts as `unmapped`."""
        noted = self.noted
        counts = StreamCounts(noted.read, delivered=noted.outcomes[SENT], amounts=noted.amounts)
        counts.left_out, counts.mapped, counts.causes = noted.left_out, noted.mapped, noted.causes
        counts.filtered = noted.outcomes[FILTERED]
        counts.unmapped = noted.read if self.converter is None else 0
        for reason, count in noted.outcomes.items():
            if reason not in REASONS:
                continue
            kind = counts.rejected if REASONS[reason].letter else counts.dropped
            kind[reason] = count
        return counts

    def event_time(self, record: dict[str, Any]) -> int | None:
        """Return the Unix time of a record's event, if it has one."""
        try:
            return self.converter.event_time(record) if self.converter else None
        except StreamMappingError:  # `add` tells of it.
            return None

    def would_send(self, record: dict[str, Any]) -> bool:
        """Return whether a record would become an event. Only before the first one is added."""
        try:
            return self.converter is not None and isinstance(
                self._convert(record, self.converter), Conversion
            )
        except StreamMappingError:  # `add` tells of it.
            return False
        finally:
            self.noted.left_out.clear()
            self.noted.causes.clear()

    def _convert(
        self, record: dict[str, Any], converter: RecordConverter, violation: str | None = None
    ) -> Conversion | Rejection | None:
        if violation is None and self.validator:
            violation = self.validator.violation(record)
        return converter.convert(record, violation)

    def add(self, record: dict[str, Any], violation: str | None = None) -> Conversion | None:
        """Convert a record as a run would, note its outcome, and return the event if it is one.

        Args:
            record: The record.
            violation: What is wrong with it as a whole, if that is known already.
        """
        noted = self.noted
        noted.read += 1
        if len(noted.samples) < MAX_SAMPLES:
            noted.samples.append(record)
        if self.converter is None or noted.mistake:
            return None
        try:
            result = self._convert(record, self.converter, violation)
            if not isinstance(result, Rejection) or result.reason not in NOT_MAPPED:
                self._note_filled(record)
        except StreamMappingError as mistake:
            noted.mistake = str(mistake)
            return None
        if isinstance(result, Conversion):
            noted.outcomes[SENT] += 1
            noted.events.append(result.body)
            noted.amounts.add([result])
            return result
        if isinstance(result, Rejection):
            noted.outcomes[result.reason] += 1
            noted.rejections.append(result)
            count_time(noted.causes, result)
        else:
            noted.outcomes[FILTERED] += 1
        return None

    def _note_filled(self, record: dict[str, Any]) -> None:
        """Map a record once more, to see which columns have a value."""
        mapped = self.plan.transform(record) if self.plan.transform else None
        for column, value in (mapped or {}).items():
            if coalesce(value) is not None:
                self.noted.filled.add(column)

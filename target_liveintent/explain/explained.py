"""Notes what one map makes of a stream and its records, while it converts them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from target_liveintent.conversions import Conversion, Rejection, missing_columns_message
from target_liveintent.mapping import MELTANO_TEST_STREAM, RecordConverter, Stream, StreamPlan
from target_liveintent.privacy import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.run import RunCounts, StreamCounts, add, too_many_rejected
from target_liveintent.settings import EventDefaults, Settings


class Explained(msgspec.Struct):
    """What one map makes of a stream and its records.

    Attributes:
        missing: What the stream lacks to give events.
        converter: None if the records cannot become events.
        validator: Has a method `violation`, as `RecordValidator`; None if the settings do not ask
            for it.
        counts: The figures that a run over these records would have; what a map drops counts as
            `unmapped`.
        samples: The records, for suggestions.
        ids: The ID of each event.
        events: The JSON of each event.
        rejections: All rejections, those of dropped records too.
    """

    stream: Stream
    plan: StreamPlan
    missing: list[str] = []
    converter: RecordConverter | None = None
    validator: Any = None
    counts: StreamCounts = msgspec.field(default_factory=StreamCounts)
    samples: list[dict[str, Any]] = []
    ids: list[str] = []
    events: list[bytes] = []
    rejections: list[Rejection] = []

    def convert_records(
        self,
        defaults: EventDefaults,
        suppressions: Suppressions,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Let records become events, judged as of the Unix time that `now` returns."""
        self.converter = self.counts.converter(self.stream, self.plan, defaults, suppressions, now)

    @property
    def gives_events(self) -> bool:
        """Whether records of the stream can become events, or it is Meltano's test."""
        return self.converter is not None or self.stream.name == MELTANO_TEST_STREAM

    @property
    def is_refused(self) -> bool:
        """Whether a run ends because the user wants events of a stream that cannot give them."""
        return bool(self.missing) and self.plan.named and not self.gives_events

    def event_time(self, record: dict[str, Any]) -> int | None:
        """Return the Unix time of a record's event, if it has one."""
        return self.converter.event_time(record) if self.converter else None

    def add(self, record: dict[str, Any], violation: str | None = None) -> None:
        """Convert a record as a run would, and note its outcome.

        A `violation` is what is wrong with the record as a whole, if that is known already.
        """
        counts = self.counts
        counts.read += 1
        self.samples.append(record)
        if self.converter is None:
            counts.unmapped += 1
            return
        if violation is None and self.validator:
            violation = self.validator.violation(record)
        result = self.converter.convert(record, violation)
        if isinstance(result, Conversion):
            self.ids.append(result.event.event_id)
            self.events.append(result.body)
            counts.deliver([result.event], [result.event.event_time])
        elif result is None:
            counts.filtered += 1
        else:
            self.rejections.append(result)
            if REASONS[result.reason].letter:
                counts.reject(result)
            else:
                counts.dropped[result.reason] += 1


def run_problems(plans: Sequence[Explained], settings: Settings) -> Iterator[str]:
    """Yield a sentence for each stream that ends a run, and for too many dead letters."""
    counts = RunCounts()
    for explained in plans:
        name = explained.plan.stream
        add(counts.of(name), explained.counts)
        if explained.is_refused:
            yield missing_columns_message(name, explained.missing)
        if settings.on_rejection == "fail":
            for reason in itertools.islice(explained.counts.rejected, 1):
                yield f"a record of '{name}' is rejected as {reason}, and on_rejection is 'fail'"
    percent = settings.max_dead_letter_percent
    if problem := too_many_rejected(counts, percent, at_end=True):
        yield problem

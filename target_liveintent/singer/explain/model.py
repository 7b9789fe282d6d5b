"""The model of `--explain`: what one map makes of a stream and its records."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from target_liveintent.conversions import Conversion, Rejection
from target_liveintent.errors import StreamMappingError
from target_liveintent.mapping import MappingFailedError, RecordConverter, StreamPlan, coalesce
from target_liveintent.singer.streams import Stream
from target_liveintent.singer.validation import RecordValidator

SENT, FILTERED = "sent", "filtered"
"""Outcomes of a record, beside the reason codes of rejections."""
_MAX_EXAMPLES = 3
_HASH = re.compile(r'"(md5|sha2)":"([0-9a-f]{6})[0-9a-f]+"')


class Explained(msgspec.Struct):
    """What one map makes of a stream and its records.

    Attributes:
        missing: What the stream lacks to give events.
        converter: None if the records cannot become events.
        validator: None if the settings do not ask for it.
        outcomes: Counts records by outcome: `sent`, `filtered`, or a reason code.
        left_out: Counts, by column, how often a column could not be used.
        filled: The columns that have a value in at least one mapped record.
        examples: The JSON of the first events, with shortened hashes.
        rejected: The first rejection for each reason.
        mistake: The error that would end a run.
    """

    stream: Stream
    plan: StreamPlan
    missing: list[str] = msgspec.field(default_factory=list)
    converter: RecordConverter | None = None
    validator: RecordValidator | None = None
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    left_out: dict[str, int] = msgspec.field(default_factory=dict)
    filled: set[str] = msgspec.field(default_factory=set)
    examples: list[str] = msgspec.field(default_factory=list)
    rejected: dict[str, Rejection] = msgspec.field(default_factory=dict)
    mistake: str | None = None

    def add(self, record: dict[str, Any]) -> None:
        """Convert a record as a run would, and note its outcome."""
        if self.converter is None or self.mistake:
            return
        violation = self.validator.violation(record) if self.validator else None
        try:
            result = self.converter.convert(record, violation)
            self._note_filled(record)
        except StreamMappingError as mistake:
            self.mistake = str(mistake)
            return
        if isinstance(result, Conversion):
            self.outcomes[SENT] += 1
            if len(self.examples) < _MAX_EXAMPLES:
                self.examples.append(_HASH.sub(r'"\1":"\2…"', result.body.decode()))
        elif isinstance(result, Rejection):
            self.outcomes[result.reason] += 1
            self.rejected.setdefault(result.reason, result)
        else:
            self.outcomes[FILTERED] += 1

    def _note_filled(self, record: dict[str, Any]) -> None:
        """Map a record once more, to see which columns have a value."""
        try:
            mapped = self.plan.transform(record) if self.plan.transform else None
        except MappingFailedError:
            return
        for column, value in (mapped or {}).items():
            if coalesce(value) is not None:
                self.filled.add(column)

"""What `explain` says about an input, as values: printed as text, or as one JSON object.

docs/reference/cli.md describes the fields. Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from target_liveintent.run import CurrencyFigures

VERSION = 1


class FirstRejected(msgspec.Struct):
    """The first record that is rejected for a reason.

    Attributes:
        field: The column at fault.
        detail: More about the reason, without addresses.
        keys: The values of the tap's key properties, where the columns are not known.
    """

    event_id: str
    field: str | None
    detail: str | None
    keys: dict[str, Any] | None


class Rejected(msgspec.Struct):
    """Records that are rejected, or dropped, for one reason."""

    reason: str
    records: int
    meaning: str
    first: FirstRejected


class Records(msgspec.Struct):
    """The records of a stream by what would become of them.

    Attributes:
        always_empty: The columns of the map that are empty in all records that it maps.
        left_out: How often a column could not be used, or was empty (`value empty`).
        currencies: The values of the events that would be sent.
        examples: The first events, with shortened hashes.
    """

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
        stream: The tap's name of it.
        counted_as: The name under which its records are counted.
        preset: The preset in use.
        use: `mapped`, `as it is` (without a map), `dropped` (by a map), or `skipped` (no map names
            it).
        deleted_by: The columns that mark a row which was deleted in the source, and is dropped.
        only_if: The filter of the map.
        fields: What fills each field that something fills.
        empty_fields: The other fields.
        unused_columns: Columns of the tap that no expression reads.
        misspelled: What the map names in vain, a sentence each.
        lacks: What the stream lacks to give events; empty if it can give them.
        advice: How to map the stream, or which settings to set.
        records: None if no record of it was read.
        warnings: What is wrong with the values of the records, a sentence each.
        ends_run: Why a run would end at one of its records.
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
    ends_run: str | None = None


class AbsentStream(msgspec.Struct):
    """A stream that a map names, and that is not in the input.

    Attributes:
        similar: A sentence with the stream of nearly that name; None if there is none.
    """

    stream: str
    similar: str | None


class Expectation(msgspec.Struct):
    """How what the input becomes compares with the file of `--expect`.

    Attributes:
        written: Whether the file did not exist, and is written now.
        difference: A unified diff from the file to what the input becomes; empty if they are equal.
    """

    file: str
    events: int
    rejections: int
    written: bool = False
    difference: list[str] = msgspec.field(default_factory=list)

    @property
    def words(self) -> str:
        """How many records become what."""
        return f"events: {self.events:,}, rejections: {self.rejections:,}"

    @property
    def met(self) -> bool:
        """Whether the input becomes what the file says."""
        return not (self.written or self.difference)


class Explanation(msgspec.Struct):
    """All that `explain` says.

    Attributes:
        notes: About the settings and the input as a whole.
        failures: Why a run over the same input would fail; empty if it would not.
        expectation: None without `--expect`.
    """

    notes: list[str]
    streams: list[ExplainedStream]
    absent_streams: list[AbsentStream]
    failures: list[str]
    expectation: Expectation | None = None
    version: int = VERSION

    @property
    def is_good(self) -> bool:
        """Whether a run would not fail, and the expectation, if there is one, is met."""
        return not self.failures and (self.expectation is None or self.expectation.met)

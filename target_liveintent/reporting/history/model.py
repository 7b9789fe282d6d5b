"""The figures of the history: what a run leaves in the store, and what a day has of its runs.

Increase `FORMAT` when the meaning of one changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Context, Decimal

import msgspec

from target_liveintent.reasons import REASONS

FORMAT = 1
USUAL, DRY_RUN, CANARY, REPLAY, BACKFILL = "usual", "dry_run", "canary", "replay", "backfill"
"""The kinds of runs; only runs of the kind `usual` say what is usual."""
_exact = Context(prec=1_000)
"""Digits of a sum: more than any amount that can be sent has."""


class ValueSum(msgspec.Struct, frozen=True, array_like=True):
    """The values of conversions in one currency: how many there are, and their exact sum."""

    events: int
    total: Decimal

    @property
    def average(self) -> Decimal:
        """The average value, not rounded."""
        return self.total / self.events

    def plus(self, other: ValueSum) -> ValueSum:
        """Return the sum of both."""
        return ValueSum(self.events + other.events, _exact.add(self.total, other.total))


class StreamFigures(msgspec.Struct, omit_defaults=True):
    """What came of the records of one stream, in one run or in several.

    Attributes:
        read: Records that came.
        delivered: Conversions that LiveIntent has by these runs.
        within_an_hour: How many of them were sent within an hour of their event time.
        within_a_day: The same for a day.
        having: How many of them have each of `tally.FIELDS`.
        not_sent: Records that became dead letters or were dropped, by reason.
        values: Their values by currency; the empty text stands for none.
    """

    read: int = 0
    delivered: int = 0
    within_an_hour: int = 0
    within_a_day: int = 0
    having: dict[str, int] = {}
    not_sent: dict[str, int] = {}
    values: dict[str, ValueSum] = {}

    @property
    def late(self) -> int:
        """How many conversions were sent more than an hour after their event time."""
        return self.delivered - self.within_an_hour

    @property
    def with_email_hash(self) -> int:
        """How many conversions have a hash of an e-mail address."""
        having = self.having
        return having.get("md5", 0) + having.get("sha2", 0) - having.get("both", 0)

    @property
    def with_decision_id(self) -> int:
        """How many conversions have a decision ID."""
        return self.having.get("decision_id", 0)

    @property
    def dead_letters(self) -> dict[str, int]:
        """The dead letters by reason."""
        return {reason: n for reason, n in self.not_sent.items() if is_dead_letter(reason)}


def is_dead_letter(reason: str) -> bool:
    """Return whether records become dead letters for a reason; other versions may have others."""
    return reason not in REASONS or REASONS[reason].letter


def sum_of(figures: Iterable[StreamFigures]) -> StreamFigures:
    """Return the sum of figures."""
    total = StreamFigures()
    having: dict[str, int] = {}
    not_sent: dict[str, int] = {}
    values: dict[str, ValueSum] = {}
    for one in figures:
        total.read += one.read
        total.delivered += one.delivered
        total.within_an_hour += one.within_an_hour
        total.within_a_day += one.within_a_day
        for sums, more in ((having, one.having), (not_sent, one.not_sent)):
            for name, count in more.items():
                sums[name] = sums.get(name, 0) + count
        for currency, value in one.values.items():
            known = values.get(currency)
            values[currency] = value if known is None else known.plus(value)
    total.having, total.not_sent, total.values = having, not_sent, values
    return total


class Unusual(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is unusual in the 24 hours before the end of a run.

    Attributes:
        rule: The name of the rule, such as `conversions`.
        stream: The stream.
        subject: The reason, column or currency; empty where the rule has none.
        since: When a run found it first; later runs that find it again keep this time.
        words: What is unusual, in a sentence without the stream.
        said: Whether the run that found it said it in the log: once a day for each rule.
    """

    rule: str
    stream: str
    subject: str
    since: dt.datetime
    words: str
    said: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is about: two that have the same key are the same fault."""
        return self.rule, self.stream, self.subject


class RunFigures(msgspec.Struct, omit_defaults=True):
    """The figures of a run.

    Attributes:
        run_id: The ID of the run.
        ended_at: When it ended, in UTC.
        kind: `USUAL` or another kind.
        ending: How it ended: `DONE`, `FAILED` or `STOPPED` of `run_report.model`.
        message: What the last line of its log says, None if it ended well.
        version: The program's name and version.
        settings: The digest of the settings that matter: the key of `DayFigures.settings`.
        streams: The figures by stream, of each stream whose SCHEMA came.
        unusual: What was unusual at its end.
    """

    run_id: str
    ended_at: dt.datetime
    kind: str
    ending: str
    message: str | None
    version: str
    settings: str
    streams: dict[str, StreamFigures]
    unusual: list[Unusual] = []

    @property
    def delivers(self) -> bool:
        """Whether its conversions are at LiveIntent: those of a dry run are not."""
        return self.kind != DRY_RUN


class RunEntry(msgspec.Struct):
    """What a run leaves: the JSON in the column `figures`.

    Attributes:
        format: `FORMAT`.
        day: The day on which the run ended, in the zone of the setting `timezone`.
        settings: The settings that matter, by name, without secrets or personal data.
        run: The figures.
        facts: The JSON of the report: `run_report.model.Facts`.
    """

    format: int
    day: dt.date
    settings: dict[str, str]
    run: RunFigures
    facts: msgspec.Raw


class DayFigures(msgspec.Struct):
    """One day of one account and pixel.

    Attributes:
        day: In the zone of the setting `timezone`.
        usual: The sum of the usual runs, by stream.
        others: The sum of the canaries, replays and backfills, by stream.
        kinds: How many runs there were of each kind.
        endings: How many runs ended in each way.
        versions: The versions of the program, in the order in which they came.
        settings: The settings that matter by their digest, in the order in which they came.
        unusual: What was unusual in this day, each fault once.
        entries: What its runs left, in the order in which they ended.
    """

    day: dt.date
    usual: dict[str, StreamFigures]
    others: dict[str, StreamFigures]
    kinds: dict[str, int]
    endings: dict[str, int]
    versions: list[str]
    settings: dict[str, dict[str, str]]
    unusual: list[Unusual]
    entries: list[RunEntry]

    @property
    def runs(self) -> list[RunFigures]:
        """The figures of the runs, in the order in which they ended."""
        return [one.run for one in self.entries]

    @property
    def delivered(self) -> int:
        """The conversions that LiveIntent has by the runs of this day, those of all kinds."""
        groups = (self.usual, self.others)
        return sum(one.delivered for group in groups for one in group.values())

    @property
    def has_usual_runs(self) -> bool:
        """Whether the day says what is usual."""
        return self.kinds.get(USUAL, 0) > 0


class History(msgspec.Struct):
    """What is known of one account and pixel.

    Attributes:
        days: The days on which runs ended, the oldest first; the last may be today, so far. At most
            91 of them are before today.
        entry: What the newest run left, of whatever kind; None on a first day.
    """

    days: list[DayFigures]
    entry: RunEntry | None = None

    @property
    def last(self) -> RunFigures | None:
        """The newest run, of whatever kind; None on a first day."""
        return self.days[-1].runs[-1] if self.days else None

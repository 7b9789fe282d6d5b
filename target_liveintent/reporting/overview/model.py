"""What the history says of an account and pixel as of now: the JSON of `report --format=json`.

docs/reference/cli.md describes the fields. Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec

from target_liveintent.reporting.history import Unusual

VERSION = 1
DAYS_SHOWN = 90
"""Days of the charts, today included."""
LEAST_DAYS = 14
"""Days of history from which on there is something usual, as in `history.rules`."""
Number = int | float | Decimal
AS_USUAL, LOW, HIGH = "as_usual", "low", "high"
FAILED, NO_RUN, UNUSUAL, MORE_LETTERS = "failed", "no_run", "unusual", "dead_letters"
"""The causes of bad health."""


class Usual(msgspec.Struct, frozen=True):
    """The range in which eight of ten comparable days are, and the middle of them."""

    low: float
    middle: float
    high: float


class Worse(msgspec.Struct, frozen=True):
    """Since which day a figure has been worse, its middle before, and its middle since then."""

    since: dt.date
    before: float
    after: float


class Point(msgspec.Struct, frozen=True):
    """A figure on a day: None where no run came, or where the day does not have it."""

    value: Number | None = None
    usual: Usual | None = None


class Compared(msgspec.Struct, frozen=True):
    """A figure of the last 24 hours against what is usual.

    Attributes:
        figure: A name of `figures.FIGURES`.
        subject: The currency; empty where a figure has none.
        now: Of the last 24 hours; None if they do not have it.
        usual: None before `LEAST_DAYS` days of history.
        verdict: `AS_USUAL`, `LOW` or `HIGH`; None without `now` or `usual`.
        worse: None if it is not worse than before.
        days: The figure of each day of `Overview.days`.
    """

    figure: str
    subject: str
    now: Number | None
    usual: Usual | None
    verdict: str | None
    worse: Worse | None
    days: list[Point]


class ComparedReason(msgspec.Struct, frozen=True):
    """Dead letters of one reason.

    Attributes:
        reason: A reason.
        now: How many there were in the last 24 hours.
        usual: None before `LEAST_DAYS` days of history.
        thirty_days: How many there were in the last 30 days, today included.
        last_day: The last day that had one.
        days: How many there were on each day of `Overview.days`; None where no run came.
    """

    reason: str
    now: int
    usual: Usual | None
    thirty_days: int
    last_day: dt.date
    days: list[int | None]


class ComparedStream(msgspec.Struct, frozen=True):
    """Conversions of a stream in the last 24 hours and on a usual day, and in the last 30 days."""

    stream: str
    now: int
    usual: Usual | None
    thirty_days: int


class Worth(msgspec.Struct, frozen=True):
    """Values in one currency, empty for none: how many conversions have one, and their sum."""

    currency: str
    events: int
    total: Decimal

    @property
    def average(self) -> Decimal:
        """The average value, not rounded."""
        return self.total / self.events


class Month(msgspec.Struct, frozen=True):
    """What LiveIntent got in a calendar month, by runs of all kinds but dry runs.

    Attributes:
        first_day: The first day of the month, or of the history.
        delivered: Conversions.
        special: How many of them came by canaries, replays and backfills.
        with_email_hash: How many have a hash of an e-mail address.
        with_decision_id: How many have a decision ID.
        values: Their values, the most frequent currency first.
    """

    first_day: dt.date
    delivered: int
    special: int
    with_email_hash: int
    with_decision_id: int
    values: list[Worth]


class Day(msgspec.Struct, frozen=True):
    """The runs of a day.

    Attributes:
        day: In the zone of the setting `timezone`.
        runs: Runs that count as usual; 0 is a gap.
        failed: How many of them failed.
        special: Conversions by canaries, replays and backfills.
    """

    day: dt.date
    runs: int
    failed: int
    special: int


class Change(msgspec.Struct, frozen=True):
    """A day on which the settings or the version changed, and what changed, in words."""

    day: dt.date
    words: list[str]


class LastRun(msgspec.Struct, frozen=True):
    """The newest run that is no dry run, canary or replay."""

    run_id: str
    ended_at: dt.datetime
    ending: str
    message: str | None
    version: str


class Cause(msgspec.Struct, frozen=True):
    """Why not all is well.

    Attributes:
        cause: One of the causes above.
        words: What is not well, for those who run the program.
        since: Since when; None if nobody knows.
        what_to_do: What they do about it; empty if `words` say it.
        plain: All of it for those who do not run it; empty if `words` are plain.
    """

    cause: str
    words: str
    since: dt.datetime | None
    what_to_do: str
    plain: str = ""


class Overview(msgspec.Struct):
    """What the history says of one account and pixel.

    Attributes:
        version: `VERSION`.
        account: The customer ID and the API host.
        pixel_id: The setting of this name.
        timezone: The zone of the days.
        as_of: When this was found out.
        first_day: The first day of the history, as far as it is read; None if it is empty.
        comparable_from: The day from which on there is something usual; None if it is empty.
        last_run: None if there is none.
        causes: What keeps `health` from exit code 0, the worst first.
        unusual: What was unusual at the end of the last run that judged it.
        advice: What would help most, first.
        figures: The figures of the last 24 hours and of each day.
        reasons: The dead letters by reason, the most frequent of 30 days first.
        streams: The conversions by stream, the most frequent of 30 days first.
        months: This month and the two before it, as far as there is history, the newest first.
        days: The last 90 days, or those since the first day; the last one is today.
        changes: Changes of the settings and of the version, the newest first.
    """

    version: int
    account: str
    pixel_id: int | None
    timezone: str
    as_of: dt.datetime
    first_day: dt.date | None
    comparable_from: dt.date | None
    last_run: LastRun | None
    causes: list[Cause]
    unusual: list[Unusual]
    advice: list[str]
    figures: list[Compared]
    reasons: list[ComparedReason]
    streams: list[ComparedStream]
    months: list[Month]
    days: list[Day]
    changes: list[Change]

    def figure(self, name: str) -> Compared:
        """Return the figure of a name that has no subject."""
        return next(one for one in self.figures if one.figure == name)

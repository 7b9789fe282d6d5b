"""The JSON of a run report: `Facts` and its parts, field by field, and how a run can end.

docs/run-report.md describes the fields. Increase `VERSION` when the meaning of one changes.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.run import CurrencyFigures

VERSION = 1
DONE, FAILED, STOPPED = "done", "failed", "stopped"
"""How a run can end."""


class Ending(msgspec.Struct, frozen=True):
    """How a run ended; the message is what the last line of the log says, None if it ended well."""

    kind: str
    message: str | None = None


class Outcomes(msgspec.Struct):
    """Records of one stream by outcome, or of all streams if `stream` is None.

    Attributes:
        currencies: The values of the delivered events.
    """

    stream: str | None
    read: int
    delivered: int
    rejected: int
    dropped: int
    filtered: int
    unmapped: int
    not_replayed: int
    unsettled: int
    left_out: dict[str, int]
    currencies: list[CurrencyFigures]

    @property
    def unused(self) -> int:
        """Records that are filtered, unmapped or not replayed."""
        return self.filtered + self.unmapped + self.not_replayed


class NotSent(msgspec.Struct):
    """Records that were not sent for one reason."""

    reason: str
    records: int
    dead_letter: bool
    what_to_do: str


class TimeStep(msgspec.Struct, frozen=True):
    """Records by outcome in one step of the run's time; see `Outcomes` for those unused."""

    delivered: int = 0
    rejected: int = 0
    dropped: int = 0
    unused: int = 0


class OverTime(msgspec.Struct):
    """Records by outcome over the time of the run."""

    seconds_a_step: int
    steps: list[TimeStep]


class Coverage(msgspec.Struct):
    """How many events of one stream and source have each of `tally.FIELDS`."""

    stream: str
    source: str
    events: int
    having: dict[str, int]


class AgeStep(msgspec.Struct):
    """Events that are older than the step before, and at most `up_to` seconds old."""

    up_to: float | None
    events: int


class Freshness(msgspec.Struct):
    """How old the events of one source were when they were sent."""

    source: str
    events: int
    within_an_hour: int
    within_a_day: int
    window_days: int
    oldest_seconds: float
    steps: list[AgeStep]


class DayValue(msgspec.Struct):
    """The value of one day's conversions in one currency.

    Attributes:
        currency: Three letters, empty without a currency, or `tally.OTHER_CURRENCIES`.
        day: In the zone of the setting `timezone`.
        events: Events that have a value.
        value: The exact sum; text in the JSON.
    """

    currency: str
    day: dt.date
    events: int
    value: Decimal


class LatencyStep(msgspec.Struct):
    """Requests that took longer than the step before, and at most `up_to` seconds."""

    up_to: float | None
    requests: int


class Requests(msgspec.Struct):
    """Requests and how many seconds they took; the shares are exact to the width of a step."""

    count: int
    retries: int
    throttled: int
    half_within: float
    most_within: float
    longest: float
    steps: list[LatencyStep]


class Facts(msgspec.Struct):
    """A run in numbers and in a few sentences."""

    version: int
    target: str
    run_id: str
    started_at: str
    ended_at: str
    seconds: float
    ending: str
    message: str | None
    dry_run: bool
    limit: int | None
    timezone: str
    conclusions: list[str]
    advice: list[str]
    total: Outcomes
    streams: list[Outcomes]
    not_sent: list[NotSent]
    over_time: OverTime
    coverage: list[Coverage]
    freshness: list[Freshness]
    value: list[DayValue]
    requests: Requests

    @property
    def missing(self) -> int:
        """Records that the user's maps select and that LiveIntent does not have."""
        total = self.total
        return total.rejected + total.dropped + total.unsettled - self.count_of("already_sent")

    @property
    def is_replay(self) -> bool:
        """Whether the run read dead letters, which are not mapped, and nothing else."""
        return [one.stream for one in self.streams] == [DEAD_LETTERS]

    def count_of(self, reason: str) -> int:
        """Return how many records were not sent for a reason."""
        return sum(one.records for one in self.not_sent if one.reason == reason)

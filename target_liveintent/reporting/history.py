"""The history: the figures that each run keeps in the store, grouped by days.

Increase `FORMAT` when the meaning of a field changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.event_model import DAY
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.run.counts import RunCounts, StreamCounts, add
from target_liveintent.run.kinds import CANARY_RUN, REPLAY_RUN, USUAL_RUN
from target_liveintent.settings import Account, EventDefaults, Settings, StoreSettings
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import newest_id, utc_moment
from target_liveintent.store.places import PlaceRow, places_in
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.runs import runs_in

FORMAT = 3
DAYS_READ = 91
"""How many days before today are read."""
DONE, FAILED, STOPPED = "done", "failed", "stopped"
"""How a run can end."""
USUAL, CANARY, REPLAY, BACKFILL = USUAL_RUN.name, CANARY_RUN.name, REPLAY_RUN.name, "backfill"
"""The kinds of runs. Only runs of the kind `usual` show what is usual."""
SCHEDULED = (USUAL, BACKFILL)
"""Kinds of runs that a schedule starts. A person starts the others."""
_KEPT_SETTINGS = (
    *("timezone", "default_source", "email_normalization", "source_url_parameters"),
    *("on_rejection", "validate_records", "partial_answer"),
)
"""Settings that can change the figures. Their values are kept."""
DIGESTED = ("presets", "stream_maps")
"""Settings that can change the figures. Only a digest of them is kept: they are the user's text."""
_DIGEST_CHARACTERS = 12


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a run ended.

    Attributes:
        failure: Why the run failed, even if a signal stopped it; None if it did not fail.
        signal: The name of the signal that stopped the run, or None.
    """

    failure: Failure | None = None
    signal: str | None = None

    @property
    def kind(self) -> str:
        """`DONE`, `FAILED` or `STOPPED`."""
        if self.signal is not None:
            return STOPPED
        return DONE if self.failure is None else FAILED

    @property
    def redacted(self) -> Ending:
        """The same ending without secrets and addresses, which texts from the input may contain."""
        if self.failure is None:
            return self
        facts = {
            name: without_secrets(fact) if isinstance(fact, str) else fact
            for name, fact in self.failure.facts.items()
        }
        hints = tuple(hint.redacted(without_secrets) for hint in self.failure.hints)
        return Ending(Failure(self.failure.code, facts, hints), self.signal)


class Range(msgspec.Struct, frozen=True):
    """What is usual for a number.

    Attributes:
        low: The lower end: eight of ten usual days are between `low` and `high`.
        middle: The median of the days.
        high: The upper end.
    """

    low: float
    middle: float
    high: float


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule finds unusual in the last 24 hours of a stream, as numbers.

    Attributes:
        subject: The reason, column or currency; empty if the rule has none.
        count: The number that is unusual: of conversions or records, or a sum of values.
        whole: If `count` is a part of all conversions or records, their number. For the rule about
            a slow decline, the number some weeks before.
        weeks: How many weeks before; only for the rule about a slow decline.
        average: The average value; only for the rule about average values.
        usual: What is usual for the number that the rule compares.
        main_reason: The most frequent reason of dead letters; `main_count` is how many have it.
    """

    subject: str = ""
    count: int = 0
    whole: int = 0
    weeks: int = 0
    average: Decimal | None = None
    usual: Range | None = None
    main_reason: str = ""
    main_count: int = 0


class Unusual(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is unusual in the 24 hours before the end of a run.

    Attributes:
        since: When a run found it first; later runs that find it again keep this time.
        is_new: Whether no earlier run of this day found something with this rule in this stream.
            If so, the log reports it.
    """

    rule: str
    stream: str
    finding: Finding
    since: dt.datetime
    is_new: bool = False


class RunRecord(msgspec.Struct, omit_defaults=True):
    """The record of a run: the JSON in the column `figures`.

    docs/reference/store-tables.md describes all fields. `day` is the day on which the run ended, in
    the zone of the setting `timezone`.
    """

    format: int
    run_id: str
    started_at: dt.datetime
    ended_at: dt.datetime
    day: dt.date
    kind: str
    ending: Ending
    version: str
    settings: dict[str, str] = {}
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    streams: dict[str, StreamCounts] = {}
    unusual: list[Unusual] = []

    @property
    def total(self) -> StreamCounts:
        """The figures of all streams."""
        return total_of([self])


def record_of(  # noqa: PLR0913 (an argument for each thing that it is made of)
    counts: RunCounts,
    settings: Settings,
    ending: Ending,
    store: RunStore,
    *,
    run_id: str,
    version: str,
    now: float,
) -> RunRecord:
    """Return the record of a run that ended at the Unix time `now`."""
    ended_at = dt.datetime.fromtimestamp(int(now), dt.timezone.utc)
    return RunRecord(
        format=FORMAT,
        run_id=run_id,
        started_at=ended_at - dt.timedelta(seconds=round(counts.seconds)),
        ended_at=ended_at,
        day=ended_at.astimezone(settings.events.zone).date(),
        kind=_kind(counts),
        ending=ending.redacted,
        version=version,
        settings=settings_that_matter(settings),
        requests=counts.requests,
        retries=counts.retries,
        throttled=counts.throttled,
        streams=_figures(counts, store.repeated_letters),
    )


def settings_that_matter(settings: Settings) -> dict[str, str]:
    """Return the settings whose change can change the figures, without secrets."""
    names = {name: str(getattr(settings, name)) for name in _KEPT_SETTINGS}
    names["suppression_path"] = "not set" if settings.suppression_path is None else "set"
    for name in DIGESTED:
        text = json.dumps(getattr(settings, name), sort_keys=True, default=str)
        names[name] = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return names


def _kind(counts: RunCounts) -> str:
    if counts.kind != USUAL_RUN:
        return counts.kind.name
    total = counts.total
    # In a backfill, most events are older than two days. (After a weekend, they are younger.)
    is_old = (total.delivered - total.timing.within_two_days) * 2 > total.delivered
    return BACKFILL if is_old else USUAL


def _figures(counts: RunCounts, repeated: Counter[str]) -> dict[str, StreamCounts]:
    """Return the figures by stream; `repeated` are dead letters that replaced an earlier one."""
    shown: dict[str, StreamCounts] = {}
    for stream, own_counts in counts.streams.items():
        add(shown.setdefault(without_secrets(stream), StreamCounts()), own_counts)
    for figures in shown.values():
        figures.causes.clear()  # They are the user's texts, or have their form.
        # The store counts these only by reason, so the first streams get them.
        figures.repeated = repeated & figures.rejected
        repeated = repeated - figures.repeated
    return shown


def total_of(runs: Iterable[RunRecord]) -> StreamCounts:
    """Return the sum of the figures of all streams of these runs."""
    return add(StreamCounts(), *(figures for run in runs for figures in run.streams.values()))


class Day(NamedTuple):
    """The runs of a day, in the order of their ends, and the sum of the usual ones by stream."""

    day: dt.date
    runs: list[RunRecord]
    usual_runs: list[RunRecord]
    usual: dict[str, StreamCounts]


class History(NamedTuple):
    """The days of one account and pixel on which runs ended, the oldest first.

    The last day may be today, which is not over. At most 91 days are before today.
    """

    days: list[Day]

    @property
    def runs(self) -> list[RunRecord]:
        """All runs, in order."""
        return [run for day in self.days for run in day.runs]

    @property
    def usual_runs(self) -> list[RunRecord]:
        """The runs from which usual figures are computed, in order."""
        return [run for day in self.days for run in day.usual_runs]


def history_of(runs: Iterable[RunRecord], today: dt.date) -> History:
    """Return the history that consists of these runs."""
    first = today - dt.timedelta(days=DAYS_READ)
    last = today + dt.timedelta(days=1)  # In another zone, this day may have begun.
    by_day: dict[dt.date, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: (run.ended_at, run.run_id)):
        if first <= run.day <= last:
            by_day.setdefault(run.day, []).append(run)
    return History([_day_of(day, runs_of_day) for day, runs_of_day in sorted(by_day.items())])


def _day_of(day: dt.date, runs: list[RunRecord]) -> Day:
    usual_runs = [run for run in runs if run.kind == USUAL]
    sums: dict[str, StreamCounts] = {}
    for run in usual_runs:
        for stream, figures in run.streams.items():
            add(sums.setdefault(stream, StreamCounts()), figures)
    return Day(day, runs, usual_runs, sums)


def read_history(
    database: Database, account: Account, events: EventDefaults, now: float
) -> History:
    """Read the history of the account and the pixel of `events` until the Unix time `now`.

    Raises:
        StorageError: If the store cannot be read.
    """
    begin = now - (DAYS_READ + 3) * DAY  # A run may begin on the day before that of its end.
    stored = runs_in(database, account, events.pixel_id, begin)
    records = (_record_in(row, events.zone) for row in stored)
    runs = [record for record in records if record is not None]
    return history_of(runs, dt.datetime.fromtimestamp(now, events.zone).date())


def recent_places(
    database: Database, settings: StoreSettings, now: float, days: int = DAYS_READ
) -> list[PlaceRow]:
    """Read where the events of the last `days` days are now, for the account and the pixel.

    Raises:
        StorageError: If the store cannot be read.
    """
    begin = now - (days + 1) * DAY  # The first day begins at midnight.
    return places_in(database, settings.account, settings.events.pixel_id, begin, now)


def example_of(database: Database, settings: StoreSettings, now: float, reason: str) -> str | None:
    """Read the event ID of the newest dead letter of two days with a reason; None without any.

    Raises:
        StorageError: If the store cannot be read.
    """
    pixel_id = settings.events.pixel_id
    return newest_id(database, settings.account, pixel_id, now - 2 * DAY, reason)


_decode = msgspec.json.Decoder(RunRecord, dec_hook=lambda _, value: Counter(value)).decode


def _record_in(stored: tuple[Any, ...], zone: dt.tzinfo) -> RunRecord | None:
    """Return the record of a run; None if another version wrote it.

    A run without figures was killed. Its day, in this zone, is when it was last seen.
    """
    run_id, kind, last_seen, figures = stored
    if figures is None:
        at = utc_moment(last_seen)
        killed = Ending(Failure(FailureCode.KILLED))
        return RunRecord(
            FORMAT, run_id, at, at, at.astimezone(zone).date(), kind, killed, version=""
        )
    try:
        record = _decode(figures)
    except msgspec.DecodeError:
        return None
    return record if record.format == FORMAT else None


def stored_text(run: RunRecord) -> str:
    """Return the JSON of a run for the store, without secrets."""
    return without_secrets(msgspec.json.encode(run).decode())

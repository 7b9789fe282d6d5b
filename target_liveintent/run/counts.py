"""Counts records by outcome, writes the summary, and says whether too many were rejected."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import DEAD_LETTERS, Rejection
from target_liveintent.mapping import unused_zone
from target_liveintent.reasons import AFTER_BUILDING, REASONS
from target_liveintent.run.amounts import Amounts, counted, currency_lines
from target_liveintent.run.doubts import all_filtered, count_time, left_out_columns, untimely
from target_liveintent.run.identification import Identification, what_to_do
from target_liveintent.run.losses import count_source, frequent, nothing_delivered, refused_last
from target_liveintent.settings import Settings

_LEAST_EVENTS_TO_WARN = 10
"""Delivered events from which on a column that is always empty is probably a mistake."""
_LEAST_RECORDS_TO_FAIL = 100
"""Records from which on the share of dead letters is judged at the end of a run."""
_LEAST_RECORDS_AT_STATE = 1_000
"""The same before a STATE is written: a few bad rows at the start say little about a run."""
_MOST_ACCOUNTS = 5
"""Other accounts that a warning names."""
_UNLIMITED = 100
"""The percentage that turns both rules about dead letters off."""
_LEAST_DROPPED_TO_WARN = 10
"""Records without consent from which on it is probably a mistake if a stream has no others."""


class ReservedByOther(NamedTuple):
    """What waits because another run has reserved it in the store.

    Attributes:
        events: How many events wait.
        run_id: The other run, or one of them.
        since: Since when, in monotonic seconds.
    """

    events: int
    run_id: str
    since: float


@dataclasses.dataclass
class StreamCounts:
    """The records of one stream by outcome; `read` is the sum of the others at a good end.

    Attributes:
        read: Records that came. A record that several maps use counts once for each.
        filtered: Records that the user's map filters.
        unmapped: Records of streams that no map names.
        delivered: Records whose events the API processed.
        not_replayed: Dead letters that were carried over, by reason.
        dropped: Records that are not to be sent, by reason: `deleted`, `no_consent`, `suppressed`,
            `already_sent`, `over_limit`, `expired`.
        rejected: Dead letters, by reason.
        sources: Values of the column `source` in records that were rejected for it; see `losses`.
        zone_uses: How many event times were read in the zone of the setting `timezone`.
        left_out: Events that lack a column, by column: `value` if it could not be used,
            `value empty` if it was empty.
        causes: Why columns were left out, and how times out of range are written; see `doubts`.
        amounts: The values of the delivered events, by currency.
        mapped: The columns of the stream that say whose conversion it is.
    """

    read: int = 0
    filtered: int = 0
    unmapped: int = 0
    delivered: int = 0
    not_replayed: Counter[str] = dataclasses.field(default_factory=Counter)
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    sources: Counter[str] = dataclasses.field(default_factory=Counter)
    zone_uses: int = 0
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)
    causes: Counter[str] = dataclasses.field(default_factory=Counter)
    amounts: Amounts = dataclasses.field(default_factory=Amounts)
    mapped: frozenset[str] = frozenset()

    @property
    def unsettled(self) -> int:
        """The number of records without an outcome: 0 after a run that ended well."""
        settled = self.filtered + self.unmapped + self.delivered
        others = (self.not_replayed, self.dropped, self.rejected)
        return self.read - settled - sum(counter.total() for counter in others)

    @property
    def events(self) -> int:
        """The number of records of which all columns were read."""
        others = self.rejected + self.dropped
        return self.delivered + self.unsettled + sum(others[reason] for reason in AFTER_BUILDING)

    def identification(self, stream: str) -> Identification:
        """Return what identified the events, under the stream's name."""
        return Identification(
            stream, self.events, self.rejected["no_identity"], self.mapped, self.left_out
        )

    @property
    def always_empty(self) -> list[str]:
        """The columns of the map that were empty in all events, if many were delivered."""
        if self.delivered < _LEAST_EVENTS_TO_WARN:
            return []
        return [
            name.removesuffix(" empty")
            for name, count in self.left_out.items()
            if name.endswith(" empty") and count >= self.events
        ]

    @property
    def taken(self) -> int:
        """The number of records that LiveIntent has, by this run or an earlier one."""
        return self.delivered + self.dropped["already_sent"]

    @property
    def allowed(self) -> int:
        """The number of records that may be sent by their consent, which is judged first of all."""
        unjudged = self.filtered + self.unmapped + self.rejected["mapping_failed"]
        return self.read - unjudged - self.dropped["deleted"] - self.dropped["no_consent"]

    @property
    def ignores_zone(self) -> bool:
        """Whether event times were read, and none of them in the zone of the settings."""
        return not self.zone_uses and bool(self.delivered or self.rejected["event_in_future"])

    def reject(self, rejection: Rejection) -> None:
        """Count a dead letter, and the source that cannot be used, if that is the reason."""
        self.rejected[rejection.reason] += 1
        count_time(self.causes, rejection)
        if rejection.reason == "invalid_source":
            count_source(self.sources, rejection.columns.get("source"))

    def doubts(self, least_filtered: int = 5) -> Iterator[str]:
        """Return what the records of the stream have in common that is probably a mistake.

        Args:
            least_filtered: The number of records from which on a filter that removes all of them
                is doubtful.
        """
        yield from left_out_columns(self.left_out, self.causes, self.events)
        if self.mapped:  # A stream that the map drops as a whole is filtered, too.
            yield from all_filtered(self.read, self.filtered, least_filtered)
        yield from untimely(self.read - self.filtered - self.unmapped, self.rejected, self.causes)

    def note_zone_use(self) -> None:
        """Count an event time that is read in the zone of the setting `timezone`."""
        self.zone_uses += 1

    def add(self, other: StreamCounts) -> None:
        """Add the counts of another stream."""
        for name, more in vars(other).items():
            count = getattr(self, name)
            if isinstance(more, frozenset):
                count |= more
            else:
                count += more
            setattr(self, name, count)


class RunCounts:
    """The counts of a run.

    Args:
        dry_run: Whether events are only shown.
        seconds: How long the run has taken already.
        clock: Measures how long it takes from now on.

    Attributes:
        streams: The counts of each stream, by the name under which it is counted.
        requests: The number of POSTs, retries included.
        retries: How many of them were sent again because of a fault.
        throttled: How many of them the API did not accept because they came too fast (429, 503).
        unproven: Dead letters of refused events that nothing was left to compare with.
        too_large: How many requests the API refused for their size.
        fitting_rows: Half of the events of the smallest of them.
        other_accounts: Dead letters that a replay leaves to other accounts or pixels, by their
            names in words.
        elsewhere: What waits for another run now; None if nothing does.
    """

    def __init__(
        self, *, dry_run: bool = False, seconds: float = 0.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.streams: dict[str, StreamCounts] = {}
        self.requests = 0
        self.retries = 0
        self.throttled = 0
        self.unproven = 0
        self.too_large = 0
        self.fitting_rows = 0
        self.other_accounts: Counter[str] = Counter()
        self.elsewhere: ReservedByOther | None = None
        self.dry_run = dry_run
        self._clock = clock
        self._started = clock.monotonic() - seconds

    def of(self, stream: str) -> StreamCounts:
        """Return the counts of one stream, which are made when first asked for."""
        counts = self.streams.get(stream)
        if counts is None:
            counts = self.streams[stream] = StreamCounts()
        return counts

    def add(self, other: RunCounts) -> None:
        """Add the counts of another run."""
        self.requests += other.requests
        self.retries += other.retries
        self.throttled += other.throttled
        self.unproven += other.unproven
        self.note_too_large(other.too_large, other.fitting_rows)
        self.other_accounts += other.other_accounts
        for stream, counts in other.streams.items():
            self.of(stream).add(counts)

    def note_too_large(self, requests: int, fitting_rows: int) -> None:
        """Count requests that were refused for their size, and half the events of the smallest."""
        if requests:
            self.too_large += requests
            self.fitting_rows = min(self.fitting_rows or fitting_rows, fitting_rows)

    @property
    def total(self) -> StreamCounts:
        """The counts of all streams."""
        total = StreamCounts()
        for counts in self.streams.values():
            total.add(counts)
        return total

    @property
    def is_replay(self) -> bool:
        """Whether the run read dead letters, which are not mapped, and nothing else."""
        return self.streams.keys() == {DEAD_LETTERS}

    def what_to_do(self, reason: str) -> str:
        """Return what a reason means and what to do about it, in a run of this kind."""
        found = [one.identification(name) for name, one in self.streams.items()]
        return what_to_do(reason, found, replay=self.is_replay)

    @property
    def seconds(self) -> float:
        """How many seconds the run has taken so far."""
        return self._clock.monotonic() - self._started

    @property
    def has_taken(self) -> bool:
        """Whether LiveIntent has any record that came in this run."""
        return any(counts.taken for counts in self.streams.values())

    def too_many_rejected(self, percent: int, *, at_end: bool) -> str | None:
        """Return why the run must fail if more than so many percent became dead letters.

        Records that were not to be sent, and reasons that any honest run has, do not count. At the
        end, ten records are too many if nothing was delivered.
        """
        least = _LEAST_RECORDS_TO_FAIL if at_end else _LEAST_RECORDS_AT_STATE
        total = self.total
        wanted = total.read - total.filtered - total.unmapped - total.not_replayed.total()
        wanted -= total.dropped.total() - total.dropped["already_sent"]
        bad = Counter({r: n for r, n in total.rejected.items() if REASONS[r].is_bad})
        if wanted < least or bad.total() * 100 <= wanted * percent:
            # A record in flight may still be delivered.
            is_over = at_end and percent != _UNLIMITED and not total.unsettled
            if not is_over or total.taken:
                return None
            return nothing_delivered(total.rejected, self.what_to_do)
        reason, most = bad.most_common(1)[0]
        return (
            f"{bad.total()} of {wanted} records became dead letters, which is more than"
            f" max_dead_letter_percent ({percent}) allows. The most frequent reason is {reason}"
            f" ({counted(most, 'record')}). {self.what_to_do(reason)} If you expect these dead"
            " letters, set max_dead_letter_percent to 100. Then a run continues despite dead"
            " letters."
        )

    def lines(self) -> Iterator[str]:
        """Return the summary: a line for each stream and currency, then the total."""
        for stream, counts in self.streams.items():
            yield f"{stream}: {self._words(counts)}"
            yield from (f"{stream}: {line}" for line in currency_lines(counts.amounts.figures))
        total = self.total
        yield (
            f"total: {self._words(total)}; {self.requests} requests, {self.retries} retries,"
            f" {self.throttled} throttled, {self.seconds:.1f} s"
        )

    def warnings(self, timezone: str = Settings.timezone) -> Iterator[str]:
        """Return what may be wrong with a run that ended well, given the setting `timezone`."""
        for stream, counts in self.streams.items():
            yield from _lost(stream, counts, dry_run=self.dry_run)
            wrong = [*counts.doubts(), *counts.amounts.warnings(counts.left_out)]
            wrong += counts.identification(stream).idle_columns()
            yield from (f"{stream}: {line}" for line in wrong)
        yield from self._unused_zone(timezone, by_all=True)
        if self.unproven:
            yield refused_last(self.unproven)
        if self.other_accounts:
            yield (
                f"this replay does not send {counted(self.other_accounts.total(), 'dead letter')}"
                f" of another account or pixel ({_accounts(self.other_accounts)}). To send them,"
                " replay them with the settings of their own account and pixel. To send them with"
                " the settings of this replay instead, use the option --other-accounts"
            )
        if self.too_large:
            yield (
                f"the API refused {counted(self.too_large, 'request')} as too large (HTTP 413),"
                " so the run sent their events in smaller requests. Set batch_size_rows to"
                f" {self.fitting_rows}, so that each batch fits into one request"
            )

    def _unused_zone(self, timezone: str, *, by_all: bool) -> Iterator[str]:
        """Say for which streams the setting does nothing, if that is all or not all of them."""
        # The run that wrote dead letters has said it of them.
        streams = {name: one for name, one in self.streams.items() if name != DEAD_LETTERS}
        if by_all != any(counts.zone_uses for counts in streams.values()):
            yield from unused_zone(
                timezone, [name for name, counts in streams.items() if counts.ignores_zone]
            )

    def advice(self, place: str | None, timezone: str = Settings.timezone) -> Iterator[str]:
        """Return what was not sent and what to do about it: a line for each reason.

        Args:
            place: Where dead letters are; None to say nothing of it.
            timezone: The setting.
        """
        # If some streams need the setting, others may not: that does not deserve a warning.
        yield from self._unused_zone(timezone, by_all=False)
        for stream, counts in self.streams.items():
            idle = counts.identification(stream).idle()
            for column in counts.always_empty:
                if column in idle:  # A warning says it.
                    continue
                yield (
                    f"{stream}: {column} is empty in all events. To see what is mapped to this"
                    " column, and which names are misspelled, run target-liveintent explain"
                )
        total = self.total
        for reason, count in (total.rejected + total.dropped).most_common():
            yield f"{reason} {count}: {self.what_to_do(reason)}"
        if self.dry_run or place is None:
            return
        if self.is_replay:
            if remaining := total.rejected + total.not_replayed:
                yield (
                    f"the dead letters that this replay did not send stay in {place}"
                    f"{_names(remaining)}. Before the next replay, do what the page 'Reasons' of"
                    " the documentation says about the reasons in the brackets above. Otherwise,"
                    " the next replay has the same result"
                )
        elif total.rejected:
            yield (
                f"dead letters are in {place}; to see what to do, and which dead letters a replay"
                " can send, run target-liveintent dead-letters (in Meltano: meltano invoke"
                " target-liveintent:dead-letters)"
                if any(REASONS[reason].replayed for reason in total.rejected)
                else f"dead letters are in {place}, but a replay cannot send any of them; the page"
                " 'Reasons' of the documentation explains why"
            )

    def _words(self, counts: StreamCounts) -> str:
        would = "would be " if self.dry_run else ""
        parts = [
            f"read {counts.read}",
            f"filtered {counts.filtered}",
            f"unmapped {counts.unmapped}",
            f"{would}delivered {counts.delivered}",
            _with_names(f"{would}dead-lettered", counts.rejected),
        ]
        if counts.dropped:
            parts.append(_with_names("dropped", counts.dropped))
        if counts.not_replayed:
            parts.append(_with_names("not replayed", counts.not_replayed))
        if counts.unsettled:
            parts.append(f"not settled {counts.unsettled}")
        words = ", ".join(parts)
        return f"{words}; left out{_names(counts.left_out)}" if counts.left_out else words


def _lost(stream: str, counts: StreamCounts, *, dry_run: bool) -> Iterator[str]:
    """Return how many records of a stream were lost, for each reason that is not usual."""
    lost = {reason: n for reason, n in counts.rejected.items() if REASONS[reason].is_bad}
    without_consent = counts.dropped["no_consent"]
    if without_consent >= _LEAST_DROPPED_TO_WARN and not counts.allowed:
        lost["no_consent"] = without_consent
    nothing = _nothing(counts, dry_run=dry_run)
    for reason, count in lost.items():
        values = frequent(counts.sources) if reason == "invalid_source" else ""
        yield (
            f"{stream}: {count:,} of {counted(counts.read, 'record')} not delivered because of"
            f" {reason}{values}{nothing}. The summary at the end of the log says what to do"
        )


def _nothing(counts: StreamCounts, *, dry_run: bool) -> str:
    if counts.taken or counts.unsettled:
        return ""
    return f". No event of this stream {'would be' if dry_run else 'was'} delivered"


def _with_names(outcome: str, counter: Counter[str]) -> str:
    return f"{outcome} {counter.total()}{_names(counter)}"


def _names(counter: Counter[str]) -> str:
    if not counter:
        return ""
    return " (" + ", ".join(f"{name} {count}" for name, count in counter.most_common()) + ")"


def _accounts(others: Counter[str]) -> str:
    shown = [f"{count} for {name}" for name, count in others.most_common(_MOST_ACCOUNTS)]
    if hidden := len(others) - len(shown):
        shown.append(f"and {counted(hidden, 'other')}")
    return "; ".join(shown)

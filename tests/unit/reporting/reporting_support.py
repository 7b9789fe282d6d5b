"""Made-up runs and histories, and what is read of them."""

from __future__ import annotations

import datetime as dt
import html
import html.parser
import io
import logging
import random
import re
import types
import zoneinfo
from collections import Counter
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from fakes import FakeClock
from unit_support import DAY, TIME, conversion, order
from unit_support import NOW as NOW_UNIX

from target_liveintent.config import settings_of
from target_liveintent.conversions.amounts import Amount
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.reasons import BEYOND_REPAIR, REASONS
from target_liveintent.reporting.history import (
    FORMAT,
    USUAL,
    Day,
    Ending,
    RunRecord,
    Unusual,
    history_of,
    record_of,
)
from target_liveintent.reporting.overview import overview_of
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.rules import is_about_letters, unusual_in
from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS, Timing
from target_liveintent.run.kinds import RunKind, kind_of_run
from target_liveintent.store.ledger import NOT_ARRIVED
from target_liveintent.store.places import (
    ARRIVED,
    LEFT_OUT,
    LOST,
    QUARTER_SECONDS,
    REPLAYABLE,
    PlaceRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from target_liveintent.reporting.history import History
    from target_liveintent.reporting.overview import Overview

UTC = dt.timezone.utc
ZONE = zoneinfo.ZoneInfo("America/New_York")
API_URL = "https://api.example.com"
ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up-token"}
SETTINGS = settings_of({**ACCOUNT, "pixel_id": 4711, "timezone": str(ZONE), "api_url": API_URL})
TODAY = dt.date(2026, 5, 20)
"""A Wednesday."""
NOW = dt.datetime(2026, 5, 20, 17, 30, tzinfo=ZONE)
NAMES = {"timezone": "America/New_York", "presets": "0123456789ab"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>`</code>`&amp;{}%s"
"""A name that must be text on every page."""
FULL = {
    "ip": "192.0.2.1",
    "user_agent": "Mozilla/5.0",
    "decision_id": "6d92078a-8246-4ba4-ae5b-76104861e7dc",
    "order_id": "7",
    "value": "12.50",
    "currency": "EUR",
    "event_time": TIME,
}
"""The columns of an event that lacks nothing."""


# How runs end


def failed(code: FailureCode, **facts: Any) -> Ending:
    """Return how a run ends that fails with a code."""
    given = {"detail": "HTTP 401", "customer_id": "a-1b2c", "api_url": API_URL}
    return Ending(Failure.of(code, **{**given, **facts}))


DENIED = failed(FailureCode.ACCESS_DENIED)
DOWN = failed(FailureCode.OUTAGE, detail="HTTP 500", max_retry_seconds=900)
DISK_FULL = Ending(Failure.of(FailureCode.STORAGE, text="the disk is full"))
STOPPED_BY_SIGNAL = Ending(signal="SIGTERM")


# Figures of streams


def amount(conversions: int, total: float | str) -> Amount:
    """Return the values of conversions."""
    value = Decimal(str(total))
    return Amount(conversions, value, value, value)


def figures(delivered: int = 100, **others: Any) -> StreamCounts:
    """Return the figures of a stream; `having` is how many web events have which fields.

    `not_sent` are records by reason.
    """
    having = others.pop("having", {})
    counts = StreamCounts(delivered + sum(others.get("not_sent", {}).values()), delivered=delivered)
    counts.coverage["web"] = {"events": delivered, **having}
    for reason, count in others.pop("not_sent", {}).items():
        is_letter = reason not in REASONS or REASONS[reason].letter
        (counts.rejected if is_letter else counts.dropped)[reason] = count
    timing = {name: others.pop(name) for name in Timing.__struct_fields__ if name in others}
    counts.timing = Timing(**timing)
    for name, value in others.items():
        setattr(counts, name, value)
    return counts


def shop(delivered: int = 100, *, hashes: int | None = None, late: int = 5, **others: Any) -> Any:
    """Return the figures of a stream whose conversions lack nothing but perhaps hashes."""
    hashes = delivered if hashes is None else hashes
    having = dict.fromkeys(COVERAGE_FIELDS, delivered) | {
        "md5": hashes,
        "sha2": hashes,
        "both": hashes,
    }
    values = {"EUR": amount(delivered, 50 * delivered)} if delivered else {}
    fresh = max(0, delivered - late)
    return figures(
        delivered, **{"having": having, "values": values, "within_an_hour": fresh, **others}
    )


# Runs and days


def at(back: int, hour: int = 12, minute: int = 5) -> dt.datetime:
    """Return a moment of a day before today, in the zone."""
    day = TODAY - dt.timedelta(days=back)
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)


def run(ended_at: dt.datetime, kind: str = USUAL, **changes: Any) -> RunRecord:
    """Return what a run leaves; `changes` are of its record."""
    fields = {
        "format": FORMAT,
        "run_id": f"{ended_at:%Y%m%d-%H%M%S}-{kind}",
        "started_at": (ended_at - dt.timedelta(seconds=90)).astimezone(UTC),
        "ended_at": ended_at.astimezone(UTC),
        "day": ended_at.date(),
        "kind": kind,
        "ending": Ending(),
        "version": "target-liveintent 1",
        "settings": NAMES,
        "streams": {"orders": shop()},
    }
    return RunRecord(**{**fields, **changes})


def daily(days: int, first: int = 0, **changes: Any) -> list[RunRecord]:
    """Return a run at noon of each day, from `days` before today to `first` before today."""
    return [run(at(back), **changes) for back in range(days, first - 1, -1)]


MONDAY = dt.date(2026, 3, 2)
"""Today, in the tests of single rules; its runs are those of a day in UTC."""


def on(day: dt.date, hour: int = 12, minute: int = 0) -> dt.datetime:
    """Return a moment of a day in UTC."""
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def days_before(count: int) -> dt.date:
    """Return the day so many days before the Monday."""
    return MONDAY - dt.timedelta(days=count)


def named(
    name: str, ended_at: dt.datetime, kind: str = USUAL, **streams: StreamCounts
) -> RunRecord:
    """Return what a run of a name and with some streams leaves."""
    return run(ended_at, kind, run_id=name, streams=streams)


def usual_days(count: int, usual: StreamCounts | None = None) -> list[Day]:
    """Return days before the Monday that have a run each."""
    dates = [days_before(back) for back in range(count, 0, -1)]
    orders = usual or figures()
    return [day(one, named(f"{one}", on(one), orders=orders)) for one in dates]


def day(of: dt.date, *runs: RunRecord) -> Day:
    """Return a day with runs."""
    (made,) = history_of(runs, of).days
    return made


def history(runs: Iterable[RunRecord]) -> History:
    """Return the history that runs are, of today and the 91 days before."""
    return history_of(runs, TODAY)


# Where events are


def row(
    read_at: dt.datetime,
    place: str = ARRIVED,
    events: int = 1,
    value: float | str | Decimal = 0,
    currency: str = "EUR",
    **others: Any,
) -> PlaceRow:
    """Return events that were first read at a moment; `days` is how many days they wait."""
    began = int(read_at.timestamp()) // QUARTER_SECONDS * QUARTER_SECONDS
    days = others.pop("days", None)
    until = None if days is None else int(read_at.timestamp() + days * DAY)
    reason = others.pop("reason", "")
    is_kept = others.pop("is_kept", place in NOT_ARRIVED)
    assert not others
    return PlaceRow(began, place, reason, currency, events, Decimal(str(value)), until, is_kept)


def rows_of(runs: Iterable[RunRecord]) -> list[PlaceRow]:
    """Return where the events of runs are if nothing happened to them after their run.

    The store has the dead letters of what is made up to be unusual, if the figures have none.
    """
    return [one for run in runs for one in _rows_of_run(run) if one.events]


def _rows_of_run(run: RunRecord) -> Iterator[PlaceRow]:
    for counts in run.streams.values():
        yield from _rows_of_stream(run.ended_at, counts)
    if not run.total.letters:
        yield from (_letters_of(run, item) for item in run.unusual if is_about_letters(item))


def _letters_of(run: RunRecord, item: Unusual) -> PlaceRow:
    """Return the dead letters that a finding is about."""
    finding = item.finding
    reason = finding.main_reason or finding.subject or "invalid_source"
    place, days = (LOST, None) if reason in BEYOND_REPAIR else (REPLAYABLE, 7)
    return row(run.ended_at, place, finding.count, reason=reason, days=days)


def _rows_of_stream(read_at: dt.datetime, counts: StreamCounts) -> Iterator[PlaceRow]:
    with_value = 0
    for currency, figure in counts.values.items():
        with_value += figure.conversions
        yield row(read_at, ARRIVED, figure.conversions, figure.total, currency)
    yield row(read_at, ARRIVED, counts.delivered - with_value, currency="")
    for reason, count in counts.letters.items():
        if reason in BEYOND_REPAIR:
            yield row(read_at, LOST, count, 50 * count, reason=reason)
        else:
            yield row(read_at, REPLAYABLE, count, 50 * count, reason=reason, days=7)
    for reason in ("deleted", "no_consent", "suppressed"):
        yield row(read_at, LEFT_OUT, counts.dropped[reason], currency="", reason=reason)


def overview(
    runs: Iterable[RunRecord],
    now: dt.datetime = NOW,
    max_age: dt.timedelta | None = None,
    rows: Iterable[PlaceRow] | None = None,
) -> Overview:
    """Return the overview of a history of runs, whose events are where the runs left them."""
    runs, now = [*runs], now.astimezone(ZONE)
    rows = rows_of(runs) if rows is None else rows
    return overview_of(
        history(runs), [seen_at(one, now) for one in rows], SETTINGS.storage, now, max_age
    )


def seen_at(one: PlaceRow, now: dt.datetime) -> PlaceRow:
    """Return where events are at a moment: they are lost when their windows have closed."""
    is_over = one.until is not None and one.until <= now.timestamp()
    return one._replace(place=LOST, until=None) if is_over else one


def unusual_after(history: History, last: RunRecord, rows: Iterable[PlaceRow] | None = None) -> Any:
    """Return what is unusual at the end of a run, whose dead letters are in the store.

    Other rows say what the store has instead.
    """
    if rows is not None:
        return unusual_in(history, last, UTC, [*rows])
    recent = [run for day in history.days[-3:] for run in day.runs]
    return unusual_in(history, last, UTC, rows_of([*recent, last]))


def causes_in(shown: Overview) -> list[Any]:
    """Return what is wrong, the worst first."""
    return [problem.cause for problem in shown.causes]


_KINDS = (*[USUAL] * 12, "replay", "canary", "backfill")


def random_runs(seed: int = 1, days: int = 110, size: int = 300) -> list[RunRecord]:
    """Return runs of all kinds and streams, by chance, with gaps, changes, and repeated rows."""
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    runs = []
    for back in sorted({*range(days + 1)} - {40, 41, 42}, reverse=True):
        hours = (3, 9, 16, 23) if back else (3, 9, 16)  # (Today, not later than `NOW`.)
        for hour in hours:
            version = f"target-liveintent {1 if back > 25 else 2}"
            streams = _random_streams(chance, size)
            kind, moment = chance.choice(_KINDS), at(back, hour, chance.randrange(60))
            runs.append(run(moment, kind, streams=streams, version=version))
    return runs


def _random_streams(chance: random.Random, size: int) -> dict[str, StreamCounts]:
    sizes = (("orders", size), ("visits", size // 8 + 2))
    streams = {name: _random_figures(chance, most) for name, most in sizes}
    for counts in streams.values():
        repeated = {reason: chance.randrange(n + 1) for reason, n in counts.rejected.items()}
        counts.repeated = Counter(repeated)
    return streams


def _random_figures(chance: random.Random, size: int) -> StreamCounts:
    delivered = chance.randrange(size // 2, size)
    md5, sha2 = chance.randrange(delivered + 1), chance.randrange(delivered + 1)
    having = {name: chance.randrange(delivered + 1) for name in COVERAGE_FIELDS}
    both = chance.randrange(min(md5, sha2) + 1)
    having |= {"md5": md5, "sha2": sha2, "both": max(both, md5 + sha2 - delivered)}
    euros = chance.randrange(delivered + 1)
    values = {
        "EUR": amount(euros, f"{chance.randrange(-(10**6), 10**7)}e-2"),
        "JPY": amount(delivered - euros, chance.randrange(10**7)),
    }
    reasons = ("no_identity", "invalid_source", "event_too_old", "already_sent")
    counts: StreamCounts = shop(
        delivered,
        late=chance.randrange(delivered + 1),
        having=having,
        not_sent={name: chance.randrange(9) for name in reasons},
        values={name: one for name, one in values.items() if one.conversions},
    )
    return counts


# A run that counts


class MadeUpRun:
    """The counts of a run, without a run."""

    def __init__(
        self, *, kind: RunKind | None = None, dry_run: bool = False, **settings: Any
    ) -> None:
        self.settings = settings_of({**ACCOUNT, "dry_run": dry_run, **settings})
        self.clock = FakeClock()
        kind = kind or kind_of_run(self.settings.limit)
        self.counts = RunCounts(kind=kind, dry_run=dry_run, clock=self.clock)

    def deliver(
        self, count: int = 1, stream: str = "orders", at: float = TIME + 60, **record: Any
    ) -> MadeUpRun:
        events = [conversion(order(**{**FULL, **record}), now=at).event]
        counts = self.counts.of(stream)
        counts.read += count
        counts.count_delivered(events * count, [at] * count)
        return self

    def reject(self, stream: str = "orders", **reasons: int) -> MadeUpRun:
        counts = self.counts.of(stream)
        for reason, count in reasons.items():
            (counts.rejected if REASONS[reason].letter else counts.dropped)[reason] += count
            counts.read += count
        return self

    def record(self, ending: Ending = Ending(), **repeated: int) -> RunRecord:  # noqa: B008
        store: Any = types.SimpleNamespace(repeated_letters=Counter(repeated))
        names = {"run_id": "run-1", "version": "target-liveintent 0"}
        return record_of(self.counts, self.settings, ending, store, **names, now=NOW_UNIX)


def reporter(
    clock: FakeClock | None = None,
    stream: IO[str] | None = None,
    run_id: str = "run-1",
    **settings: Any,
) -> RunReporter:
    """Return the reporter of a run with these settings."""
    return RunReporter(
        settings_of({**ACCOUNT, **settings}),
        "target-liveintent 0",
        logging.getLogger("test"),
        stream or io.StringIO(),
        clock=clock or FakeClock(),
        run_id=run_id,
    )


# How pages are read


class PageReader(html.parser.HTMLParser):
    """Checks that what is opened is closed, and collects tags and text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(text: str) -> PageReader:
    """See that a page is whole, needs no network and runs nothing; its own policy stops both."""
    reader = PageReader(text)
    tags = {tag for tag, _ in reader.tags}
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & tags
    for _, attributes in reader.tags:
        assert not {"src", "srcset", "style"} & set(attributes)
        assert (attributes.get("href") or "#").startswith(("#", "data:text/csv;"))
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert {*re.findall(r"https?://[^\"'\s<,)]+", text)} <= {API_URL}  # As text, in a message.
    assert "default-src 'none'" in text
    for words in ("prefers-color-scheme: dark", "max-width: 44rem", "@media print", "viewport"):
        assert words in text
    return reader


def readable(page: str) -> str:
    """Return the text of a page, a line for each of its parts; a chart is what it says."""
    page = re.sub("<style>.*?</style>", "", page, flags=re.DOTALL)
    page = re.sub(r'<svg[^>]*aria-label="([^"]*)".*?</svg>', r"<p>[\1]", page, flags=re.DOTALL)
    page = re.sub("</t[dh]>", " | ", page)
    page = re.sub(r"\s+", " ", page)
    page = re.sub("(?=<(p|h[1-6]|li|tr|section|figcaption|footer|title)\\b)", "\n", page)
    lines = (re.sub("<[^>]*>", "", line).strip() for line in page.splitlines())
    return html.unescape("\n".join(filter(None, lines)))

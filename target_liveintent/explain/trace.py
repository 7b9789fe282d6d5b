"""What `trace` says of the events that an ID may mean: one of eight outcomes, and the details.

The command prints these values as text (trace.txt) or as JSON: see docs/reference/json.md.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from target_liveintent.conversions.event_model import DAY, WINDOWS
from target_liveintent.explain.record_walk import RecordNow
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.redaction import redact_value
from target_liveintent.reasons import BEYOND_REPAIR, MAY_HAVE_COUNTED, REASONS
from target_liveintent.run.replay_converter import ReplayConverter, prospect_of
from target_liveintent.store.dead_letters import stored_id, stored_stream, utc
from target_liveintent.store.search import (
    ArrivedEvent,
    EventName,
    EventWithoutOutcome,
    FoundEvent,
    LetterFound,
    ReservedEvent,
    SoughtId,
    StoreScope,
)
from target_liveintent.store.unwritten import KEPT_SECONDS

_LONGEST_VALUE = 300
"""How many characters of a dead letter's value are shown."""


class TraceOutcome(enum.Enum):
    """What happened to an event, as far as the store and the input show it."""

    ARRIVED = "arrived"
    DEAD_LETTER = "dead_letter"
    ON_ITS_WAY = "on_its_way"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"
    LEFT_OUT = "left_out"
    NEVER_SEEN = "never_seen"
    UNKNOWN = "unknown"


WITHOUT_ANSWER = frozenset({TraceOutcome.NEVER_SEEN, TraceOutcome.UNKNOWN})
"""The outcomes of IDs for which the command ends with exit code 1."""


class Delivery(msgspec.Struct, frozen=True):
    """What the store keeps of a delivered event.

    Attributes:
        sent_at: When the event was sent, in UTC.
        event_time: The event time, in UTC.
        source: The source.
        order_id: The order ID.
        value: The exact value.
        currency: The currency.
        md5: The MD5 hash of the address.
        sha2: The SHA-256 hash of the address.
    """

    sent_at: str
    event_time: str
    source: str
    order_id: str | None
    value: str | None
    currency: str | None
    md5: str | None
    sha2: str | None


class LetterDetails(msgspec.Struct, frozen=True):
    """What a dead letter says: which column is at fault, and what a replay would do.

    Attributes:
        field: The column at fault.
        odd_value: The value of this column, if the dead letter has it.
        detail: Facts about the reason.
        replay: What a replay does with the dead letter: a name in `replay` of `dead-letters`.
    """

    field: str | None
    odd_value: Any
    detail: str | None
    replay: str


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an event that an ID may mean.

    Attributes:
        id: The ID as the user wrote it, with hashes in place of addresses.
        outcome: `arrived`, `dead_letter`, `on_its_way`, `interrupted`, `expired`, `left_out`,
            `never_seen` or `unknown`.
        words: The answer in a sentence.
        stream: The tap's name for the stream; None if nothing was found.
        event_id: The event ID; None if nothing was found.
        run: The ID of the run that sent the event, has reserved it, or wrote its dead letter; None
            if the history lacks the run.
        pixel_id: The pixel ID; None if it is not known.
        reason: Why the event is a dead letter, or why the record is left out.
        until: When the API stops to accept the event.
        to_do: What to do.
        command: The command that sends the dead letter, or shows it if a replay cannot send it.
        letter: What the dead letter says.
        delivered: With `keep_delivered`, what the store keeps of the delivered event.
        now: With `--input`, what a run would do with the record now.
    """

    id: str = ""
    outcome: TraceOutcome
    words: str = ""
    stream: str | None = None
    event_id: str | None = None
    run: str | None = None
    pixel_id: int | None = None
    reason: str | None = None
    until: str | None = None
    to_do: str | None = None
    command: str | None = None
    letter: LetterDetails | None = None
    delivered: Delivery | None = None
    now: RecordNow | None = None


class WalkedRecord(NamedTuple):
    """A record of the input with a sought ID: what identifies its event, and its way."""

    stream: str
    event_id: str | None  # None if only a mapped record would show it.
    pixel_id: int | None  # None if it is not known.
    now: RecordNow


class TraceFacts(NamedTuple):
    """What all answers depend on.

    Attributes:
        scope: Which streams and pixels the store knows, and how far back it reaches.
        keeps_delivered: The setting `keep_delivered`.
        has_input: Whether there is an input.
        replay: Says what a replay with these settings would do with a dead letter.
        now: The Unix time.
    """

    scope: StoreScope
    keeps_delivered: bool
    has_input: bool
    replay: ReplayConverter
    now: float


def traced(
    sought: SoughtId, found: Iterable[FoundEvent], walked: Sequence[WalkedRecord], facts: TraceFacts
) -> list[Traced]:
    """Return the answers about an ID, one for each event that it may mean, at least one.

    Args:
        sought: The ID.
        found: What the store knows about it.
        walked: The records of the input that have it.
        facts: What all answers depend on.
    """
    answers = [*_of_store(found, walked, facts)]
    answered = {id(answer.now) for answer in answers}
    answers += [_of_record(record) for record in walked if id(record.now) not in answered]
    if not answers:
        is_certain = facts.keeps_delivered or facts.has_input or facts.scope.first_run is None
        answers = [Traced(outcome=TraceOutcome.NEVER_SEEN if is_certain else TraceOutcome.UNKNOWN)]
    return [
        msgspec.structs.replace(
            answer, id=sought.shown, words=_WORDS[answer.outcome](answer, facts)
        )
        for answer in answers
    ]


def _of_store(
    found: Iterable[FoundEvent], walked: Sequence[WalkedRecord], facts: TraceFacts
) -> Iterator[Traced]:
    """Yield the answers of the store, each with the record of the input that gives its event."""
    by_name = defaultdict[EventName, list[FoundEvent]](list)
    for event in found:
        by_name[event.name].append(event)
    for name in sorted(by_name):
        now = next((record.now for record in walked if _is_about(record, name)), None)
        for event in _telling(by_name[name]):
            yield msgspec.structs.replace(_ANSWERS[type(event)](event, facts), now=now)


def _is_about(record: WalkedRecord, name: EventName) -> bool:
    """Return whether a record gives this event; the pixel of a dead letter may be unusable (0)."""
    is_pixel = record.pixel_id in (None, name.pixel_id) or not name.pixel_id
    if record.event_id is None or not is_pixel:
        return False
    of_record = stored_stream(record.stream), stored_id(record.event_id)
    return of_record == (stored_stream(name.stream), stored_id(name.event_id))


def _telling(events: Sequence[FoundEvent]) -> Iterator[FoundEvent]:
    """Yield what says where an event is now, of all that the store knows about it.

    A run that lives decides about the event next, unless the event has arrived. (It can then also
    have a dead letter, if it was sent again.) A run that was killed changes nothing of a letter.
    """
    of = {
        kind: [event for event in events if isinstance(event, kind)]
        for kind in (ArrivedEvent, LetterFound, ReservedEvent, EventWithoutOutcome)
    }
    alive = [e for e in of[ReservedEvent] if isinstance(e, ReservedEvent) and e.is_alive]
    if of[ArrivedEvent]:
        yield from of[ArrivedEvent]
        yield from of[LetterFound]
    elif alive:
        yield alive[0]
    elif of[LetterFound]:
        yield from of[LetterFound]
    else:
        yield next(iter(of[ReservedEvent] + of[EventWithoutOutcome]))


# The answers


def _named(name: EventName) -> dict[str, Any]:
    return {
        "stream": scrub(name.stream),
        "event_id": scrub(name.event_id),
        "pixel_id": name.pixel_id or None,
    }


def _arrived(event: ArrivedEvent, _: TraceFacts) -> Traced:
    kept = event.kept
    delivered = kept and Delivery(
        sent_at=utc(kept.sent_at, "milliseconds"),
        event_time=utc(kept.event_time),
        source=kept.source,
        order_id=None if kept.order_id is None else scrub(kept.order_id),
        value=kept.value,
        currency=kept.currency,
        md5=kept.md5,
        sha2=kept.sha2,
    )
    outcome = TraceOutcome.ARRIVED
    return Traced(**_named(event.name), outcome=outcome, run=event.run_id, delivered=delivered)


def _reserved(event: ReservedEvent, facts: TraceFacts) -> Traced:
    outcome = TraceOutcome.ON_ITS_WAY if event.is_alive else _outcome_at(event.window_end, facts)
    until = utc(event.window_end)
    return Traced(**_named(event.name), outcome=outcome, run=event.run_id, until=until)


def _without_outcome(event: EventWithoutOutcome, facts: TraceFacts) -> Traced:
    outcome = _outcome_at(event.window_end, facts)
    return Traced(**_named(event.name), outcome=outcome, until=utc(event.window_end))


def _outcome_at(window_end: int, facts: TraceFacts) -> TraceOutcome:
    is_closed = window_end <= facts.now
    return TraceOutcome.EXPIRED if is_closed else TraceOutcome.INTERRUPTED


def _letter(event: LetterFound, facts: TraceFacts) -> Traced:
    columns = event.columns
    reason = str(columns.get("reason"))
    field = columns.get("field")
    replay = prospect_of(facts.replay, dict(columns))
    return Traced(
        **_named(event.name),
        outcome=TraceOutcome.DEAD_LETTER,
        run=event.run_id or _text(columns.get("run_id")),
        reason=scrub(reason),
        until=None if event.window_end is None else utc(event.window_end),
        to_do=REASONS[reason].meaning if reason in REASONS else None,
        command=_command(reason, replay),
        letter=LetterDetails(
            field=_text(field),
            odd_value=_shown_value(columns.get(str(field))),
            detail=_text(columns.get("detail")),
            replay=replay,
        ),
    )


def _text(value: Any) -> str | None:
    return None if value is None else scrub(str(value))[:_LONGEST_VALUE]


def _shown_value(value: Any) -> Any:
    """Return a value of a dead letter without addresses, as a text of limited length."""
    if value is None or isinstance(value, bool):
        return value
    redacted = redact_value(value)
    return redacted[:_LONGEST_VALUE] if isinstance(redacted, str) else _text(redacted)


def _command(reason: str, prospect: str) -> str:
    """Return the command that sends a dead letter, or else the one that says what to do."""
    if prospect == "sends":
        return "target-liveintent replay"
    if prospect == "leaves_out" and reason in MAY_HAVE_COUNTED:
        return "target-liveintent replay --unconfirmed"
    if prospect == "other_account":
        return "target-liveintent replay --other-accounts"
    return "target-liveintent dead-letters"


def _of_record(record: WalkedRecord) -> Traced:
    """Return the answer about a record of which the store knows nothing."""
    now = record.now
    is_left_out = now.result == "left_out"
    return Traced(
        outcome=TraceOutcome.LEFT_OUT if is_left_out else TraceOutcome.NEVER_SEEN,
        stream=scrub(record.stream),
        event_id=None if record.event_id is None else scrub(record.event_id),
        pixel_id=record.pixel_id,
        reason=now.reason if is_left_out else None,
        to_do=now.meaning if is_left_out else None,
        until=now.age.until,
        now=now,
    )


_ANSWERS: Mapping[type, Callable[[Any, TraceFacts], Traced]] = {
    ArrivedEvent: _arrived,
    LetterFound: _letter,
    ReservedEvent: _reserved,
    EventWithoutOutcome: _without_outcome,
}


# Words

_REPLAY_WORDS = {
    "sends": "A replay sends it",
    "leaves_out": "A replay sends it only with --unconfirmed, because LiveIntent may have counted"
    " it",
    "other_account": "It was written for another account or pixel, so a replay with these settings"
    " keeps it",
    "expired": "It is lost: its window has closed, so a replay drops it",
    "dropped": "It must not be sent, so a replay drops it",
    "cannot_send": "It cannot be sent as it is, so a replay keeps it",
}
"""What a replay does with the dead letter, by the names in `PROSPECTS`."""
_SEND_THE_REST = "Start the run again with the same options"
_IN_INPUT = {
    "sent": "The input has its record, which a run would send now",
    "dead_letter": "The input has its record, which would become a dead letter now",
    "left_out": "The input has its record, which is left out now",
}


def _arrived_words(answer: Traced, _: TraceFacts) -> str:
    by = "a run that the history no longer has" if answer.run is None else f"run {answer.run}"
    kept = answer.delivered
    if kept is None:
        return f"It arrived at pixel {answer.pixel_id}: confirmed by {by}."
    worth = "" if kept.value is None else f", {kept.value} {kept.currency or '(no currency)'}"
    return f"It arrived at pixel {answer.pixel_id} on {_moment(kept.sent_at)}{worth}: sent by {by}."


def _letter_words(answer: Traced, _: TraceFacts) -> str:
    letter = answer.letter
    if letter is None:  # (Each dead letter has its details.)
        return ""
    is_lost = letter.replay == "expired" or answer.reason in BEYOND_REPAIR
    until = f" until {_moment(answer.until)}" if answer.until and not is_lost else ""
    then = _REPLAY_WORDS[letter.replay]
    field = f", column {letter.field}" if letter.field else ""
    return f"It did not arrive: it is a dead letter ({answer.reason}{field}). {then}{until}."


def _on_its_way_words(answer: Traced, _: TraceFacts) -> str:
    return f"It is on its way: run {answer.run} is sending it, and has not ended."


def _interrupted_words(answer: Traced, _: TraceFacts) -> str:
    by = "a run that failed or was killed" if answer.run is None else f"run {answer.run}, killed,"
    until = f" LiveIntent accepts it until {_moment(answer.until)}." if answer.until else ""
    return (
        f"It was interrupted: {by} had read it, and the next run sends it again. {_SEND_THE_REST}."
        f"{until}"
    )


def _expired_words(answer: Traced, _: TraceFacts) -> str:
    return (
        f"It is lost: its run failed or was killed, and its window closed on"
        f" {_moment(answer.until)} before another run sent it."
    )


def _left_out_words(answer: Traced, _: TraceFacts) -> str:
    return f"It is left out ({answer.reason}): {answer.to_do}"


def _never_seen_words(answer: Traced, facts: TraceFacts) -> str:
    if answer.now is not None:
        then = _IN_INPUT[answer.now.result]
        why = f" ({answer.now.reason})" if answer.now.reason else ""
        return f"The store has never seen it. {then}{why}. {_reach(facts)}"
    if facts.has_input:
        return f"The store has never seen it, and the input has no record with it. {_reach(facts)}"
    hint = "To see whether the map leaves its record out, add the tap's output: --input FILE."
    return f"The store has never seen it. {hint} {_reach(facts)}"


def _unknown_words(_: Traced, facts: TraceFacts) -> str:
    return (
        "It is not known: the store has no event, key or dead letter with this ID. It may be the"
        " order ID of a delivered event, or the ID of a record that the map left out. The tap's"
        " output (--input FILE) shows both; keep_delivered: true shows delivered events of later"
        f" runs. {_reach(facts)}"
    )


def _reach(facts: TraceFacts) -> str:
    """Return how far back the store reaches, and where the ID was looked for."""
    scope = facts.scope
    if scope.first_run is None:
        return "The store has no run of this account."
    days = {source: (window + KEPT_SECONDS) // DAY for source, window in WINDOWS.items()}
    since = "; delivered events are kept" if facts.keeps_delivered else ""
    if since and scope.delivered_since is not None:
        since += f" since {_moment(utc(scope.delivered_since))}"
    elif since:
        since += " from the next run on"
    streams = ", ".join(map(scrub, scope.streams)) or "none"
    pixels = ", ".join(map(str, scope.pixels)) or "none"
    return (
        f"The store reaches back to the run of {_moment(utc(scope.first_run))}, and remembers an"
        f" event for {days['web']} days, or {days['offline']} days if its source is"
        f" offline{since}. Known streams: {streams}; pixels: {pixels}."
    )


def _moment(text: str | None) -> str:
    """Return a time in UTC for a sentence: "2026-12-01 10:00:00 UTC"."""
    return (text or "").partition(".")[0].removesuffix("Z").replace("T", " ") + " UTC"


_WORDS: Mapping[TraceOutcome, Callable[[Traced, TraceFacts], str]] = {
    TraceOutcome.ARRIVED: _arrived_words,
    TraceOutcome.DEAD_LETTER: _letter_words,
    TraceOutcome.ON_ITS_WAY: _on_its_way_words,
    TraceOutcome.INTERRUPTED: _interrupted_words,
    TraceOutcome.EXPIRED: _expired_words,
    TraceOutcome.LEFT_OUT: _left_out_words,
    TraceOutcome.NEVER_SEEN: _never_seen_words,
    TraceOutcome.UNKNOWN: _unknown_words,
}

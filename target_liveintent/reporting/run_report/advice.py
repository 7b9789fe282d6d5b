"""Says what to change so that LiveIntent matches more conversions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.words import percent
from target_liveintent.run import counted

_TOLERATED = 0.05
"""The share of events that may lack something before the report mentions it."""
_FRESH = 0.5
"""The share that should be sent within an hour; LiveIntent's guide advises it for all events."""
ALL_SOURCES = ("web", "app", "offline")
GAPS = (
    (
        "both",
        ALL_SOURCES,
        (
            "have not both hashes of an e-mail address: map `email` to the address itself, which is"
            " hashed here in both ways."
        ),
    ),
    ("ip", ("web", "app"), "have no IP address: map `ip` to the buyer's."),
    ("user_agent", ("web", "app"), "have no user agent: map `user_agent`."),
    ("device_id", ("app",), "have no device ID: map `idfa` or `aaid`."),
    (
        "decision_id",
        ("web",),
        (
            "have no decision ID: map `decision_id` to the `li_did` of the page that LiveIntent's"
            " ad led to, where your shop keeps it."
        ),
    ),
    (
        "order_id",
        ALL_SOURCES,
        "have no order ID, by which they could be reconciled: map `order_id`.",
    ),
    ("value", ALL_SOURCES, "have no value: map `value`."),
)
"""Fields that events can lack, the most useful first; the sources whose events should have them;
and, to follow "31 % of events", what is missing and what to do."""


def advise(facts: Facts) -> Iterator[str]:
    """Yield a sentence for each thing to change, the most useful first.

    A replay gets none: no map applies to dead letters, and they are late in any case.
    """
    if facts.is_replay:
        return
    for field, sources, words in GAPS:
        groups = [one for one in facts.coverage if one.source in sources]
        events = sum(one.events for one in groups)
        lacking: Counter[str] = Counter()
        for one in groups:
            lacking[one.stream] += one.events - one.having[field]
        missing = lacking.total()
        if missing > events * _TOLERATED:
            of = "events" if sources == ALL_SOURCES else f"{' and '.join(sources)} events"
            yield f"{percent(missing, events)} of {of} {words}{_worst_stream(lacking)}"
    yield from _values_without_currency(facts)
    yield from _unusable_columns(facts)
    yield from _late_events(facts)


def _worst_stream(lacking: Counter[str]) -> str:
    """Name the stream that lacks the field in most events, if there are several."""
    if len(lacking) == 1:
        return ""
    stream, events = lacking.most_common(1)[0]
    missing = lacking.total()
    share = "All" if events == missing else percent(events, missing)
    return f" ({share} of them are of stream {stream}.)"


def _values_without_currency(facts: Facts) -> Iterator[str]:
    values = sum(one.events for one in facts.value)
    without = sum(one.events for one in facts.value if not one.currency)
    if without > values * _TOLERATED:
        yield f"{percent(without, values)} of values have no currency: map `currency`."


_NO_ADDRESS = "what is neither an e-mail address nor a hash of one: map a column that has one."
_IDENTITY_FAULTS = {
    "email": f"in `email` {_NO_ADDRESS}",
    "md5": f"in `md5` {_NO_ADDRESS}",
    "sha2": f"in `sha2` {_NO_ADDRESS}",
    "conflict": "a hash that is not the address's: map `email` alone.",
}


def _unusable_columns(facts: Facts) -> Iterator[str]:
    for column, records in facts.total.left_out.items():
        if column in _IDENTITY_FAULTS:
            yield f"{counted(records, 'record')} held {_IDENTITY_FAULTS[column]}"
        elif not column.endswith(" empty"):
            yield (
                f"In {counted(records, 'record')}, `{column}` could not be used and was left out:"
                " look at what is mapped to it."
            )


def _late_events(facts: Facts) -> Iterator[str]:
    events = sum(one.events for one in facts.freshness)
    fresh = sum(one.within_an_hour for one in facts.freshness)
    if fresh < events * _FRESH:
        yield (
            f"{percent(events - fresh, events)} of events were sent more than an hour after they"
            " happened. A first run, or one that catches up, is always like that; if others are"
            " too, run more often."
        )

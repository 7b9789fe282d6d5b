"""What to change so that more conversions are matched, from what a run's events lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_liveintent.reporting.run_report.facts import Covered, Facts

_TOLD_FROM = 0.05
"""The share of events that may lack something without a word."""
_FRESH = 0.5
"""The share that should be sent within an hour, as LiveIntent's guide advises for all."""
_ALL = ("web", "app", "offline")


class Gap(NamedTuple):
    """Something that events can lack.

    Attributes:
        field: One of `tally.FIELDS`.
        sources: Of which sources it is missed.
        words: What is missing and what to do: "31 % of events" comes before it.
    """

    field: str
    sources: tuple[str, ...]
    words: str


GAPS = (
    Gap(
        "both",
        _ALL,
        "have not both hashes of an e-mail address: map `email` to the address itself, which is"
        " hashed here in both ways.",
    ),
    Gap("ip", ("web", "app"), "have no IP address: map `ip` to the buyer's."),
    Gap("user_agent", ("web", "app"), "have no user agent: map `user_agent`."),
    Gap("device_id", ("app",), "have no device ID: map `idfa` or `aaid`."),
    Gap(
        "decision_id",
        ("web",),
        "have no decision ID: map `decision_id` to the `li_did` of the page that LiveIntent's ad"
        " led to, where your shop keeps it.",
    ),
    Gap("order_id", _ALL, "have no order ID, by which they could be reconciled: map `order_id`."),
    Gap("value", _ALL, "have no value: map `value`."),
)
"""The most useful first."""


def gaps(facts: Facts) -> Iterator[str]:
    """A sentence for each thing that would help."""
    for gap in GAPS:
        groups = [one for one in facts.coverage if one.source in gap.sources]
        events = sum(one.events for one in groups)
        missing = sum(one.events - one.having[gap.field] for one in groups)
        if missing > events * _TOLD_FROM:
            of = "events" if gap.sources == _ALL else f"{' and '.join(gap.sources)} events"
            yield f"{percent(missing, events)} of {of} {gap.words}{_mostly(groups, gap, missing)}"
    yield from _unpriced(facts)
    yield from _unusable(facts)
    yield from _stale(facts)


def _mostly(groups: list[Covered], gap: Gap, missing: int) -> str:
    """Which of several streams it is about."""
    by_stream: dict[str, int] = {}
    for one in groups:
        lacking = one.events - one.having[gap.field]
        by_stream[one.stream] = by_stream.get(one.stream, 0) + lacking
    stream = max(by_stream, key=by_stream.__getitem__)
    if len(by_stream) == 1:
        return ""
    part = by_stream[stream]
    share = "All" if part == missing else percent(part, missing)
    return f" ({share} of them are of stream {stream}.)"


def _unpriced(facts: Facts) -> Iterator[str]:
    valued = sum(one.events for one in facts.value)
    bare = sum(one.events for one in facts.value if not one.currency)
    if bare > valued * _TOLD_FROM:
        yield f"{percent(bare, valued)} of values have no currency: map `currency`."


_NOT_COLUMNS = {
    "identity": "an e-mail address or a hash that is none: map a column that has one.",
    "conflict": "a hash that is not the address's: map `email` alone.",
}


def _unusable(facts: Facts) -> Iterator[str]:
    for column, records in facts.total.left_out.items():
        if column in _NOT_COLUMNS:
            yield f"{_records(records)} held {_NOT_COLUMNS[column]}"
        elif not column.endswith(" empty"):
            yield (
                f"In {_records(records)}, `{column}` could not be used and was left out: look at"
                " what is mapped to it."
            )


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _stale(facts: Facts) -> Iterator[str]:
    events = sum(one.events for one in facts.freshness)
    fresh = sum(one.within_an_hour for one in facts.freshness)
    if fresh < events * _FRESH:
        yield (
            f"{percent(events - fresh, events)} of events were sent more than an hour after they"
            " happened: run more often. (Of a first run, or of one that catches up, it is no"
            " wonder.)"
        )


def percent(part: int, whole: int) -> str:
    """A share in words; neither none nor all, unless it is."""
    if not whole:
        return "0 %"
    share = round(100 * part / whole)
    if 0 < part < whole and share in {0, 100}:
        return "less than 1 %" if share == 0 else "more than 99 %"
    return f"{share} %"


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def age_words(seconds: float) -> str:
    """A time in words: 3 days."""
    for unit, name in _UNITS:
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a second"

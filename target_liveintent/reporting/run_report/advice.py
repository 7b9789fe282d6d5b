"""Says what to change so that LiveIntent matches more conversions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.words import percent
from target_liveintent.run import counted

TOLERATED = 0.05
"""The share of conversions that may lack something before it is mentioned."""
FRESH = 0.5
"""The share that should be sent within an hour; LiveIntent's guide advises it for all events."""
ALL_SOURCES = ("web", "app", "offline")
MATCHED, FOUND_BETTER, COMPLETE, OTHER = range(4)
"""What advice gains, the most useful first: that LiveIntent gets a conversion, or can match it by
both hashes; that it finds better whom one is about; that one is complete; and all else."""


class Gap(NamedTuple):
    """A column that conversions can lack.

    Attributes:
        column: One of `tally.FIELDS`.
        sources: The sources whose conversions should have it.
        gain: What the column would gain.
        verb: "have" or "lack".
        words: What follows the verb: what is missing, and what to do.
    """

    column: str
    sources: tuple[str, ...]
    gain: int
    verb: str
    words: str


GAPS = (
    Gap(
        "both",
        ALL_SOURCES,
        MATCHED,
        "lack",
        "at least one of the two hashes (coded forms) of the e-mail address. Supply the address"
        " itself as `email`. The program computes both hashes from it.",
    ),
    Gap(
        "ip",
        ("web", "app"),
        FOUND_BETTER,
        "have",
        "no IP address. Supply the buyer's IP address as `ip`.",
    ),
    Gap(
        "user_agent",
        ("web", "app"),
        FOUND_BETTER,
        "have",
        "no user agent (the name of the browser). Supply the user agent as `user_agent`.",
    ),
    Gap(
        "device_id",
        ("app",),
        FOUND_BETTER,
        "have",
        "no device ID. Supply the device ID as `idfa` (Apple) or `aaid` (Android).",
    ),
    Gap(
        "decision_id",
        ("web",),
        FOUND_BETTER,
        "have",
        "no decision ID. If your shop stores the URL of the page that a click in an e-mail"
        " opens, supply the parameter `li_did` of this URL as `decision_id`.",
    ),
    Gap(
        "order_id",
        ALL_SOURCES,
        COMPLETE,
        "have",
        "no order ID, so nobody can compare your orders with the conversions that LiveIntent has."
        " Supply the order ID as `order_id`.",
    ),
    Gap("value", ALL_SOURCES, COMPLETE, "have", "no value. Supply the value as `value`."),
)
"""The columns that advice is about."""


class Advice(NamedTuple):
    """Advice, what it would gain, for how many conversions, and in words."""

    gain: int
    conversions: int
    words: str


def most_useful_first(found: Iterable[Advice]) -> list[str]:
    """Return advice in words: what gains most first; of the same gain, for most conversions."""
    return [one.words for one in sorted(found, key=lambda one: (one.gain, -one.conversions))]


def advise(facts: Facts) -> list[str]:
    """Return a sentence for each thing to change, the most useful first.

    A replay gets none: no map applies to dead letters, and they are late in any case.
    """
    if facts.is_replay:
        return []
    parts = (_gaps, _values_without_currency, _unusable_columns, _late)
    return most_useful_first(one for part in parts for one in part(facts))


def _gaps(facts: Facts) -> Iterator[Advice]:
    for gap in GAPS:
        groups = [one for one in facts.coverage if one.source in gap.sources]
        events = sum(one.events for one in groups)
        lacking: Counter[str] = Counter()
        for one in groups:
            lacking[one.stream] += one.events - one.having[gap.column]
        missing = lacking.total()
        if missing > events * TOLERATED:
            sources = "" if gap.sources == ALL_SOURCES else f"{' and '.join(gap.sources)} "
            words = f"{percent(missing, events)} of the {sources}conversions {gap.verb} {gap.words}"
            yield Advice(gap.gain, missing, f"{words}{_worst_stream(lacking)}")


def _worst_stream(lacking: Counter[str]) -> str:
    """Name the stream that lacks the column in most conversions, if there are several."""
    if len(lacking) == 1:
        return ""
    stream, events = lacking.most_common(1)[0]
    missing = lacking.total()
    share = "All" if events == missing else percent(events, missing)
    return f" ({share} of them are in stream {stream}.)"


def _values_without_currency(facts: Facts) -> Iterator[Advice]:
    values = sum(one.events for one in facts.value)
    without = sum(one.events for one in facts.value if not one.currency)
    if without > values * TOLERATED:
        words = (
            f"{percent(without, values)} of the values have no currency. Supply the currency"
            " as `currency`."
        )
        yield Advice(COMPLETE, without, words)


_IDENTITY_FAULTS = {
    **{
        column: f"`{column}` is neither an e-mail address nor a hash of one. Supply an address or a"
        " hash."
        for column in ("email", "md5", "sha2")
    },
    "conflict": "a hash does not belong to the address. Supply only `email`.",
}


def _unusable_columns(facts: Facts) -> Iterator[Advice]:
    for column, records in facts.total.left_out.items():
        among = f"In {counted(records, 'record')}, "
        if column in _IDENTITY_FAULTS:
            yield Advice(MATCHED, records, f"{among}{_IDENTITY_FAULTS[column]}")
        elif not column.endswith(" empty"):
            words = (
                f"`{column}` cannot be used and is left out. Check what you supply as `{column}`."
            )
            yield Advice(COMPLETE, records, f"{among}{words}")


def _late(facts: Facts) -> Iterator[Advice]:
    events = sum(one.events for one in facts.freshness)
    late = events - sum(one.within_an_hour for one in facts.freshness)
    if events - late < events * FRESH:
        words = (
            f"{percent(late, events)} of the conversions were sent more than an hour after they"
            " happened. This is normal for a first run, and for a run after a pause. If other runs"
            " are also late, run the program more often."
        )
        yield Advice(OTHER, late, words)

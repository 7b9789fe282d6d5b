"""The words of reports: numbers and times, what is unusual, and problems."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from target_liveintent.conversions.amounts import counted, money, money_in
from target_liveintent.conversions.event_model import DAY
from target_liveintent.failures import FailureCode
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.findings import LATE, Cause, Change, FailedRuns, Gap, NoRun
from target_liveintent.reporting.history import Ending, Finding, Range, Unusual
from target_liveintent.run.counts import ALL_SOURCES
from target_liveintent.run.coverage import COVERAGE_FIELDS, HOUR
from target_liveintent.store.ledger import Ledger
from target_liveintent.store.places import NO_OUTCOME

_AGE_UNITS = ((DAY, "day"), (HOUR, "hour"), (60, "minute"), (1, "second"))


def percent(part: int, whole: int) -> str:
    """Return a share in percent."""
    return share_words(part / whole) if whole else "0 %"


def share_words(share: float) -> str:
    """Return a share from 0 to 1 in percent; "0 %" and "100 %" mean exactly that."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "less than 1 %"
    if rounded == 100 and share < 1:  # noqa: PLR2004 (percent)
        return "more than 99 %"
    return f"{rounded} %"


def amount_words(amount: float | Decimal, currency: str) -> str:
    """Return an amount with the decimals of its currency (ISO 4217): "4,168 JPY"."""
    return f"{money(amount, currency)} {currency or 'without a currency'}"


def amounts_words(values: Mapping[str, Decimal]) -> str:
    """Return amounts in several currencies: "100.00 EUR, 4,168 JPY"."""
    return ", ".join(amount_words(amount, currency) for currency, amount in values.items())


def range_words(usual: Range | None, words: Callable[[float], str]) -> str:
    """Return what is usual: "190 to 260"; "-" if this is not known."""
    if usual is None:
        return "-"
    low, high = words(usual.low), words(usual.high)
    return low if low == high else f"{low} to {high}"


def age_words(age: dt.timedelta) -> str:
    """Return an age or a duration in its largest unit: "3 days"."""
    seconds = age.total_seconds()
    for unit, name in _AGE_UNITS:
        if seconds >= unit:
            return counted(int(seconds // unit), name)
    return "0 seconds"


def moment(at: dt.datetime, zone: dt.tzinfo | None) -> str:
    """Return a moment in a zone: "2026-11-26 05:17 CET"."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def end_words(at: dt.datetime, zone: dt.tzinfo | None) -> str:
    """Return when an event becomes too old, in a zone: "7 December, 14:10"."""
    local = at.astimezone(zone)
    return f"{day_words(local.date())}, {local:%H:%M}"


def day_words(day: dt.date) -> str:
    """Return a day: "26 November". The year is clear, because a history has 91 days."""
    return f"{day.day} {day:%B}"


def month_words(first_day: dt.date, now: dt.date) -> str:
    """Return a month and its first day in the history: "November 2026, from 26 November"."""
    so_far = ", so far" if (first_day.year, first_day.month) == (now.year, now.month) else ""
    since = f", from {day_words(first_day)}" if first_day.day > 1 else ""
    return f"{first_day:%B %Y}{so_far}{since}"


def kept_back(ledger: Ledger, zone: dt.tzinfo | None) -> str:
    """Return what did not arrive: "4 wait (deadline: 7 December, 14:10); 2 are lost"."""
    parts = []
    if ledger.waiting:
        parts.append(f"{ledger.waiting:,} wait{'s' if ledger.waiting == 1 else ''}")
    if ledger.replayable:
        parts.append(f"{ledger.replayable:,} can be replayed")
    still_open = " and ".join(parts)
    if still_open and ledger.until:
        still_open += f" (deadline: {end_words(ledger.until, zone)})"
    lost = f"{ledger.lost:,} {'is' if ledger.lost == 1 else 'are'} lost" if ledger.lost else ""
    return "; ".join(filter(None, (still_open, lost)))


def unusual_words(unusual: Unusual) -> str:
    """Return what a rule finds, and what to check, in words that follow the name of the stream."""
    words = RULE_WORDS.get(unusual.rule)
    if words is None:
        return f"the rule {unusual.rule}, which this version does not have, finds something unusual"
    return f"{words.fact(unusual.finding)}. {words.check(unusual.finding)}"


def unusual_lines(unusual: Iterable[Unusual]) -> Iterator[str]:
    """Yield a line for each rule and stream that no earlier run of this day has logged."""
    new = [item for item in unusual if item.is_new]
    for (stream, _), group in itertools.groupby(new, lambda item: (item.stream, item.rule)):
        sentences = "; ".join(unusual_words(item) for item in group)
        yield f"{stream}: unusual: {sentences}"


def conversions_of(reason: str, events: int) -> str:
    """Return how many conversions have a reason: "3 conversions without consent"."""
    return f"{counted(events, 'conversion')} {reason_words(reason)}"


def reason_words(reason: str) -> str:
    """Return what conversions with a reason have in common, in words that follow their number."""
    if reason in REASONS:
        return REASONS[reason].short
    return _OTHER_REASONS.get(reason, f"with the reason {reason or 'unknown'}")


_OTHER_REASONS = {
    NO_OUTCOME: "that a failed run read, and no later run sent in time",
    "filtered": "that a filter of the map leaves out",
    "unmapped": "of streams that no map names",
}
"""The words for reasons of a ledger that no dead letter has."""


class RuleWords(NamedTuple):
    """What is said of a finding of a rule, and of what to check.

    Attributes:
        fact: The numbers, in words that everybody understands, without a full stop.
        check: What the person who runs the pipeline checks, without a full stop.
    """

    fact: Callable[[Finding], str]
    check: Callable[[Finding], str]


def _slow_decline(finding: Finding) -> str:
    now, then = counted(finding.count, "conversion"), f"{finding.whole:,}"
    if finding.subject:
        now = amount_words(finding.count, finding.subject)
        then = money(finding.whole, finding.subject)
    return f"the last seven days had {now}; the same days {finding.weeks} weeks earlier had {then}"


def _other_average(finding: Finding) -> str:
    amount = functools.partial(money, currency=finding.subject)
    average = amount(finding.average or 0)
    return (
        f"the average value {money_in(finding.subject)} was {average} in the last 24 hours, but"
        f" {range_words(finding.usual, amount)} is usual"
    )


def _more_dead_letters(finding: Finding) -> str:
    some = "all" if finding.main_count == finding.count else f"{finding.main_count:,}"
    return (
        f"{counted(finding.count, 'conversion')} of the last 24 hours did not arrive, but"
        f" {_counts(finding.usual)} are usual; {some} of them are conversions"
        f" {reason_words(finding.main_reason)}"
    )


def _reason_in_detail(finding: Finding) -> str:
    reason = finding.main_reason or finding.subject
    if reason not in REASONS:
        return "This version does not know the reason"
    return f"Reason `{reason}`: {REASONS[reason].meaning}"


def _counts(usual: Range | None) -> str:
    return range_words(usual, "{:,.0f}".format)


RULE_WORDS: dict[str, RuleWords] = {
    "conversions": RuleWords(
        fact=lambda finding: (
            f"{counted(finding.count, 'conversion')} in the last 24 hours, but"
            f" {_counts(finding.usual)} are usual"
        ),
        check=lambda _: (
            "Check whether the tap still sends all records. The run's log says why records were"
            " not sent"
        ),
    ),
    "decline": RuleWords(
        fact=_slow_decline,
        check=lambda _: (
            "If your shop sold as much as then, check what the tap no longer sends, and why"
            " records were not sent"
        ),
    ),
    "average_value": RuleWords(
        fact=_other_average,
        check=lambda _: (
            "Check whether the unit of the column 'value' has changed, for example to cents"
        ),
    ),
    "new_currency": RuleWords(
        fact=lambda finding: (
            f"{counted(finding.count, 'conversion')} in the last 24 hours"
            f" ({percent(finding.count, finding.whole)}) had a value {money_in(finding.subject)},"
            " which hardly any conversion had before"
        ),
        check=lambda _: (
            "Check whether your shop has a new currency, or the column that is mapped to"
            " 'currency' has changed"
        ),
    ),
    "coverage": RuleWords(
        fact=lambda finding: (
            f"in the last 24 hours, {percent(finding.count, finding.whole)} of the conversions had"
            f" a value in {finding.subject}"
            f" ({COVERAGE_FIELDS.get(finding.subject, finding.subject)}), but"
            f" {range_words(finding.usual, share_words)} is usual"
        ),
        check=lambda finding: (
            f"Check whether the tap still fills the column that is mapped to {finding.subject}"
        ),
    ),
    "new_reason": RuleWords(
        fact=lambda finding: (
            f"{conversions_of(finding.subject, finding.count)} did not arrive, which has never"
            " occurred before"
        ),
        check=_reason_in_detail,
    ),
    "late": RuleWords(
        fact=lambda finding: (
            "in the last 24 hours, 0 % of the conversions were sent within an hour of their event"
            f" time, but {range_words(finding.usual, share_words)} is usual"
        ),
        check=lambda _: "Check whether the tap takes longer, or the schedule starts it less often",
    ),
    "dead_letters": RuleWords(fact=_more_dead_letters, check=_reason_in_detail),
}


_NEXT_RUN = "The next scheduled run sends what waits; to send it now, start the pipeline by hand."
_MELTANO_KILLED = (
    "If Meltano was killed too, it says for five minutes that the job is already running: `meltano"
    " run --force …` starts it at once."
)


def cause_words(cause: Cause, now: dt.datetime) -> str:
    """Return what the problem is, in a sentence without its full stop."""
    if isinstance(cause, FailedRuns):
        runs = "run" if cause.runs == 1 else f"{cause.runs:,} runs"
        streams = f" of {', '.join(cause.streams)}" if cause.streams else ""
        return f"The last {runs}{streams} failed: {cause.failure.words}"
    if isinstance(cause, NoRun):
        if cause.since is None:
            return "There is no run in the history"
        return f"There has been no run for {age_words(now - cause.since)}"
    return f"{cause.stream}: {unusual_words(cause)}"


def fact_words(cause: Cause, now: dt.datetime) -> str:
    """Return what is known of a problem, as a sentence for everybody; empty if it says no more."""
    if isinstance(cause, FailedRuns):
        if cause.runs == 1:
            return ""
        return f"{cause.runs:,} runs have failed since {end_words(cause.since, now.tzinfo)}."
    if isinstance(cause, NoRun):
        return f"{cause_words(cause, now)}."
    words = RULE_WORDS.get(cause.rule)
    fact = words.fact(cause.finding) if words else ""
    return fact and f"{fact[0].upper()}{fact[1:]}."


def ending_words(ending: Ending) -> str | None:
    """Return how a run ended, in words; None if it did not fail and nobody stopped it."""
    signal = f"stopped by {ending.signal}" if ending.signal else None
    failure = ending.failure.words if ending.failure else None
    return "; ".join(filter(None, (signal, failure))) or None


def what_to_do_about(cause: Cause) -> str:
    """Return what to do about a problem; empty for a rule, whose words say it already."""
    if isinstance(cause, FailedRuns):
        if cause.failure.code is FailureCode.KILLED:
            return f"{_NEXT_RUN} {_MELTANO_KILLED}"
        return f"Do what the message says. {_NEXT_RUN}"
    if isinstance(cause, NoRun):
        return "Check whether the schedule still starts the run, and read the log of the run."
    return ""


_GAP_WORDS = {
    "both": "without both hashes of the address: supply the address as `email`.",
    "ip": "without an IP address: supply the buyer's IP address as `ip`.",
    "user_agent": "without the name of the browser: supply it as `user_agent`.",
    "device_id": "without a device ID: supply it as `idfa` (Apple) or `aaid` (Android).",
    "decision_id": "without a decision ID: supply the URL of the page as `source_url`.",
    "order_id": "without an order ID, so you cannot find their orders: supply `order_id`.",
    "value": "without a value: supply the value as `value`.",
    LATE: "sent more than an hour after they happened: run the program more often.",
}


def change_words(change: Change) -> str:
    """Return what changed: "`timezone`: UTC became Europe/Berlin"."""
    if change.before is None:
        return f"`{change.name}` changed"
    return f"`{change.name}`: {change.before} became {change.after}"


def advice_about(gap: Gap) -> str:
    """Return how many conversions lack something, and what to do."""
    some = "" if gap.sources == ALL_SOURCES else f"{' and '.join(gap.sources)} "
    share = percent(gap.missing, gap.conversions)
    return f"{counted(gap.missing, f'{some}conversion')} ({share}) {_GAP_WORDS[gap.lack]}"

"""The headline of a report: how things are, what to do now, and how figures compare."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import NamedTuple

from target_liveintent.conversions.amounts import counted
from target_liveintent.failures import FailureCode
from target_liveintent.reasons import MAY_HAVE_COUNTED
from target_liveintent.reporting import rules, words
from target_liveintent.reporting.findings import Cause, FailedRuns, NoRun, Problem
from target_liveintent.reporting.history import STOPPED, Range
from target_liveintent.reporting.overview import CONVERSIONS, Compared, Overview
from target_liveintent.reporting.rules import MANY_DEAD_LETTERS, NEW_REASON
from target_liveintent.reporting.usual_range import compares_weekdays
from target_liveintent.store.ledger import Ledger

SaidAndToDo = tuple[str, str]
"""What is said of a problem, and what to do."""
GOOD, CALM, BAD = "good", "calm", "bad"
"""The status of a headline: nothing is wrong, nothing is urgent, or there is a problem."""
NOTHING_TO_COMPARE = "The last run succeeded. There are no usual days yet to compare with."
NOTHING_WRONG = "Nothing is wrong."
_NOTHING_TO_DO = "Nothing to do."
_OPERATOR = "the person who runs the pipeline"
_HALF_A_DAY = dt.timedelta(hours=12)
"""If runs are this far apart, the first sentence is about a day, else about the last 24 hours."""
_FEW = 20
"""A change of a smaller number is shown as a difference, because its percentage says little."""
_FINAL = "nobody can correct a value after it was sent to LiveIntent."


class Headline(NamedTuple):
    """How things are, and what to do now.

    Attributes:
        status: `GOOD`, `CALM` or `BAD`.
        said: How things are, in a few words.
        to_do: What to do now, who does it, and until when.
        fact: The numbers behind it; empty if there are none.
    """

    status: str
    said: str
    to_do: str = _NOTHING_TO_DO
    fact: str = ""


_IF_IT_LASTS = f"If this page says the same tomorrow, tell {_OPERATOR}."
_KEY_REFUSED = (
    "LiveIntent refused the access key.",
    f"Ask {_OPERATOR} to renew the access key (token), and to start the pipeline again.",
)
_NOT_REACHED = (
    "LiveIntent could not be reached.",
    f"The next run sends what waits. {_IF_IT_LASTS}",
)
_ALL_REFUSED = (
    "LiveIntent refused every conversion.",
    f"Ask {_OPERATOR} to check the account and the pixel.",
)
_TOO_MANY_REJECTED = (
    "A run failed because too many conversions did not arrive.",
    f"Ask {_OPERATOR} to fix the cause.",
)
_RUN_FAILED = ("A run failed.", f"Ask {_OPERATOR} to find the cause.")

FAILURE_HEADLINES: dict[FailureCode, SaidAndToDo] = {
    FailureCode.ACCESS_DENIED: _KEY_REFUSED,
    FailureCode.ACCESS_LOST: _KEY_REFUSED,
    FailureCode.UNREACHABLE: (
        "LiveIntent could not be reached.",
        f"Ask {_OPERATOR} to correct the certificate or the proxy.",
    ),
    FailureCode.KILLED: (
        "A run was interrupted before its end.",
        f"Ask {_OPERATOR} to start the pipeline again; otherwise, the next run sends what waits.",
    ),
    FailureCode.OUTAGE: _NOT_REACHED,
    FailureCode.STOPPED_IN_OUTAGE: _NOT_REACHED,
    FailureCode.LONG_WAIT: (
        "LiveIntent asked a run to pause for a longer time than the settings allow.",
        f"The next run sends what waits. {_IF_IT_LASTS}",
    ),
    FailureCode.ALL_REFUSED: _ALL_REFUSED,
    FailureCode.REPLAY_REFUSED: _ALL_REFUSED,
    FailureCode.WRITE_REFUSED: _ALL_REFUSED,
    FailureCode.TOO_MANY_REJECTED: _TOO_MANY_REJECTED,
    FailureCode.NOTHING_DELIVERED: _TOO_MANY_REJECTED,
    FailureCode.ROWS_NOT_KEPT: _TOO_MANY_REJECTED,
}
"""What is said of a failed run, by the code of its failure; `_RUN_FAILED` is for other codes."""

_NO_RUN = ("The runs have stopped.", f"Ask {_OPERATOR} whether the schedule still starts the runs.")
_LOOK_FOR_THEM = (
    f"If your shop sold as much as usual, ask {_OPERATOR} to look for the missing conversions."
)
RULE_HEADLINES: dict[str, SaidAndToDo] = {
    MANY_DEAD_LETTERS: ("More conversions than usual did not arrive.", ""),
    NEW_REASON: ("There is a new reason why conversions did not arrive.", ""),
    "conversions": ("Far fewer conversions than usual arrived.", _LOOK_FOR_THEM),
    "decline": ("Conversions, or their value, have declined for weeks.", _LOOK_FOR_THEM),
    "average_value": (
        "The values are much higher or lower than usual.",
        f"Ask {_OPERATOR} at once whether values have another unit, such as cents: {_FINAL}",
    ),
    "new_currency": (
        "Conversions have a new currency.",
        f"If your shop has no new currency, ask {_OPERATOR} to correct it at once: {_FINAL}",
    ),
    "coverage": (
        "Many conversions lack a detail that they usually have.",
        f"Ask {_OPERATOR} whether your shop still supplies this detail.",
    ),
    "late": (
        "Conversions are sent later than usual.",
        f"Ask {_OPERATOR} whether conversions are now sent less often.",
    ),
}
"""What is said of something unusual, by the rule that found it. What to do about dead letters
depends on their reason."""
_SEND_AGAIN = f"Ask {_OPERATOR} to fix the cause, and to send these conversions again."
_LOAD_AGAIN = f"Ask {_OPERATOR} to correct the map, and to load these rows again."
_ACTIONS = {
    "refused_by_api": "Ask your account manager at LiveIntent what is wrong with these conversions,"
    f" and tell {_OPERATOR}, who can send them again.",
    "missing_key": f"Ask {_OPERATOR} to map an ID that each record has, and to load these rows"
    " again.",
    "no_identity": f"A replay cannot send these conversions. Ask {_OPERATOR} whether the map still"
    " finds the e-mail address.",
    "event_too_old": "LiveIntent no longer accepts these conversions. Ask"
    f" {_OPERATOR} why they were sent so late.",
    "mapping_failed": _LOAD_AGAIN,
    "missing_event_time": _LOAD_AGAIN,
}
"""What to do about dead letters for which a replay is not enough, by their reason."""
_SHOWS_LETTERS = "target-liveintent dead-letters"
_WROTE_LETTERS = (FailureCode.TOO_MANY_REJECTED, FailureCode.NOTHING_DELIVERED)
"""Failures of runs whose dead letters show the cause."""
_UNKNOWN_RULE = ("The last 24 hours are unusual.", f"Ask {_OPERATOR} to find the cause.")


def about(cause: Cause) -> SaidAndToDo:
    """Return what is said of a problem, and what to do."""
    if isinstance(cause, FailedRuns):
        return FAILURE_HEADLINES.get(cause.failure.code, _RUN_FAILED)
    if isinstance(cause, NoRun):
        return _NO_RUN
    said, to_do = RULE_HEADLINES.get(cause.rule, _UNKNOWN_RULE)
    return said, to_do or _ACTIONS.get(rules.reason_of(cause), _SEND_AGAIN)


def command_for(cause: Cause) -> str:
    """Return the command that shows or repairs a problem; empty if only a new run helps."""
    if isinstance(cause, FailedRuns):
        return _SHOWS_LETTERS if cause.failure.code in _WROTE_LETTERS else ""
    if isinstance(cause, NoRun) or not rules.is_about_letters(cause):
        return ""
    reason = rules.reason_of(cause)
    if reason in _ACTIONS:
        return _SHOWS_LETTERS
    return f"target-liveintent replay{' --unconfirmed' if reason in MAY_HAVE_COUNTED else ''}"


def trace_command(problem: Problem) -> str:
    """Return the command that shows an example of a problem; empty if there is no example."""
    if problem.example is None:
        return ""
    return f"target-liveintent trace {shlex.quote(problem.example)}"


class Top(NamedTuple):
    """The period of the first sentence, and what usually arrives in it.

    Attributes:
        when: Such as "today" or "in the last 24 hours".
        than: Such as "usual" or "on a usual Tuesday".
        by_place: How many can be replayed, are lost or left out: by place, then by reason.
    """

    when: str
    ledger: Ledger
    by_place: dict[str, dict[str, int]]
    usual: Range | None
    than: str


def top_of(overview: Overview) -> Top:
    """Return the last day with runs, or, if runs are hours apart, the last 24 hours."""
    today, usual = overview.days[-1], overview.figure(CONVERSIONS).usual
    due, last = overview.next_run, overview.last_run
    is_daily = bool(due and last and due - last.ended_at >= _HALF_A_DAY)
    if not is_daily and overview.ledger != today.ledger:
        return Top(
            "in the last 24 hours", overview.ledger, overview.last_24_hours.by_place, usual, "usual"
        )
    known = [day for day in overview.days if day.runs or day.ledger.read]
    day = known[-1] if known else today
    when = "today" if day is today else f"on {words.day_words(day.day)}"
    with_runs = [other.day for other in overview.days if other.runs]
    is_weekday = compares_weekdays(with_runs, day.day)
    than = f"on a usual {day.day:%A}" if is_weekday else "usual"
    return Top(when, day.ledger, day.by_place, day.usual, than)


def sentence(overview: Overview) -> str:
    """Return how many conversions arrived, how many usually arrive, and where the others are."""
    top = top_of(overview)
    arrived, to_send = top.ledger.arrived, top.ledger.to_send
    if not to_send:
        said = f"No conversions were read {top.when}"
    elif arrived == to_send:
        said = f"{counted(arrived, 'conversion')} arrived {top.when}"
        said = said if arrived == 1 else f"All {said}"
    else:
        said = f"{arrived:,} of {counted(to_send, 'conversion')} arrived {top.when}"
    rest = words.kept_back(top.ledger, overview.as_of.tzinfo)
    change = _change(top) if arrived else _usually(top)
    return "; ".join(filter(None, (f"{said}{change}", rest))) + "."


def _change(top: Top) -> str:
    """Return how many more or fewer conversions than usual arrived; empty if this is unknown."""
    if top.usual is None or not top.usual.middle:
        return ""
    percent = round(100 * (top.ledger.arrived / top.usual.middle - 1))
    usual = f"{top.than} ({top.usual.middle:,.0f})"
    if not percent:
        return f", as many as {usual}"
    return f", {abs(percent):,} % {'fewer' if percent < 0 else 'more'} than {usual}"


def _usually(top: Top) -> str:
    """Return how many conversions usually arrive; empty if this is unknown."""
    if top.usual is None or not top.usual.middle:
        return ""
    return f", but {top.usual.middle:,.0f} are usual"


def headline_of(overview: Overview) -> Headline:
    """Return how things are, what to do now, who does it, and until when."""
    if overview.causes:
        return _of_problem(overview.causes[0], overview)
    last = overview.last_run
    if last is not None and last.ending.kind == STOPPED:
        to_do = "Nothing to do: the next run sends what this run did not send."
        return Headline(CALM, "The last run was stopped before its end.", to_do)
    due = overview.next_run
    is_late = due is None or due < overview.as_of  # A schedule may start a run once a week.
    if last is not None and is_late and overview.as_of - last.ended_at > dt.timedelta(days=1):
        return Headline(CALM, "There was no run in the last 24 hours.", _NO_RUN[1])
    if overview.figure(CONVERSIONS).usual is not None:
        return Headline(GOOD, NOTHING_WRONG)
    rest = overview.ledger.to_send - overview.ledger.arrived
    why = f"Ask {_OPERATOR} why {rest:,} did not arrive." if rest else _NOTHING_TO_DO
    return Headline(CALM, NOTHING_TO_COMPARE, why)


def _of_problem(problem: Problem, overview: Overview) -> Headline:
    said, to_do = about(problem.cause)
    if problem.ledger.until is not None:
        end = words.end_words(problem.ledger.until, overview.as_of.tzinfo)
        to_do = f"{to_do} LiveIntent accepts the first of these conversions until {end}."
    if overview.last_run is None:
        return Headline(CALM, "There has been no run yet.", to_do)
    return Headline(BAD, said, to_do, words.fact_words(problem.cause, overview.as_of))


def cause_lines(overview: Overview, most: int) -> list[str]:
    """Return sentences about each of the first causes: what, since when, and what to do."""
    lines = []
    for problem in overview.causes[:most]:
        cause, zone = problem.cause, overview.as_of.tzinfo
        since = f" (since {words.moment(cause.since, zone)})" if cause.since else ""
        said = " ".join(words.cause_words(cause, overview.as_of).rstrip(".").split())
        rest = words.kept_back(problem.ledger, zone)
        kept = f" Because of it, {rest}." if rest else ""
        command, trace = command_for(cause), trace_command(problem)
        example = f" An example: `{trace}`." if trace else ""
        shown = f" Command: `{command}`." if command else ""
        what = words.what_to_do_about(cause)
        lines.append(f"{said}{since}.{kept} {what}".rstrip() + shown + example)
    if hidden := len(overview.causes[most:]):
        lines.append(f"And {counted(hidden, 'more finding')}: report --format=json lists all.")
    return lines


def health_line(overview: Overview) -> str:
    """Return a line that says whether everything is normal, or what is not, and since when."""
    last = overview.last_run
    if overview.causes or last is None:
        return " ".join(cause_lines(overview, 2))
    ended = f"The last run ended at {words.moment(last.ended_at, overview.as_of.tzinfo)}."
    return f"{headline_of(overview).said} {ended} {sentence(overview)}"


def change_in_a_week(figure: Compared) -> str:
    """Return how a figure has changed since a week ago: "+5 %" or "+3"; "-" if unknown."""
    now, before = figure.now, figure.week_ago
    if now is None or before is None:
        return "-"
    if figure.kind.is_share:
        # Both are shown as whole percents, so their difference must fit these.
        return f"{_signed(round(100 * float(now)) - round(100 * float(before)))} points"
    if not figure.kind.of_currency and before < _FEW:
        return _signed(int(now) - int(before))
    return f"{_signed(round(100 * (float(now) / float(before) - 1)))} %" if before > 0 else "-"


def _signed(number: int) -> str:
    return f"{number:+,d}" if number else "0"

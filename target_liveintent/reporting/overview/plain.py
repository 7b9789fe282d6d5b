"""Says what happened in plain words, for those who read the page but do not run the program."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from target_liveintent.conversions import WINDOWS
from target_liveintent.reporting.run_report.tally import FIELDS
from target_liveintent.run import counted

OPERATOR = "the person who runs the pipeline"
_TOO_OLD = "event_too_old"
_TAKEN_FOR = dt.timedelta(seconds=WINDOWS["web"])
_TAKEN_WORDS = (
    f"{WINDOWS['web'] // 86_400} days ({WINDOWS['offline'] // 86_400} days for offline ones)"
)


class PlainReason(NamedTuple):
    """What is wrong with conversions that were not sent, and a sentence about what to do."""

    words: str
    what_to_do: str


REASONS = {
    "missing_event_time": PlainReason("no time", "Supply the time as `event_time`."),
    "invalid_event_time": PlainReason(
        "a time that cannot be read", "Supply `event_time` in the form 2026-11-26T05:17:00Z."
    ),
    _TOO_OLD: PlainReason(
        "older than LiveIntent accepts",
        f"LiveIntent accepts only conversions of the last {_TAKEN_WORDS}, so send conversions"
        " earlier.",
    ),
    "event_in_future": PlainReason(
        "a time in the future",
        "Check whether `event_time` is the time of the conversion, and whether `timezone` is"
        " correct.",
    ),
    "no_identity": PlainReason(
        "neither an e-mail address nor a decision ID",
        "Guests often have neither; if you supply the URL of the page as `source_url`, this URL"
        " contains the decision ID of each buyer who came from a click in an e-mail.",
    ),
    "invalid_source": PlainReason(
        "no valid source (`web`, `app` or `offline`)",
        "Supply the source as `source`, or set `default_source`.",
    ),
    "invalid_pixel_id": PlainReason("no valid pixel ID", "Set `pixel_id`."),
    "missing_key": PlainReason("no ID of the conversion", "Supply the ID as `event_id`."),
    "mapping_failed": PlainReason(
        "a stream map failed", f"Ask {OPERATOR} to fix the map and to load the rows again."
    ),
    "schema_violation": PlainReason(
        "not in the form that the schema of the source describes",
        f"Ask {OPERATOR} to look at the source.",
    ),
    "refused_by_api": PlainReason(
        "refused by LiveIntent",
        "Ask your account manager at LiveIntent what is wrong with these conversions.",
    ),
    "not_processed": PlainReason(
        "not processed by LiveIntent",
        f"Ask {OPERATOR} to send these conversions again (the command `replay`).",
    ),
    "api_error": PlainReason(
        "LiveIntent failed on these conversions",
        f"Ask {OPERATOR} whether to send these conversions again (the command `replay`).",
    ),
    "unconfirmed": PlainReason(
        "LiveIntent did not confirm these conversions",
        f"Ask {OPERATOR} whether to send these conversions again (the command `replay`).",
    ),
    "other_account": PlainReason(
        "of another account or pixel",
        f"Ask {OPERATOR} to send these conversions to that account or pixel (the command"
        " `replay`).",
    ),
}
"""For each reason of which there are dead letters."""

_UNUSUAL = {
    "conversions": (
        "Fewer than half of the usual conversions of {stream} were sent in the last 24 hours. If"
        f" your shop sold as much as usual, ask {OPERATOR} to look for the missing conversions."
    ),
    "average_value": (
        "The average value {subject} of {stream} is at least ten times the usual value, or at most"
        f" a tenth of it. Ask {OPERATOR} soon whether the values now come in another unit, such as"
        " cents. Nobody can take back the values that LiveIntent already has."
    ),
    "coverage": (
        "Fewer conversions of {stream} than usual have the column {subject}."
        f" Ask {OPERATOR} whether your shop still supplies this column."
    ),
    "new_reason": (
        "Some records of {stream} were not sent for a reason that has never occurred before:"
        " {subject}."
    ),
    "late": (
        "In the last 24 hours, no conversion of {stream} was sent within an hour after it happened."
        f" Ask {OPERATOR} whether conversions are now sent less often."
    ),
}
"""What a rule of what is unusual has found."""


def unusual(rule: str, stream: str, subject: str) -> str:
    """Return what a rule has found; empty for a rule of another version."""
    if rule == "average_value":
        subject = f"in {subject}" if subject else "without a currency"
    elif rule == "new_reason":
        meaning = f"{REASONS[subject].words} " if subject in REASONS else ""
        subject = f"{meaning}(`{subject}`)"
    elif subject in {"md5", "sha2"}:  # Nearly always both: then, it is said once.
        subject = "`md5` or `sha2` (hashes, which are coded forms of the e-mail address)"
    elif subject in FIELDS:
        subject = f"`{subject}` ({FIELDS[subject]})"
    return _UNUSUAL.get(rule, "").format(stream=f"`{stream}`", subject=subject)


_DOWN = (
    "LiveIntent could not be reached, or its API did not work",
    f"If this lasts for hours, tell {OPERATOR}.",
)
_FAILURES = (
    (
        "the API denied access",
        "LiveIntent refused the access key (token)",
        f"Ask {OPERATOR} to renew the token.",
    ),
    ("the API accepted nothing", *_DOWN),
    ("the run was stopped during an outage of the API", *_DOWN),
    (
        "the API refused",
        "LiveIntent refused every conversion",
        f"Ask {OPERATOR} to check the pixel and the customer ID.",
    ),
)
"""How the message of a failed run begins, what happened, and who does what."""


def failure(  # noqa: PLR0913, PLR0917 (what is said of a failure)
    message: str | None, runs: int, sent: int, since: dt.datetime, now: dt.datetime, of: str = ""
) -> str:
    """Return what it means that runs failed one after the other, and what to do.

    Args:
        message: What the last of them says.
        runs: How many they are.
        sent: How many conversions they sent in spite of it.
        since: When the first of them ended.
        now: The moment, in the zone in which times are said.
        of: " of " and the streams, if those of others are sent well.
    """
    why, what_to_do = "the program ended with an error", f"Ask {OPERATOR} to find the cause."
    for start, *words in _FAILURES:
        if (message or "").startswith(start):
            why, what_to_do = words
    if sent:
        failed = (
            f"The last run{of} failed"
            if runs == 1
            else f"The last {runs:,} runs{of} failed, the first"
        )
        part = f"and sent only {counted(sent, 'conversion')}"
        before = f"{failed} at {time_words(since, now)}, {part}"
    else:
        before = f"Regular runs have sent nothing{of} since {time_words(since, now)}"
    return f"{before}: {why}. {what_to_do} {what_waits(since, now)}"


def silence(since: dt.datetime, now: dt.datetime) -> str:
    """Return what it means that no run comes any more, and what to do."""
    return (
        f"Regular runs have sent nothing since {time_words(since, now)}, because there was no"
        f" run. Ask {OPERATOR} whether the schedule still starts the runs."
        f" {what_waits(since, now)}"
    )


def what_waits(since: dt.datetime, now: dt.datetime) -> str:
    """Return whether anything is lost that could not be sent since a moment.

    STATE covers what was delivered only, so the next run reads the rest again.
    """
    last = (since + _TAKEN_FOR).astimezone(now.tzinfo)
    if now >= last:
        return (
            f"Conversions that are older than {_TAKEN_WORDS} are lost, because LiveIntent"
            " no longer accepts them."
        )
    return (
        "The first run that succeeds sends the conversions that are waiting. LiveIntent accepts"
        f" a conversion for {_TAKEN_WORDS}, so no waiting conversion is lost before {last.day}"
        f" {last:%B}."
    )


def what_is_kept(reasons: Collection[str], now: dt.datetime) -> str:
    """Return whether conversions are lost that could not be sent for some reasons.

    Args:
        reasons: The reasons, at least one.
        now: The moment, in the zone in which days are said.
    """
    kept = (
        "Is anything lost? The program keeps each of these conversions as a dead letter, in"
        f" a file of {OPERATOR}. LiveIntent accepts a conversion for {_TAKEN_WORDS}"
    )
    if set(reasons) == {_TOO_OLD}:
        return f"{kept}, so these conversions are too late."
    last = now + _TAKEN_FOR
    return (
        f"{kept}, so a conversion of today can be sent until {last.day} {last:%B}. Ask {OPERATOR}"
        " to fix the cause and to send these conversions again. Conversions that are too old for"
        " LiveIntent are lost."
    )


def time_words(at: dt.datetime, now: dt.datetime) -> str:
    """Return a moment of the last 91 days: "16:05 UTC today"."""
    local = at.astimezone(now.tzinfo)
    back = (now.date() - local.date()).days
    day = {0: "today", 1: "yesterday"}.get(back, f"on {local.day} {local:%B}")
    return f"{local:%H:%M %Z} {day}"

"""The Conversions API's contract: what a request is, and what each answer to it means.

    POST {api_url}/conversions/{customer_id}      Authorization: Bearer {token}
    [event, …]                                    1 to 100 events, a JSON array

`MEANINGS` says what each answer means. LiveIntent's guide describes the request and the refusal of
whole batches; a CDP vendor's documentation describes 204 and 200. All other meanings are inferred
from sister APIs.
"""

from __future__ import annotations

import email.utils
import enum
import html
import re
import time
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from target_liveintent import errors
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.settings import DeliverySettings, PartialAnswer

_MAX_DETAIL_CHARACTERS = 500  # The text of a refusal is cut to this length.


class Verdict(enum.Enum):
    """What an answer means for the events that were sent; `MEANINGS` describes each member."""

    ACCEPTED = enum.auto()
    PARTLY = enum.auto()
    UNCONFIRMED = enum.auto()
    REFUSED = enum.auto()
    TOO_LARGE = enum.auto()
    DENIED = enum.auto()
    ROTATED = enum.auto()
    LIMITED = enum.auto()
    STARVED = enum.auto()
    FAULT = enum.auto()
    UNKNOWN = enum.auto()
    UNREACHABLE = enum.auto()


class Meaning(NamedTuple):
    """What an answer means, in words for the documentation."""

    answer: str  # The answer, or what happened instead of one.
    words: str
    statuses: Collection[int] = ()  # The HTTP statuses that have this verdict.


MEANINGS = {
    Verdict.ACCEPTED: Meaning(
        "204",
        "The API processed every event. With `partial_answer: processed`, a 200 that names all"
        " events means the same.",
        [204],
    ),
    Verdict.PARTLY: Meaning(
        "200 that names some of the events",
        "The API processed the other events, or with `partial_answer: processed` the named ones."
        " The body is a JSON array of strings. We assume that they are the IDs of the events that"
        " failed.",
    ),
    Verdict.UNCONFIRMED: Meaning(
        "any other 200",
        "The API processed some of the events. It is unknown which ones. With `partial_answer:"
        " unknown`, each 200 means this.",
        [200],
    ),
    Verdict.REFUSED: Meaning(
        "400 or 422", "The API processed nothing because of at least one event.", [400, 422]
    ),
    Verdict.TOO_LARGE: Meaning(
        "413", "The API, or a proxy, processed nothing because the request is too large.", [413]
    ),
    Verdict.DENIED: Meaning(
        "401 or 403",
        "The token or the customer ID is wrong, or the token was rotated. The file of"
        " `auth_token_path` is read again.",
        [401, 403],
    ),
    Verdict.ROTATED: Meaning(
        "401 or 403, and the file of `auth_token_path` has a new token", "The token was rotated."
    ),
    Verdict.LIMITED: Meaning(
        "408, 425, 429, 503, or no answer in time",
        "There are too many requests at once. The events are sent again, not before `Retry-After`.",
        [408, 425, 429, 503],
    ),
    Verdict.STARVED: Meaning(
        "no file descriptor is left, or the run was suspended",
        "This machine could not make the request. The events are sent again.",
    ),
    Verdict.FAULT: Meaning(
        "any other 5xx, no connection, or an answer that is not HTTP",
        "Something failed at the API or on the way. The events are sent again, not before"
        " `Retry-After`.",
        {*range(500, 600)} - {503},
    ),
    Verdict.UNKNOWN: Meaning("any other status", "The answer is not in the API's contract."),
    Verdict.UNREACHABLE: Meaning(
        "a certificate, a proxy or plain http prevents the first connection",
        "Somebody must first correct a setting: the certificates, the proxy or `api_url`.",
    ),
}
"""The answers that each verdict stands for, and what they mean."""
_VERDICTS = {status: verdict for verdict, one in MEANINGS.items() for status in one.statuses}
# The faults: the same events are sent again. After any other verdict, there is no outage.
REPEATED = {Verdict.FAULT, Verdict.LIMITED, Verdict.STARVED}
REFUSALS = {Verdict.REFUSED, Verdict.TOO_LARGE}  # Nothing of the request was processed.


class Answer(msgspec.Struct, frozen=True):
    """The answer to one POST, or what happened instead of an answer."""

    verdict: Verdict
    detail: str  # One line for people, without addresses and without the token.
    status: int | None = None  # None if there was no answer.
    retry_after: float = 0.0  # Seconds that the API asks to wait before the events are sent again.
    not_processed: frozenset[str] = frozenset()  # After a 200: the IDs of the events that failed.

    @property
    def is_throttled(self) -> bool:
        """Whether the API answered that requests come too fast; this says little about events."""
        return self.verdict is Verdict.LIMITED and self.status is not None


# For each header that says when a limit is reset, the header that says how many requests the
# limit has left.
_RESET_HEADERS = {
    "ratelimit": "ratelimit",
    "ratelimit-reset": "ratelimit-remaining",
    "x-ratelimit-reset": "x-ratelimit-remaining",
}
_RESET = re.compile(r"(?:^\s*|\b(?:t|reset)=)(\d+)(?![\d-])")
"""Matches the number that says when a limit is reset; `RESET_UNITS` says what the number means. The
number is alone in its header, or in a header `RateLimit`, as an older or a newer version of an IETF
draft has it (draft-ietf-httpapi-ratelimit-headers). A date such as 2026-11-29 does not match."""
_LIMIT_SEPARATOR = re.compile(r',(?=\s*")')  # The newer `RateLimit` lists limits with names.
_REQUESTS_LEFT = re.compile(r"(?:^\s*|\b(?:r|remaining)=)0*[1-9]")


class ResetUnit(NamedTuple):
    """A unit of the numbers in headers that say when a limit is reset.

    Numbers from `smallest` on have this unit, up to the smallest number of the next unit.
    """

    smallest: float
    per_second: int
    is_unix_time: bool  # Otherwise, the number counts from now.


RESET_UNITS = (
    ResetUnit(0, 1, is_unix_time=False),  # The draft of the IETF: up to an hour.
    ResetUnit(3_601, 1_000, is_unix_time=False),
    ResetUnit(1_000_000_000, 1, is_unix_time=True),  # GitHub, GitLab: from the year 2001 on.
    ResetUnit(100_000_000_000, 1_000, is_unix_time=True),  # Rocket.Chat: up to the year 5138.
    ResetUnit(100_000_000_000_000, 1_000_000, is_unix_time=True),
)
"""The units, from small to large numbers. No standard says which unit `X-RateLimit-Reset` has. Few
limits are reset after more than an hour, so a number above 3,600 is taken as milliseconds."""
_LONGEST_RESET_RATIO = 0.2
"""A run waits for a reset for at most this share of `max_retry_seconds`. So a wrong unit or a wrong
clock does not use up all of this time."""


def retry_after_seconds(status: int, headers: Mapping[str, str], longest: float) -> float:
    """Return how many seconds an answer asks to wait before a retry; 0 if it does not ask.

    The header `Retry-After` has these seconds. Without this header, an answer that requests come
    too fast (408, 425, 429, 503) may say when a limit is reset. The API may accept requests
    earlier, so this wait is at most a fifth of `longest` seconds. Many APIs send such headers with
    all answers. So a limit that has requests left is ignored: it did not cause the answer.
    """
    if value := headers.get("retry-after", "").strip():
        asked_seconds = _seconds(value)
        if asked_seconds is not None:
            return asked_seconds
    if _VERDICTS.get(status) is not Verdict.LIMITED:
        return 0.0
    for reset_header, left_header in _RESET_HEADERS.items():
        if waits := _seconds_to_resets(headers, reset_header, left_header):
            return min(max(0.0, *waits), longest * _LONGEST_RESET_RATIO)
    return 0.0


def _seconds_to_resets(
    headers: Mapping[str, str], reset_header: str, left_header: str
) -> list[float]:
    """Return, for each limit that has no requests left, the seconds until its reset."""
    limits = _LIMIT_SEPARATOR.split(headers.get(reset_header, ""))
    lefts = limits if left_header == reset_header else [headers.get(left_header, "")]
    used_up = [
        limit for limit, left in zip(limits, lefts, strict=False) if not _REQUESTS_LEFT.search(left)
    ]
    resets = [_RESET.search(limit) for limit in used_up]
    return [_seconds_to_reset(float(reset[1])) for reset in resets if reset]


def _seconds_to_reset(number: float) -> float:
    unit = next(unit for unit in reversed(RESET_UNITS) if number >= unit.smallest)
    seconds = number / unit.per_second
    return seconds - time.time() if unit.is_unix_time else seconds


def _seconds(value: str) -> float | None:
    """Return the seconds that a `Retry-After` (a number or a date) asks to wait, or None."""
    try:
        if value.isascii() and value.isdigit():
            return float(int(value))
        until = email.utils.mktime_tz(email.utils.parsedate_tz(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, until - time.time())


def answer_of(
    status: int,
    body: bytes,
    event_ids: Iterable[str],
    retry_after: float = 0.0,
    partial_answer: PartialAnswer = "failed",
) -> Answer:
    """Return what an HTTP answer to these events means, whatever its body contains.

    `partial_answer` says what the strings in the body of a 200 name: see `Settings`.
    """
    verdict = _VERDICTS.get(status, Verdict.UNKNOWN)
    detail = f"HTTP {status}"
    if verdict is Verdict.UNCONFIRMED and partial_answer != "unknown":
        return _answer_to_part(status, body, frozenset(event_ids), partial_answer)
    if verdict in REFUSALS and (said := _detail(body)):
        detail = f"{detail}: {said}"
    return Answer(verdict, detail, status, retry_after if verdict in REPEATED else 0.0)


def _answer_to_part(
    status: int, body: bytes, sent: frozenset[str], partial_answer: PartialAnswer
) -> Answer:
    """Return what a 200 means: its body may name some of the events that were sent."""
    detail = f"HTTP {status}"
    try:
        named = frozenset(msgspec.json.decode(body, type=list[str]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        named = frozenset()
    if not named or not named <= sent:
        return Answer(Verdict.UNCONFIRMED, detail, status)
    failed = sent - named if partial_answer == "processed" else named
    if not failed:
        return Answer(Verdict.ACCEPTED, detail, status)
    if failed == sent:
        return Answer(Verdict.UNCONFIRMED, detail, status)
    return Answer(Verdict.PARTLY, detail, status, not_processed=failed)


def _detail(body: bytes) -> str:
    """Return the text of a refusal, in one line and without secrets or addresses."""
    text = body.decode(errors="replace")
    try:
        said = msgspec.json.decode(text)
        text = msgspec.json.encode(said).decode()  # Escapes could hide an address.
        text = "; ".join(str(error["message"]) for error in said["errors"])
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError, RecursionError):
        pass  # The format is not documented. This is the format of sister APIs.
    return without_secrets(" ".join(html.unescape(text).split()))[:_MAX_DETAIL_CHARACTERS]


# The exceptions with which delivery ends a run


def ended_by(answer: Answer, settings: DeliverySettings, *, accepted: bool) -> errors.DeliveryError:
    """Return the error for an answer that ends a run.

    `accepted` says whether the API accepted an event of the run before.
    """
    if answer.verdict is Verdict.UNREACHABLE:
        return errors.SetUpError(_failure(FailureCode.UNREACHABLE, answer, settings))
    if answer.verdict is not Verdict.DENIED:
        return errors.DeliveryError(_failure(FailureCode.UNEXPECTED_ANSWER, answer, settings))
    # A firewall may answer 403 in the middle of a run; a token that was rotated gets 401.
    is_lost = accepted and answer.status == HTTPStatus.FORBIDDEN
    code = FailureCode.ACCESS_LOST if is_lost else FailureCode.ACCESS_DENIED
    return errors.AccessDeniedError(_failure(code, answer, settings))


def outage(answer: Answer, settings: DeliverySettings) -> errors.OutageError:
    """Return the error that ends a run in an outage.

    Either the API accepted nothing for `max_retry_seconds`, or it asks to wait longer than that.
    """
    is_long_wait = answer.retry_after > settings.max_retry_seconds
    code = FailureCode.LONG_WAIT if is_long_wait else FailureCode.OUTAGE
    return errors.OutageError(_failure(code, answer, settings))


def stopped(last_fault: Answer | None) -> errors.DeliveryError:
    """Return the error of a run that was stopped; `last_fault` is the last answer in an outage."""
    if last_fault is None:
        return errors.DeliveryError(Failure(FailureCode.STOPPED))
    status, detail = last_fault.status, last_fault.detail
    return errors.DeliveryError(
        Failure.of(FailureCode.STOPPED_IN_OUTAGE, status=status, detail=detail)
    )


def all_refused(requests: int, detail: str) -> errors.AllRefusedError:
    """Return the error that ends a run after this many refused requests in a row.

    `detail` is the text of the last refusal.
    """
    return errors.AllRefusedError(
        Failure.of(FailureCode.ALL_REFUSED, requests=requests, detail=detail)
    )


def _failure(code: FailureCode, answer: Answer, settings: DeliverySettings) -> Failure:
    return Failure.of(
        code,
        status=answer.status,
        detail=answer.detail,
        retry_after_seconds=answer.retry_after,
        max_retry_seconds=settings.max_retry_seconds,
        api_url=settings.api_url,
        customer_id=settings.customer_id,
    )

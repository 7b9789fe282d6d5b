"""The Conversions API's contract: what a request is, and what each answer to it means.

    POST {api_url}/conversions/{customer_id}      Authorization: Bearer {token}
    [event, …]                                    1 to 100 events, a JSON array

    204            every event was processed
    200            a part was processed; the body is an array of strings (inferred: the event IDs
                   of what was not)
    400 413 422    the whole batch is refused because of at least one event
    401 403        the token or the customer ID is wrong, or the token was rotated: a token file
                   is read once more
    408 425 429 503, no answer in time    too much at once: try again, not before `Retry-After`
    other 5xx, connection failed          a fault: try again, not before `Retry-After`

Source: LiveIntent's guide for the request and the refusal of whole batches, a CDP vendor's
documentation for 204 and 200; the rest is inferred from sister APIs. Any other answer is unknown
and ends the run.
"""

from __future__ import annotations

import email.utils
import enum
import html
import re
import time
from collections.abc import Iterable
from email.message import Message
from http import HTTPStatus

import msgspec

from target_liveintent import errors
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.settings import Settings

_MAX_DETAIL = 500  # How many characters of a refusal's text are kept.


class Verdict(enum.Enum):
    """What an answer means for the events that were sent."""

    ACCEPTED = enum.auto()  # Every event was processed.
    PARTLY = enum.auto()  # Every event was processed but those that the body names.
    UNCONFIRMED = enum.auto()  # An unknown part was processed: a 200 with any other body.
    REFUSED = enum.auto()  # Nothing was processed because of at least one event.
    DENIED = enum.auto()  # The token or the customer ID is wrong.
    ROTATED = enum.auto()  # Denied, but the token's file has another one: send again at once.
    LIMITED = enum.auto()  # It came too fast, or there are too many at once: try again later.
    STARVED = enum.auto()  # This machine has no file descriptor for it: try again later.
    FAULT = enum.auto()  # Something went wrong at the API or on the way: try again later.
    UNKNOWN = enum.auto()  # Not in the contract.
    UNREACHABLE = enum.auto()  # No answer: a certificate or a proxy must be set right first.


_VERDICTS = {
    204: Verdict.ACCEPTED,
    200: Verdict.UNCONFIRMED,  # Unless its body says more: see `judge`.
    **dict.fromkeys((400, 413, 422), Verdict.REFUSED),
    **dict.fromkeys((401, 403), Verdict.DENIED),
    **dict.fromkeys(range(500, 600), Verdict.FAULT),
    **dict.fromkeys((408, 425, 429, 503), Verdict.LIMITED),
}
# After these, the same events are sent again later. All others show that the API works.
REPEATED = {Verdict.FAULT, Verdict.LIMITED, Verdict.STARVED}


class Answer(msgspec.Struct, frozen=True):
    """What came back for one POST."""

    verdict: Verdict
    detail: str  # One line for people, without addresses and without the token.
    status: int | None = None  # None if there was no answer.
    retry_after: float = 0.0  # Seconds that the API asks to wait before the events are sent again.
    not_processed: frozenset[str] = frozenset()  # The event IDs that a 200 names.

    @property
    def is_throttled(self) -> bool:
        """Whether the API answered that requests come too fast, so that no event is at fault."""
        return self.verdict is Verdict.LIMITED and self.status is not None


# A header that says when a limit begins anew, and the one that says how many requests it has left.
_RESETS = {
    "RateLimit": "RateLimit",
    "RateLimit-Reset": "RateLimit-Remaining",
    "X-RateLimit-Reset": "X-RateLimit-Remaining",
}
_RESET = re.compile(r"(?:^\s*|\b(?:t|reset)=)(\d+)(?![\d-])")
"""In how many seconds, or at which Unix time: alone, or in the header `RateLimit` of a draft of the
IETF (draft-ietf-httpapi-ratelimit-headers), which changed its form. (A date such as 2026-11-29 is
neither.)"""
_LIMIT = re.compile(r',(?=\s*")')  # Its newer form has a list of limits, each with its name.
_LEFT = re.compile(r"(?:^\s*|\b(?:r|remaining)=)0*[1-9]")
_EARLIEST_TIME = 1_000_000_000  # From here on, a reset is a Unix time, and no number of seconds.


def seconds_to_wait(status: int, headers: Message, longest: float) -> float:
    """Return the seconds that an answer asks to wait.

    `Retry-After` says so. Where it is absent, an answer for a limit (429, 503, …) may say when the
    limit begins anew, at most `longest`, as the API may take requests before. APIs say this in all
    of their answers: one that has requests left was not given because of the limit.
    """
    if (value := headers.get("Retry-After", "").strip()) and (asked := _seconds(value)) is not None:
        return asked
    if _VERDICTS.get(status) is Verdict.LIMITED:
        for name, left in _RESETS.items():
            limits = _LIMIT.split(headers.get(name, ""))
            lefts = limits if left == name else [headers.get(left, "")]
            found = [
                _RESET.search(limit)
                for limit, rest in zip(limits, lefts, strict=False)
                if not _LEFT.search(rest)
            ]
            if resets := [float(reset[1]) for reset in found if reset]:
                waits = (at - time.time() if at >= _EARLIEST_TIME else at for at in resets)
                return min(max(0.0, *waits), longest)
    return 0.0


def _seconds(value: str) -> float | None:
    """Return the seconds of a `Retry-After`, a number or a date; None if it cannot be read."""
    try:
        if value.isascii() and value.isdigit():
            return float(int(value))
        until = email.utils.mktime_tz(email.utils.parsedate_tz(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, until - time.time())


def judge(status: int, body: bytes, event_ids: Iterable[str], retry_after: float = 0.0) -> Answer:
    """Return what an HTTP answer to these events means; nothing is known of its body."""
    verdict = _VERDICTS.get(status, Verdict.UNKNOWN)
    detail = f"HTTP {status}"
    if verdict is Verdict.UNCONFIRMED and (named := _not_processed(body, event_ids)):
        return Answer(Verdict.PARTLY, detail, status, not_processed=named)
    if verdict is Verdict.REFUSED and (said := _detail(body)):
        detail = f"{detail}: {said}"
    return Answer(verdict, detail, status, retry_after if verdict in REPEATED else 0.0)


def _not_processed(body: bytes, event_ids: Iterable[str]) -> frozenset[str]:
    """Return the event IDs that a 200 names, if they are a proper part of those that were sent."""
    try:
        named = frozenset(msgspec.json.decode(body, type=list[str]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return frozenset()
    return named if named < frozenset(event_ids) else frozenset()


def _detail(body: bytes) -> str:
    """Return what a refusal says, in one line, without what an answer must not leak."""
    text = body.decode(errors="replace")
    try:
        said = msgspec.json.decode(text)
        text = msgspec.json.encode(said).decode()  # Escapes could hide an address.
        text = "; ".join(str(error["message"]) for error in said["errors"])
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError, RecursionError):
        pass  # The format is unknown. Sister APIs have the one that is tried here.
    return without_secrets(" ".join(html.unescape(text).split()))[:_MAX_DETAIL]


# The exceptions with which delivery ends a run


def ended_by(answer: Answer, settings: Settings, *, accepted: bool) -> errors.DeliveryError:
    """Return the error for an answer that ends a run, before or after events were accepted."""
    if answer.verdict is Verdict.UNREACHABLE:
        return errors.SetUpError(_failure(FailureCode.UNREACHABLE, answer, settings))
    if answer.verdict is not Verdict.DENIED:
        return errors.DeliveryError(_failure(FailureCode.UNEXPECTED_ANSWER, answer, settings))
    # A firewall may answer 403 in the middle of a run; a token that was rotated gets 401.
    is_lost = accepted and answer.status == HTTPStatus.FORBIDDEN
    code = FailureCode.ACCESS_LOST if is_lost else FailureCode.ACCESS_DENIED
    return errors.AccessDeniedError(_failure(code, answer, settings))


def outage(answer: Answer, settings: Settings) -> errors.OutageError:
    """Return the error that ends a run if the API accepts nothing for `max_retry_seconds`."""
    is_long_wait = answer.retry_after > settings.max_retry_seconds
    code = FailureCode.LONG_WAIT if is_long_wait else FailureCode.OUTAGE
    return errors.OutageError(_failure(code, answer, settings))


def stopped(last_fault: Answer | None) -> errors.DeliveryError:
    """Return the error that ends a run which was stopped, maybe in an outage with this answer."""
    if last_fault is None:
        return errors.DeliveryError(Failure(FailureCode.STOPPED))
    status, detail = last_fault.status, last_fault.detail
    return errors.DeliveryError(
        Failure.of(FailureCode.STOPPED_IN_OUTAGE, status=status, detail=detail)
    )


def all_refused(requests: int, detail: str) -> errors.AllRefusedError:
    """Return the error that ends a run after so many refusals in a row, the last with `detail`."""
    return errors.AllRefusedError(
        Failure.of(FailureCode.ALL_REFUSED, requests=requests, detail=detail)
    )


def _failure(code: FailureCode, answer: Answer, settings: Settings) -> Failure:
    return Failure.of(
        code,
        status=answer.status,
        detail=answer.detail,
        retry_after_seconds=answer.retry_after,
        max_retry_seconds=settings.max_retry_seconds,
        api_url=settings.api_url,
        customer_id=settings.customer_id,
    )

"""The exceptions with which delivery ends a run, and their messages."""

from __future__ import annotations

from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.faults import MORE_DESCRIPTORS
from target_liveintent.errors import (
    AccessDeniedError,
    AllRefusedError,
    DeliveryError,
    OutageError,
    SetUpError,
)
from target_liveintent.settings import Settings

_LATER = "The next run sends the events that were not delivered"
_SLOWER = (
    "The API is limiting the rate. The next run sends the events that were not delivered. If"
    " LiveIntent has told you a limit, set max_requests_per_minute to that value"
)


def access_denied(answer: Answer, settings: Settings) -> AccessDeniedError:
    """Return the end of a run whose token or customer ID is wrong."""
    if settings.auth_token_path is None:
        advice = "Ask your account manager for the current auth_token"
    else:
        advice = (
            "The run has read the file of auth_token_path again, and the file still contains"
            " this token. Ask your account manager for the current token"
        )
    msg = (
        f"the API denied access ({answer.detail}). The token may have been rotated, or may belong"
        f" to another customer_id. {advice}"
    )
    return AccessDeniedError(msg + _where(settings))


def unreachable(answer: Answer, settings: Settings) -> SetUpError:
    """Return the end of a run to which a certificate or a proxy stands in the way."""
    return SetUpError(answer.detail + _where(settings))


def unknown_answer(answer: Answer, settings: Settings) -> DeliveryError:
    """Return the end of a run that got an answer which the API is not known to give."""
    msg = f"the API gave an unexpected answer: {answer.detail}. Check api_url and customer_id"
    return DeliveryError(msg + _where(settings))


def outage(answer: Answer, asked: Answer | None, settings: Settings) -> OutageError:
    """Return the end of a run of which the API accepted nothing for `max_retry_seconds`.

    Args:
        answer: The last answer.
        asked: The last answer of that time with a `Retry-After`, if there was one.
        settings: The settings.
    """
    msg = (
        f"the API accepted nothing for {settings.max_retry_seconds} seconds (max_retry_seconds):"
        f" {answer.in_words}"
    )
    if asked is not None and not answer.retry_after:
        msg += f"; before that, {asked.in_words}"
    if answer.verdict is Verdict.STARVED:
        return OutageError(f"{msg}. {MORE_DESCRIPTORS}")
    advice = _SLOWER if answer.is_throttled else _LATER
    return OutageError(f"{msg}{_where(settings)}. {advice}")


def stopped(last_fault: Answer | None, settings: Settings) -> DeliveryError:
    """Return the end of a run that was stopped before everything was sent.

    Args:
        last_fault: The last answer, if the API accepted nothing since then.
        settings: The settings.
    """
    if last_fault is None:
        msg = "the run was stopped"
        return DeliveryError(msg)
    msg = f"the run was stopped during an outage of the API: {last_fault.in_words}"
    return OutageError(msg + _where(settings))


def all_refused(requests: int, detail: str) -> AllRefusedError:
    """Return the end of a run whose settings are wrong.

    Args:
        requests: How many requests in a row were refused.
        detail: What the API said about the last one.
    """
    msg = refused_as_a_whole(f"the API refused {requests} requests in a row", detail)
    return AllRefusedError(msg)


def refused_as_a_whole(what: str, detail: str) -> str:
    """Return the line that explains why nothing is accepted: what happened, what the API said."""
    cause = "check pixel_id and customer_id"
    if detail.startswith("HTTP 413"):
        cause = (
            "set batch_size_rows to a smaller number, and check whether a proxy refuses large"
            " requests"
        )
    return (
        f"{what} ({detail}). The cause may be in the settings, not in the events: {cause}. The next"
        " run sends all events that were neither delivered nor written as dead letters. If this"
        " run is a replay, it keeps the dead letters that it has not sent"
    )


def _where(settings: Settings) -> str:
    return f" (api_url {settings.api_url}, customer_id {settings.customer_id})"

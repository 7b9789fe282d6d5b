"""Failures as values: a code and its facts, and the one table that makes words of them.

The history stores codes and facts, so that a report can say an old failure in new words. Decisions
depend on the code, and never on the words.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from target_liveintent.reasons import REASONS

Facts = dict[str, str | int | float | bool | None]
"""What is known of a failure, by the names in its words. It holds no personal data and no token."""


class FailureCode(str, enum.Enum):
    """What ended a run. The codes never change, because the history has them."""

    # The exception has a text of its own, which is the fact `text`.
    OTHER = "other"
    CONFIGURATION = "configuration"
    INPUT = "input"
    STORAGE = "storage"
    STREAM_MAPPING = "stream_mapping"
    DELIVERY = "delivery"
    # What the API answered.
    ACCESS_DENIED = "access_denied"
    ACCESS_LOST = "access_lost"
    UNREACHABLE = "unreachable"
    OUTAGE = "outage"
    LONG_WAIT = "long_wait"
    UNEXPECTED_ANSWER = "unexpected_answer"
    ALL_REFUSED = "all_refused"
    REPLAY_REFUSED = "replay_refused"
    # What this program decided.
    TOO_MANY_REJECTED = "too_many_rejected"
    NOTHING_DELIVERED = "nothing_delivered"
    RECORD_REJECTED = "record_rejected"
    # What somebody or something else did.
    STOPPED = "stopped"
    STOPPED_IN_OUTAGE = "stopped_in_outage"
    STOPPED_WHILE_SENDING = "stopped_while_sending"
    STOPPED_WHILE_WAITING = "stopped_while_waiting"
    KILLED = "killed"
    UNEXPECTED = "unexpected"


class Failure(msgspec.Struct, frozen=True):
    """Why a run failed: a code, and the facts that `FAILURE_WORDS` names for it."""

    code: FailureCode
    facts: Facts = {}

    @classmethod
    def of(cls, code: FailureCode, **facts: str | float | bool | None) -> Failure:
        """Return the failure with a code and facts."""
        return cls(code, facts)

    @property
    def words(self) -> str:
        """The failure in words, for the log and the reports.

        It is one line, but a text of the exception's own may have more.
        """
        text = self.facts.get("text")
        return FAILURE_WORDS[self.code](self.facts) if text is None else str(text)


_WHERE = " (api_url {api_url}, customer_id {customer_id})"
_NEW_TOKEN = (
    " Ask your account manager for the current token, and replace that of auth_token, or in the"
    f" file of auth_token_path{_WHERE}"
)
_SENT_LATER = ". The next run sends the events that were not delivered"
_REJECTED = (
    " The most frequent reason is {reason} ({most:,} of them). {advice} If you expect these dead"
    " letters, set max_dead_letter_percent to 100. Then they fail no run."
)


def _record_rejected(facts: Facts) -> str:
    column = f", column {facts['column']}" if facts.get("column") else ""
    detail = f" ({facts['detail']})" if facts.get("detail") else ""
    reason = str(facts["reason"])
    meaning = f" {REASONS[reason].meaning}" if reason in REASONS else ""
    return (
        f"a record of stream '{facts['stream']}' (event ID {facts['event_id']}{column}) was"
        f" rejected as {reason}{detail}, and the run ends because on_rejection is 'fail'.{meaning}"
    )


_TEXT = "{text}".format_map
FAILURE_WORDS: dict[FailureCode, Callable[[Facts], str]] = {
    FailureCode.OTHER: _TEXT,
    FailureCode.CONFIGURATION: _TEXT,
    FailureCode.INPUT: _TEXT,
    FailureCode.STORAGE: _TEXT,
    FailureCode.STREAM_MAPPING: _TEXT,
    FailureCode.DELIVERY: _TEXT,
    FailureCode.ACCESS_DENIED: (
        "the API denied access ({detail}). The token may have been rotated, or may belong to"
        f" another customer_id.{_NEW_TOKEN}"
    ).format_map,
    FailureCode.ACCESS_LOST: (
        "the API denied access ({detail}) after it had accepted events. A firewall or a limit may"
        " have stopped the run: run again later. If the API then denies access at once, the token"
        f" may have been rotated.{_NEW_TOKEN}"
    ).format_map,
    FailureCode.UNREACHABLE: f"{{detail}}{_WHERE}".format_map,
    FailureCode.OUTAGE: (
        "the API accepted nothing for {max_retry_seconds} seconds (max_retry_seconds): {detail}"
        f"{_WHERE}{_SENT_LATER}"
    ).format_map,
    FailureCode.LONG_WAIT: (
        "the API asks to wait for {retry_after_seconds:.0f} seconds; max_retry_seconds is"
        f" {{max_retry_seconds}}: {{detail}}{_WHERE}{_SENT_LATER}"
    ).format_map,
    FailureCode.UNEXPECTED_ANSWER: (
        f"the API gave an unexpected answer: {{detail}}. Check api_url and customer_id{_WHERE}"
    ).format_map,
    FailureCode.ALL_REFUSED: (
        "the API refused {requests} requests in a row ({detail}). The cause may be in the settings,"
        " not in the events: check pixel_id and customer_id; after HTTP 413, set batch_size_rows to"
        " a smaller number. The next run sends all events that were neither delivered nor written"
        " as dead letters. If this run is a replay, it keeps the dead letters that it has not sent"
    ).format_map,
    FailureCode.REPLAY_REFUSED: (
        "the API accepted nothing of the replay, and refused {events} events for the first time. So"
        " the cause may be in the settings: check pixel_id and customer_id. The dead letters are"
        " still in the store"
    ).format_map,
    FailureCode.TOO_MANY_REJECTED: (
        "{count} of {records} records became dead letters, which is more than"
        f" max_dead_letter_percent ({{percent}}) allows.{_REJECTED}"
    ).format_map,
    FailureCode.NOTHING_DELIVERED: (
        f"nothing was delivered, and {{count}} records became dead letters.{_REJECTED}"
    ).format_map,
    FailureCode.RECORD_REJECTED: _record_rejected,
    FailureCode.STOPPED: "the run was stopped".format_map,
    FailureCode.STOPPED_IN_OUTAGE: (
        "the run was stopped during an outage of the API: {detail}"
    ).format_map,
    FailureCode.STOPPED_WHILE_SENDING: (
        "the run was stopped while it was still sending batches ({batches})"
    ).format_map,
    FailureCode.STOPPED_WHILE_WAITING: (
        "the run was stopped while it was waiting for run {other_run_id}, which is sending the same"
        " events ({events}) and has reserved them in the store"
    ).format_map,
    FailureCode.KILLED: "the run was killed, or the machine was switched off".format_map,
    FailureCode.UNEXPECTED: "the run ended with an unexpected {exception}".format_map,
}
"""Makes the words for each code from its facts: mostly a text with their names in braces.

If you change the facts of a code, increase `FORMAT` in reporting/history.py."""

"""The failures of runs as values, and the words that describe a failure.

A failure has a code and facts. The history stores both, but no words. So a newer version can
describe an old failure in other words. The program makes decisions by the code, never by the words.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from target_liveintent.reasons import REASONS
from target_liveintent.remarks import UnusableCause

Facts = dict[str, str | int | float | bool | None]
"""The values that appear in the words of a failure, by name. No value is personal data or the
token."""


class FailureCode(str, enum.Enum):
    """The reason why a run failed. A code never changes, because stored histories contain it."""

    # The code that raises the exception writes the words. They are in the fact `text`.
    OTHER = "other"
    CONFIGURATION = "configuration"
    INPUT = "input"
    STORAGE = "storage"
    STREAM_MAPPING = "stream_mapping"
    DELIVERY = "delivery"
    # The API, or the connection to the API, is the cause.
    ACCESS_DENIED = "access_denied"
    ACCESS_LOST = "access_lost"
    UNREACHABLE = "unreachable"
    OUTAGE = "outage"
    LONG_WAIT = "long_wait"
    UNEXPECTED_ANSWER = "unexpected_answer"
    ALL_REFUSED = "all_refused"
    REPLAY_REFUSED = "replay_refused"
    WRITE_REFUSED = "write_refused"
    # Records could not be sent, or rows were not written.
    TOO_MANY_REJECTED = "too_many_rejected"
    NOTHING_DELIVERED = "nothing_delivered"
    RECORD_REJECTED = "record_rejected"
    TASKS_FAILED = "tasks_failed"
    ROWS_NOT_KEPT = "rows_not_kept"
    # The system, a signal or a mistake in the program is the cause.
    NO_THREAD = "no_thread"
    STOPPED = "stopped"
    STOPPED_IN_OUTAGE = "stopped_in_outage"
    STOPPED_WHILE_SENDING = "stopped_while_sending"
    STOPPED_WHILE_WAITING = "stopped_while_waiting"
    KILLED = "killed"
    UNEXPECTED = "unexpected"


class CauseHint(msgspec.Struct, frozen=True):
    """The probable cause of rejections in a stream. `code` is a key of `HINTS`.

    Attributes:
        code: The kind of the cause.
        stream: The name of the stream.
        causes: Why values of `source` cannot be used; empty unless the code is `other_sources`.
    """

    code: str
    stream: str
    causes: tuple[UnusableCause, ...] = ()

    @property
    def words(self) -> str:
        """The hint as a sentence."""
        causes = ", ".join(cause.words for cause in self.causes)
        return HINTS[self.code].format(stream=self.stream, causes=causes)

    def redacted(self, redact: Callable[[str], str]) -> CauseHint:
        """Return the hint, with `redact` applied to the texts that came from the input."""
        causes = [cause._replace(fact=redact(cause.fact)) for cause in self.causes]
        return CauseHint(self.code, redact(self.stream), tuple(causes))


HINTS = {
    "no_address_mapped": "No e-mail address is mapped in stream {stream}: map email, md5 or sha2.",
    "guest_orders": "In stream {stream}, these records are usually guest orders. Their source_url"
    " contains no li_did, or its li_did is not a UUID.",
    "other_sources": "Column `source` of stream {stream} contains: {causes}.",
}
"""The sentence for each code of a hint."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run failed.

    Attributes:
        code: The kind of failure.
        facts: The names and numbers that belong to this kind.
        hints: Probable causes of the most frequent rejection, if rejections made the run fail.
    """

    code: FailureCode
    facts: Facts = {}
    hints: tuple[CauseHint, ...] = ()

    @classmethod
    def of(cls, code: FailureCode, **facts: str | float | bool | None) -> Failure:
        """Return the failure with this code and these facts."""
        return cls(code, facts)

    @property
    def words(self) -> str:
        """The failure in words, for the log and the reports.

        The words are one line, unless an exception has its own text of several lines.
        """
        return " ".join([FAILURE_WORDS[self.code](self.facts), *(one.words for one in self.hints)])


_WHERE = " (api_url {api_url}, customer_id {customer_id})"
_NEW_TOKEN = (
    " Ask your account manager for the current token, and write it to auth_token, or to the file of"
    f" auth_token_path{_WHERE}"
)
_SENT_LATER = ". The next run sends the events that were not delivered"


def _record_rejected(facts: Facts) -> str:
    column = f", column {facts['column']}" if facts.get("column") else ""
    detail = f" ({facts['detail']})" if facts.get("detail") else ""
    return (
        f"a record of stream '{facts['stream']}' (event ID {facts['event_id']}{column}) was"
        f" rejected as {facts['reason']}{detail}, and the run ends because on_rejection is 'fail'."
        f"{_meaning(facts['reason'])}"
    )


def _because_of_rejections(beginning: str) -> Callable[[Facts], str]:
    return lambda facts: f"{beginning.format_map(facts)}{_most_frequent(facts)}"


def _most_frequent(facts: Facts) -> str:
    """Return what to do, and the most frequent reason; for Spark, also what was delivered."""
    written = (
        f" The write delivered {facts['delivered']:,} events, and wrote the rejected rows to the"
        " table of outcomes_path."
        if facts.get("delivered") is not None
        else ""
    )
    return (
        f"{written} If you expect these dead letters, set max_dead_letter_percent to 100. Then"
        f" they do not make a run fail. The most frequent reason is {facts['reason']}"
        f" ({facts['most']:,} of {facts['count']:,}).{_meaning(facts['reason'])}"
    )


def _meaning(reason: object) -> str:
    return f" {REASONS[str(reason)].meaning}" if reason in REASONS else ""


_TEMPLATES = {
    FailureCode.OTHER: "{text}",
    FailureCode.CONFIGURATION: "{text}",
    FailureCode.INPUT: "{text}",
    FailureCode.STORAGE: "{text}",
    FailureCode.STREAM_MAPPING: "{text}",
    FailureCode.DELIVERY: "{text}",
    FailureCode.ACCESS_DENIED: "the API denied access ({detail}). The token may have been rotated,"
    f" or may belong to another customer_id.{_NEW_TOKEN}",
    FailureCode.ACCESS_LOST: "the API denied access ({detail}) after it had accepted events. A"
    " firewall or a limit may have stopped the run: run again later. If the API then denies access"
    f" at once, the token may have been rotated.{_NEW_TOKEN}",
    FailureCode.UNREACHABLE: f"{{detail}}{_WHERE}",
    FailureCode.OUTAGE: "the API accepted nothing for {max_retry_seconds} seconds"
    f" (max_retry_seconds): {{detail}}{_WHERE}{_SENT_LATER}",
    FailureCode.LONG_WAIT: "the API asks the run to wait for {retry_after_seconds:.0f} seconds,"
    f" longer than max_retry_seconds ({{max_retry_seconds}}): {{detail}}{_WHERE}{_SENT_LATER}",
    FailureCode.UNEXPECTED_ANSWER: "the API gave an unexpected answer: {detail}. Check api_url and"
    f" customer_id{_WHERE}",
    FailureCode.ALL_REFUSED: "the API refused {requests} requests in a row ({detail}). The cause"
    " may be in the settings, not in the events: check pixel_id and customer_id; after HTTP 413,"
    " set batch_size_rows to a smaller number. The next run sends all events that were neither"
    " delivered nor written as dead letters. If this run is a replay, the dead letters that it has"
    " not sent stay in the store",
    FailureCode.REPLAY_REFUSED: "the API accepted no event of the replay, and refused {events}"
    " events that it had not refused before. So the cause may be in the settings: check pixel_id"
    " and customer_id. The dead letters are still in the store",
    FailureCode.WRITE_REFUSED: "the API accepted no event of this write ({events} events were"
    " refused). The cause may be in the settings, not in the events: check pixel_id and"
    " customer_id",
    FailureCode.TASKS_FAILED: "the write failed. Failed tasks: {tasks}. Rows without an outcome"
    " in the other tasks: {rows}. The counts do not include the failed tasks. If outcomes_path is"
    " set, its table shows which events were sent",
    FailureCode.ROWS_NOT_KEPT: "rows that cannot be sent ({rows}) are stored nowhere: set"
    " outcomes_path, and write these rows again. The write delivered {delivered} events",
    FailureCode.NO_THREAD: "the run cannot start a thread on this system, so it cannot send"
    " anything. Raise the limit on processes and threads (ulimit -u, or the limit of the"
    " container)",
    FailureCode.STOPPED: "the run was stopped",
    FailureCode.STOPPED_IN_OUTAGE: "the run was stopped during an outage of the API: {detail}",
    FailureCode.STOPPED_WHILE_SENDING: "the run was stopped while it was still sending batches"
    " ({batches})",
    FailureCode.STOPPED_WHILE_WAITING: "the run was stopped while it was waiting for run"
    " {other_run_id}, which is sending the same events ({events}) and has reserved them in the"
    " store",
    FailureCode.KILLED: "the run was killed, or the machine was switched off",
    FailureCode.UNEXPECTED: "the run ended with an unexpected {exception}",
}
"""The words for most codes. A name in braces is the name of a fact."""
FAILURE_WORDS: dict[FailureCode, Callable[[Facts], str]] = {
    **{code: template.format_map for code, template in _TEMPLATES.items()},
    FailureCode.TOO_MANY_REJECTED: _because_of_rejections(
        "{count} of {records} records became dead letters, which is more than"
        " max_dead_letter_percent ({percent}) allows."
    ),
    FailureCode.NOTHING_DELIVERED: _because_of_rejections(
        "nothing was delivered, and {count} records became dead letters."
    ),
    FailureCode.RECORD_REJECTED: _record_rejected,
}
"""For each code, the function that puts the facts into words.

If you change the facts of a code, increase `FORMAT` in reporting/history.py."""

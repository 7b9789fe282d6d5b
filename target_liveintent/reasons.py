"""The reasons why a record is not delivered, by their codes. A code never changes.

The documentation's table of reasons is generated from `REASONS`.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """The meaning of a reason code, and its consequences.

    Attributes:
        short: What such conversions have in common, in words that follow their number: "without
            consent". For a reader of the report who does not know the program.
        meaning: What happened and what to do about it, for the log, the documentation and the run
            report.
        is_bad: Whether these records count towards `max_dead_letter_percent`. Records that are
            normal in every run, such as guests without an address, do not count.
        replayed: Whether a replay without options sends the dead letter. (Whether it sends one
            with the reason `event_too_old` depends on the present settings.)
        letter: Whether a run writes a dead letter for the record. If not, the run only counts the
            record as dropped.
    """

    short: str
    meaning: str
    is_bad: bool = True
    replayed: bool = True
    letter: bool = True

    @property
    def is_kept(self) -> bool:
        """Whether a replay without options leaves a dead letter with this reason in the store."""
        return self.letter and not self.replayed


def _dropped(short: str, meaning: str) -> Reason:
    return Reason(short, meaning, is_bad=False, replayed=False, letter=False)


NO_IDENTITY = "The record has no usable e-mail address, e-mail hash or decision ID."
REASONS: dict[str, Reason] = {
    "missing_event_time": Reason(
        "without a time",
        "The record has no event time. Map `event_time` to a column that is always filled, and load"
        " the rows again with the tap. A replay does not help, because a dead letter keeps the"
        " values of the old mapping.",
    ),
    "invalid_event_time": Reason(
        "whose time cannot be read",
        "The event time cannot be read. Map `event_time` to an ISO 8601 time, or to Unix seconds,"
        " milliseconds or microseconds from 2000 to 2099. For serial numbers of Excel, such as"
        " 46354.67, write `excel_time(x)`; for texts such as 20261128150428 or 28.11.2026, write"
        " `parse_time(x, '%Y%m%d%H%M%S')` or `parse_time(x, '%d.%m.%Y')`.",
    ),
    "event_too_old": Reason(
        "older than LiveIntent accepts",
        "The event is older than the API accepts. The limit is 7 days, or 30 days for source"
        " `offline`; this program rejects events one minute before this limit. This is normal for a"
        " first run over older rows, and does no harm. In later runs, this reason means that the"
        " tap or the schedule runs too late. A replay drops the dead letter as `expired`, unless"
        " it has no `source` and `default_source` is now `offline`.",
        is_bad=False,
        replayed=False,
    ),
    "event_in_future": Reason(
        "whose time is in the future",
        "The event time is more than one minute later than the clock of this machine. Check"
        " `timezone` and the column that is mapped to `event_time`. This column must not contain"
        " planned dates, because only an action that has already happened is a conversion.",
    ),
    "no_identity": Reason(
        "without a usable e-mail address or click",
        f"{NO_IDENTITY} This is common for guest orders. Map `source_url`: this URL contains the"
        " decision ID if the customer came from a click in an e-mail. If a value is present but"
        " cannot be used, `detail` in the dead letter names the column.",
        is_bad=False,
    ),
    "invalid_source": Reason(
        "without a valid source (web, app or offline)",
        "The source is missing, or it is not `web`, `app` or `offline`. Map `source`, or set"
        " `default_source`.",
    ),
    "invalid_pixel_id": Reason(
        "without a valid pixel ID",
        "The pixel ID is missing, or it is not a positive integer. Set `pixel_id`, or map a column"
        " to `pixel_id`.",
    ),
    "missing_key": Reason(
        "without an ID",
        "The record has no event ID, and the program cannot derive one, because some key properties"
        " are missing. Map `event_id`. If it is mapped, its value in the record is empty or cannot"
        " be used, as `detail` says: map a column that is always filled. Then load the rows again"
        " with the tap, and delete the dead letters (`dead-letters --delete`): a replay would send"
        " the events with other IDs.",
    ),
    "mapping_failed": Reason(
        "that the stream map cannot convert",
        "An expression of the stream map failed for this record. Change the expression so that it"
        " accepts missing values. For example, write `get('total')`. Then load the rows again with"
        " `meltano run --full-refresh …`. If this command fails, repeat it until it succeeds."
        " Nothing is sent twice. A replay cannot send the dead letter, because it"
        " contains only the key properties.",
        replayed=False,
    ),
    "schema_violation": Reason(
        "with values of an unexpected type",
        "The record does not match the schema that the tap sent for its stream. This is checked"
        " only with `validate_records`. Fix the tap, or set `validate_records` to false. In Spark,"
        " this reason means that Python cannot represent a value of the row.",
    ),
    "refused_by_api": Reason(
        "that LiveIntent refused",
        "The API refused this single event. `detail` contains the answer of the API, without e-mail"
        " addresses. Ask your account manager what is wrong with the event, and replay the dead"
        " letter when the cause is fixed.",
    ),
    "not_processed": Reason(
        "that LiveIntent did not process",
        "The API accepted the batch, but reported that it did not process this event. A replay"
        " sends the event again.",
    ),
    "api_error": Reason(
        "for which LiveIntent answered with errors",
        "The API failed repeatedly on this event (HTTP 429, 500, 503 or another 5xx, or no answer),"
        " but accepted other events. LiveIntent may have counted the event, so a replay sends it"
        " only with the option `--unconfirmed`.",
        replayed=False,
    ),
    "unconfirmed": Reason(
        "that LiveIntent did not confirm",
        "The API answered that it processed only a part of the batch, but did not say which part."
        " LiveIntent may have counted the event, so a replay sends it only with the option"
        " `--unconfirmed`.",
        replayed=False,
    ),
    "other_account": Reason(
        "of another account or pixel",
        "The dead letter belongs to another account (customer ID and API host) or to another pixel,"
        " so this replay leaves it in the store. Replay it with the settings of its account, or use"
        " the option `--other-accounts` to send it with the current settings.",
        is_bad=False,
        replayed=False,
    ),
    "not_compared": Reason(
        "that cannot be compared with the unsubscribe list",
        "The program cannot know whether the file of `suppression_path` lists the person, so it"
        " does not send the event. The address cannot be read, or the dead letter lacks hashes of"
        " the person, because an older version wrote it or somebody has edited it. Correct the"
        " address in the source, and load the row again with the tap.",
        is_bad=False,
        replayed=False,
    ),
    "not_tried": Reason(
        "not sent because LiveIntent refused others",
        "The API refused so many events that the replay did not send this event. The dead letter"
        " stays in the store. Read `detail` of the dead letters with the reason `refused_by_api`:"
        " when the cause is fixed, replay again; if it cannot be fixed, delete these dead letters"
        " with `dead-letters --delete refused_by_api`.",
        is_bad=False,
        replayed=False,
    ),
    "expired": _dropped(
        "that became too old",
        "The API no longer accepts the event, because it is older than 7 days, or 30 days for"
        " source `offline`. So a replay drops the dead letter.",
    ),
    "deleted": _dropped(
        "deleted in the source",
        "The row was deleted in the source: the tap's record has a value in `_sdc_deleted_at` or"
        " `_sdc_lsn_deleted_at`. The program counts the record, but neither sends nor keeps it. If"
        " your stream map reads one of these columns, the program does not check that column.",
    ),
    "no_consent": _dropped(
        "without consent",
        "The stream has a column `consent`, but its value in this record is none of these: true,"
        " 1, `yes`, `granted`. The program counts the record, but neither sends nor keeps it.",
    ),
    "suppressed": _dropped(
        "of people on the unsubscribe list",
        "The person is listed in the file of `suppression_path`. The program counts the record, but"
        " neither sends nor keeps it.",
    ),
    "over_limit": _dropped(
        "above the limit of a test run",
        "The run did not send the event, because it reached the setting `limit`. The next run"
        " without `limit` sends the event.",
    ),
    "already_sent": _dropped(
        "that had arrived before",
        "The store shows that this run or an earlier run delivered the event. A changed record with"
        " the same event ID is not sent again either. To send such events once more, use the option"
        " `--send-again`.",
    ),
}

COUNTED_ELSEWHERE = frozenset({"over_limit", "already_sent"})
"""The reasons of events that another run has delivered or will deliver. No ledger counts them."""
AFTER_BUILDING = frozenset(
    {"no_identity", "event_too_old", "refused_by_api", "not_processed", "api_error", "unconfirmed"}
    | COUNTED_ELSEWHERE
)
"""The reasons of records in which all columns were read. Their remarks say which columns were empty
or unusable."""
MAY_HAVE_COUNTED = frozenset({"unconfirmed", "api_error"})
"""The reasons of events that LiveIntent may have counted. A replay needs `--unconfirmed` to send
them."""
BEYOND_REPAIR = frozenset({"no_identity", "event_too_old", "mapping_failed", "missing_event_time"})
"""The reasons of dead letters whose events the reports count as lost: if the cause is fixed, a
replay still cannot send these dead letters. (There are exceptions. A replay sends a dead letter if
somebody has added the missing time or hash to it. It sends an old event that has no `source` if
`default_source` is now `offline`.)"""
NEVER_TAKEN = frozenset(name for name, reason in REASONS.items() if reason.is_bad).difference(
    MAY_HAVE_COUNTED
)
"""The reasons with `is_bad` that show that LiveIntent does not have the event. A run that delivers
nothing fails if it has enough dead letters with these reasons."""

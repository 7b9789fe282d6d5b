"""The reasons why a record is not delivered, by their codes, which never change.

The documentation's table is generated from this one.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """The meaning of a reason code, and its consequences.

    Attributes:
        meaning: What happened and what to do about it, for the log, the documentation and the run
            report.
        is_bad: Whether such records count towards `max_dead_letter_percent`. Those that every
            healthy run has, such as guests without an address, do not.
        replayed: Whether a replay sends the dead letter.
        letter: Whether a dead letter is written; records that must not be kept are only counted.
        of_letter: The meaning where a replay gives the reason to a dead letter, to which no stream
            map applies; empty where `meaning` serves.
    """

    meaning: str
    is_bad: bool = True
    replayed: bool = True
    letter: bool = True
    of_letter: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether a dead letter that a replay does not send for this reason stays in the file."""
        return self.letter and not self.replayed

    def advice(self, *, replay: bool) -> str:
        """Return what happened and what to do about it, in a replay or in another run."""
        return (replay and self.of_letter) or self.meaning


def _dropped(meaning: str) -> Reason:
    return Reason(meaning, is_bad=False, replayed=False, letter=False)


NO_IDENTITY = "The record has no e-mail address, no hash of one and no decision ID."
GUESTS = "Guests often have none"
REASONS: dict[str, Reason] = {
    "missing_event_time": Reason(
        "The record has no event time. Map `event_time` to a column that is always filled, and let"
        " the tap send the rows again: a dead letter keeps the old mapping.",
        of_letter="The dead letter has no event time, and no setting supplies one. Let the tap send"
        " the row again.",
    ),
    "invalid_event_time": Reason(
        "The event time cannot be read. Map it as ISO 8601, or as Unix seconds, milliseconds or"
        " microseconds.",
        of_letter="The event time of the dead letter cannot be read. Write it as ISO 8601 or as"
        " Unix seconds there, or let the tap send the row again.",
    ),
    "event_too_old": Reason(
        "The event is older than the API accepts: 7 days, or 30 days for source `offline`, less a"
        " minute. A first run over older rows always has some; in later runs, the tap or the"
        " schedule is too late."
        " A replay drops it as `expired`, unless another `default_source` gives it more time.",
        is_bad=False,
        replayed=False,
    ),
    "event_in_future": Reason(
        "The event time is more than a minute ahead of this machine's clock. Check `timezone` and"
        " the column: a planned date is not a conversion.",
        of_letter="The event time is more than a minute ahead of this machine's clock. Check"
        " `timezone`; a planned date is not a conversion.",
    ),
    "no_identity": Reason(
        f"{NO_IDENTITY} {GUESTS}; map `source_url`: it holds the decision ID of those who came from"
        " an e-mail click.",
        is_bad=False,
        of_letter="The dead letter has neither a hash of an e-mail address nor a decision ID, and a"
        " replay adds none. Delete it, or let the tap send the row again.",
    ),
    "invalid_source": Reason(
        "The source is absent or not one of `web`, `app`, `offline`. Map `source`, or set"
        " `default_source`.",
        of_letter="The source is absent: set `default_source`. Or it is not one of `web`, `app`,"
        " `offline`: correct it in the dead letter.",
    ),
    "invalid_pixel_id": Reason(
        "The pixel ID is absent or not a positive integer. Set `pixel_id`, or map the column.",
        of_letter="The pixel ID is absent: set `pixel_id`. Or it is not a positive integer: correct"
        " it in the dead letter.",
    ),
    "missing_key": Reason(
        "The record has no event ID, and lacks the key properties that one is derived from. Map"
        " `event_id`."
    ),
    "mapping_failed": Reason(
        "A stream-map expression failed for this record. Make it null-safe, for instance"
        " `get('total')`. The dead letter holds the key properties only: fix the map and let the"
        " tap send the rows again, with `meltano run --full-refresh …`, repeated until it succeeds;"
        " the ledger makes sure that nothing is sent twice.",
        replayed=False,
        of_letter="The dead letter holds the key properties only, so a replay cannot send it: let"
        " the tap send the row again.",
    ),
    "schema_violation": Reason(
        "The record breaks the tap's own schema (only with `validate_records`). Fix the tap, or set"
        " `validate_records` to false. In Spark: a value has a type that no column takes, or is"
        " more than Python can hold."
    ),
    "refused_by_api": Reason(
        "The API refused this event alone; `detail` holds what it said, without addresses. Ask your"
        " account manager what is wrong with it; replay it once that is fixed."
    ),
    "not_processed": Reason(
        "The API accepted the batch but reported this event as not processed. A replay sends it"
        " again."
    ),
    "api_error": Reason(
        "The API failed again and again on this event (HTTP 500, 503 or another 5xx, 429, or no"
        " answer), while it accepted others. LiveIntent may have counted it: a replay leaves it"
        " out, unless you set `replay_unconfirmed`.",
        replayed=False,
    ),
    "unconfirmed": Reason(
        "The API answered that it processed a part of the batch, but not which part. The event may"
        " have been counted, so a replay sends it only with `replay_unconfirmed`.",
        replayed=False,
    ),
    "other_account": Reason(
        "A dead letter of a replay was written for another account (customer ID and API host) or"
        " pixel. It stays in the file. Replay it with the settings of its account, or set"
        " `replay_other_accounts` to send it with these.",
        is_bad=False,
        replayed=False,
    ),
    "expired": _dropped(
        "The window of a dead letter has closed (7 days after the event, 30 for source `offline`),"
        " so nobody can send it any more. A replay drops it."
    ),
    "deleted": _dropped(
        "The row was deleted in the source: `_sdc_deleted_at` or `_sdc_lsn_deleted_at` is set in"
        " the tap's record. Dropped and counted, never kept. A map that reads the column itself"
        " decides instead."
    ),
    "no_consent": _dropped(
        "The stream has a column `consent`, and its value in this record is not true, 1,"
        " `yes` or `granted`. Dropped and counted, never kept."
    ),
    "suppressed": _dropped(
        "The person is in the file of `suppression_path`. Dropped and counted, never kept."
    ),
    "over_limit": _dropped(
        "Not sent: the setting `limit` was reached. The next run without it sends them; a replay"
        " leaves such dead letters in the file."
    ),
    "already_sent": _dropped(
        "The ledger (`ledger_path`, `ledger_url`) knows the event as delivered, in an earlier run"
        " or in this one."
        " A changed record under the same event ID is skipped too."
    ),
}

AFTER_BUILDING = frozenset(
    {"no_identity", "refused_by_api", "not_processed", "api_error", "unconfirmed"}
    | {"over_limit", "already_sent"}
)
"""The reasons of records of which all columns were read: nothing else was wrong with them."""
MAY_HAVE_COUNTED = frozenset({"unconfirmed", "api_error"})
"""The reasons of events that LiveIntent may have counted, which `replay_unconfirmed` sends."""
NEVER_TAKEN = frozenset(name for name, reason in REASONS.items() if reason.is_bad).difference(
    MAY_HAVE_COUNTED
)
"""The reasons that fail a run which delivers nothing: they count, and LiveIntent surely does not
have the event."""

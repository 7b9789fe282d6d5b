"""Why a record did not become a delivered conversion: the stable codes, in one table.

The documentation's table is generated from it.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What a reason code means.

    Attributes:
        meaning: What happened, and what to do about it, for the documentation and the run report.
        counts: Whether it counts towards `max_dead_letter_percent`. What any honest run has (guests
            without an address, rows from before the window) does not.
        replayed: Whether its letter is sent again when the dead-letter file is piped back.
        letter: Whether there is a letter at all; what must not be kept is only counted.
    """

    meaning: str
    counts: bool = True
    replayed: bool = True
    letter: bool = True


REASONS: dict[str, Reason] = {
    "missing_event_time": Reason(
        "The record has no event time. Map `event_time` to a column that is always filled, and let"
        " the tap send the rows again: a letter stays as it was mapped."
    ),
    "invalid_event_time": Reason(
        "The event time cannot be read. ISO 8601, or Unix seconds, milliseconds or microseconds."
    ),
    "event_too_old": Reason(
        "Older than the API takes: 7 days, or 30 days for source `offline`, less a minute. Run more"
        " often.",
        counts=False,
    ),
    "event_in_future": Reason(
        "More than a minute ahead of this machine's clock. Check `timezone` and the column: a"
        " planned date is no conversion yet."
    ),
    "no_identity": Reason(
        "Neither an e-mail address nor a hash of one nor a decision ID. Guests are like that; map"
        " `source_url` to win those who came from an e-mail click.",
        counts=False,
    ),
    "invalid_source": Reason(
        "The source is absent or none of `web`, `app`, `offline`. Map `source`, or set"
        " `default_source`."
    ),
    "invalid_pixel_id": Reason(
        "The pixel ID is absent or no positive integer. Set `pixel_id`, or map the column."
    ),
    "missing_key": Reason(
        "No event ID, and the record lacks the key properties to derive one from. Map `event_id`."
    ),
    "mapping_failed": Reason(
        "A stream-map expression failed for this record. Make it null-safe, for instance"
        " `get('total')`. The letter holds the key properties only: mend the map and let the tap"
        " send the rows again, with `meltano run --full-refresh …`; with `ledger_path`, nothing is"
        " sent twice.",
        replayed=False,
    ),
    "schema_violation": Reason(
        "The record breaks the tap's own schema (only with `validate_records`)."
    ),
    "refused_by_api": Reason(
        "The API refused this event alone; `detail` holds what it said, without addresses. Ask your"
        " account manager what is wrong with it; replay it once that is mended."
    ),
    "not_processed": Reason("The API took the batch but named this event as not processed."),
    "unconfirmed": Reason(
        "The API answered that it processed a part without saying which. The event may have been"
        " counted, so a replay sends it only with `replay_unconfirmed`.",
        replayed=False,
    ),
    "no_consent": Reason(
        "The stream has a column `consent`, and the record's says neither true, 1, `yes` nor"
        " `granted`. Dropped and counted, never kept.",
        counts=False,
        replayed=False,
        letter=False,
    ),
    "suppressed": Reason(
        "The person is in the file of `suppression_path`. Dropped and counted, never kept.",
        counts=False,
        replayed=False,
        letter=False,
    ),
    "over_limit": Reason(
        "Not sent: the setting `limit` was reached. The next run without it sends everything.",
        counts=False,
        replayed=False,
        letter=False,
    ),
    "already_sent": Reason(
        "The ledger (`ledger_path`) knows the event as delivered. A changed record under the same"
        " event ID is skipped too.",
        counts=False,
        replayed=False,
        letter=False,
    ),
}

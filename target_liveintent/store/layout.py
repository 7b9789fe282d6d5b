"""The tables of the store, the same in SQLite and PostgreSQL but for the names of types."""

from __future__ import annotations

VERSION = 1
"""The version of the layout. Increase it when a table changes."""
APPLICATION_ID = 0x4C495354
"""Marks a store among SQLite files: the letters "LIST"."""

TYPES = {
    "sqlite": {
        "BYTES": "BLOB",
        "INTEGER": "INTEGER",
        "REAL": "REAL",
        "AMOUNT": "TEXT",  # SQLite has no exact numbers; `sum` reads such text as a number.
        "JSON": "TEXT",
        "SORTED": "WITHOUT ROWID",
    },
    "postgres": {
        "BYTES": "bytea",
        "INTEGER": "bigint",
        "REAL": "double precision",
        "AMOUNT": "numeric",
        "JSON": "json",
        "SORTED": "",
    },
}
"""What the words in braces mean in each database."""

TABLES = (
    # Events that the API has confirmed, with the run that sent them. The key has 16 bytes: the time
    # at which the event expires, and a part of a hash of what identifies it. Events of one run
    # happened at about the same time, so their keys are on few pages, however many there are, and
    # those that expire first come first.
    """CREATE TABLE event (
        key {BYTES} NOT NULL PRIMARY KEY,
        run {INTEGER} NOT NULL
    ) {SORTED}""",
    # Events that a run is sending now: the hashes of a batch, one behind the other. With all of
    # them in one value, a reservation costs hardly anything. It holds until the `alive_until` of
    # the run.
    """CREATE TABLE reservation (
        run {INTEGER} NOT NULL,
        batch {INTEGER} NOT NULL,
        hashes {BYTES} NOT NULL,
        PRIMARY KEY (run, batch)
    ) {SORTED}""",
    # `kind` is `usual`, `replay`, `canary`, or `task` for a task of a Spark write.
    """CREATE TABLE run (
        number {INTEGER} NOT NULL PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        customer_id TEXT NOT NULL,
        api_host TEXT NOT NULL,
        pixel_id {INTEGER},
        started_at {REAL} NOT NULL,
        alive_until {REAL} NOT NULL,
        ended_at {REAL},
        ending TEXT,
        figures {JSON}
    )""",
    # Records that could not be sent. `pixel_id` is 0 where the record has no usable one. `record`
    # is what `dead-letters --format=singer` prints. The rows are not sorted by the key, because the
    # order of event IDs is random.
    """CREATE TABLE dead_letter (
        customer_id TEXT NOT NULL,
        api_host TEXT NOT NULL,
        stream TEXT NOT NULL,
        event_id TEXT NOT NULL,
        pixel_id {INTEGER} NOT NULL,
        reason TEXT NOT NULL,
        field TEXT,
        detail TEXT,
        written_at {INTEGER} NOT NULL,
        window_end {INTEGER},
        run {INTEGER} NOT NULL,
        record {JSON} NOT NULL,
        PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
    )""",
    # Delivered events, with the setting `keep_delivered`.
    """CREATE TABLE delivered (
        customer_id TEXT NOT NULL,
        api_host TEXT NOT NULL,
        stream TEXT NOT NULL,
        event_id TEXT NOT NULL,
        pixel_id {INTEGER} NOT NULL,
        run {INTEGER} NOT NULL,
        sent_at {REAL} NOT NULL,
        event_time {INTEGER} NOT NULL,
        source TEXT NOT NULL,
        order_id TEXT,
        value {AMOUNT},
        currency TEXT,
        md5 TEXT,
        sha2 TEXT,
        decision_id TEXT,
        idfa TEXT,
        aaid TEXT,
        PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
    )""",
)
NAMES = ("event", "reservation", "run", "dead_letter", "delivered")
INDEX = "CREATE INDEX run_ended ON run (customer_id, api_host, ended_at)"


def statements(database: str) -> list[str]:
    """Return the statements that create the tables in a database: a key of `TYPES`."""
    return [*(table.format(**TYPES[database]) for table in TABLES), INDEX]

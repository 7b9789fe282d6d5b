-- The tables of the store. layout.py reads the types of the columns from here, so each column has a
-- line of its own. layout.py also says what differs in SQLite. Increase its LAYOUT_VERSION when a
-- table changes.

-- One row, with LAYOUT_VERSION. In PostgreSQL, each transaction first locks this row.
CREATE TABLE store (
    version bigint NOT NULL
);

-- Events that the API has confirmed, with the run that sent them. The key has 16 bytes: 5 for the
-- Unix time at which the event expires, and 11 for a hash of what identifies the event. So the rows
-- are sorted by this time: those that expire first are at the start of the table. The events of one
-- run happened at about the same time, so their keys are on few pages, even if the table is large.
CREATE TABLE event (
    key bytea NOT NULL PRIMARY KEY,
    run bigint NOT NULL
) /* WITHOUT ROWID */;

-- Events that a run is sending now. A row has the keys of all events of a batch in one value, so a
-- reservation costs hardly anything. If one run sees that another run has made no transaction for
-- 30 seconds, it moves the events of that other run to the table waiting.
CREATE TABLE reservation (
    run bigint NOT NULL,
    batch bigint NOT NULL,
    keys bytea NOT NULL,
    read_at bigint NOT NULL,
    amounts json NOT NULL, -- for each key: "12.5 EUR", "" (no value), or null (has a dead letter)
    PRIMARY KEY (run, batch)
) /* WITHOUT ROWID */;

-- Events without an outcome, which a run had read before it failed or was killed.
CREATE TABLE waiting (
    hash bytea NOT NULL PRIMARY KEY, -- the last 11 bytes of the key
    key bytea NOT NULL,
    customer_id text NOT NULL,
    api_host text NOT NULL,
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the run, or 0
    read_at bigint NOT NULL,
    window_end bigint NOT NULL,
    value numeric, -- value and currency are both set, or both null
    currency text
);

CREATE INDEX waiting_end ON waiting (window_end);
CREATE INDEX waiting_owner ON waiting (customer_id, api_host, run_pixel_id, read_at);

-- How many events arrived, were left out, or were lost. They are lost if their dead letters were
-- deleted, or if they waited until they were too old. Each run increases its own rows.
CREATE TABLE place_count (
    read_at bigint NOT NULL, -- the quarter of an hour in which the events were first read
    customer_id text NOT NULL,
    api_host text NOT NULL,
    run_pixel_id bigint NOT NULL,
    writer bigint NOT NULL, -- the run, or a random number if deleted rows were counted
    place text NOT NULL, -- arrived, left_out or lost
    reason text NOT NULL,
    currency text NOT NULL,
    events bigint NOT NULL,
    value numeric NOT NULL,
    PRIMARY KEY (read_at, customer_id, api_host, run_pixel_id, writer, place, reason, currency)
) /* WITHOUT ROWID */;

CREATE TABLE run (
    number bigint PRIMARY KEY, -- a hash of id
    id text NOT NULL UNIQUE,
    kind text NOT NULL, -- usual, replay, canary, or task (a task of a Spark write)
    customer_id text NOT NULL,
    api_host text NOT NULL,
    pixel_id bigint,
    started_at float8 NOT NULL,
    alive_until float8 NOT NULL,
    transactions bigint NOT NULL DEFAULT 0, -- how many the run has made
    ended_at float8,
    ending text,
    figures json
);

-- In this order, the indexes find the history, the runs that are too old, the last run at an API
-- host, and the runs that may have reservations.
CREATE INDEX run_history ON run (customer_id, api_host, coalesce(pixel_id, 0), started_at);
CREATE INDEX run_start ON run (started_at);
CREATE INDEX run_host ON run (api_host, started_at);
CREATE INDEX run_unended ON run (ended_at) WHERE ended_at IS NULL;

-- Records that could not be sent. In SQLite, the rows are not sorted by the key: event IDs have a
-- random order, so each new row would be on another page.
CREATE TABLE dead_letter (
    customer_id text NOT NULL,
    api_host text NOT NULL,
    stream text NOT NULL,
    event_id text NOT NULL,
    pixel_id bigint NOT NULL, -- 0 if the record has no usable pixel ID
    reason text NOT NULL,
    field text,
    detail text,
    written_at bigint NOT NULL,
    window_end bigint,
    run bigint NOT NULL,
    value numeric, -- value and currency are both set, or both null
    currency text,
    hashes text NOT NULL, -- the first digits of the hashes and UUIDs in the record
    record json NOT NULL, -- what dead-letters --format=singer prints
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the first run, or 0
    first_read bigint NOT NULL, -- the Unix time at which the first run read the record
    first_run bigint NOT NULL, -- the first run that wrote a dead letter with this key
    first_transaction bigint NOT NULL, -- the number of the transaction in which first_run wrote it
    PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
);

-- The first index is for the groups that the command dead-letters shows. The second one is for dead
-- letters that are too old, and for those of a person.
CREATE INDEX dead_letter_group
    ON dead_letter (customer_id, api_host, reason, pixel_id, stream, written_at);
CREATE INDEX dead_letter_time ON dead_letter (written_at, hashes);
-- For the figures of the reports.
CREATE INDEX dead_letter_place ON dead_letter
    (customer_id, api_host, run_pixel_id, first_read, reason, currency, window_end, value);

-- Delivered events, with the setting keep_delivered.
CREATE TABLE delivered (
    customer_id text NOT NULL,
    api_host text NOT NULL,
    stream text NOT NULL,
    event_id text NOT NULL,
    pixel_id bigint NOT NULL,
    run bigint NOT NULL,
    sent_at float8 NOT NULL,
    event_time bigint NOT NULL,
    source text NOT NULL,
    order_id text,
    value numeric,
    currency text,
    md5 text,
    sha2 text,
    decision_id text,
    idfa text,
    aaid text,
    PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
);

-- The first index is in the order of time. The others find the rows of a person by day and hash.
-- The hashes of one day are on few pages, so a new row costs little. A query must look into each
-- day, but there are not many days.
CREATE INDEX delivered_time ON delivered (sent_at);
CREATE INDEX delivered_md5 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(md5, 1, 8));
CREATE INDEX delivered_sha2 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(sha2, 1, 8));

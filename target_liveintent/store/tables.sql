-- The tables of the store. layout.py reads the types of the columns from here, so each column has a
-- line of its own, and says what differs in SQLite. Increase LAYOUT_VERSION there when a table changes.

-- One row, with LAYOUT_VERSION. In PostgreSQL, transactions that write lock it.
CREATE TABLE store (
    version bigint NOT NULL
);

-- Events that the API has confirmed, with the run that sent them. The key has 16 bytes: the time at
-- which the event expires, and a part of a hash of what identifies it. Events of one run happened at
-- about the same time, so their keys are on few pages, however many there are, and those that expire
-- first come first.
CREATE TABLE event (
    key bytea NOT NULL PRIMARY KEY,
    run bigint NOT NULL
) /* WITHOUT ROWID */;

-- Events that a run is sending now: the keys of a batch, one behind the other. With all of them in
-- one value, a reservation costs hardly anything. If a run sees for 30 seconds that the transactions
-- of another run do not increase, it moves the events of that run to the table waiting.
CREATE TABLE reservation (
    run bigint NOT NULL,
    batch bigint NOT NULL,
    keys bytea NOT NULL,
    read_at bigint NOT NULL,
    amounts json NOT NULL, -- of each key: "12.5 EUR", "", or null if the event has a dead letter
    PRIMARY KEY (run, batch)
) /* WITHOUT ROWID */;

-- Events without an outcome, which a run had read before it failed or was killed.
CREATE TABLE waiting (
    hash bytea NOT NULL PRIMARY KEY, -- as in the key of the event
    key bytea NOT NULL,
    customer_id text NOT NULL,
    api_host text NOT NULL,
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the run, or 0
    read_at bigint NOT NULL,
    window_end bigint NOT NULL,
    value numeric, -- value and currency have both a value, or neither
    currency text
);

CREATE INDEX waiting_end ON waiting (window_end);
CREATE INDEX waiting_owner ON waiting (customer_id, api_host, run_pixel_id, read_at);

-- How many events arrived, were left out, or were lost because their dead letters were deleted. Each
-- run increases its own rows.
CREATE TABLE place_count (
    read_at bigint NOT NULL, -- the quarter of an hour in which the events were first read
    customer_id text NOT NULL,
    api_host text NOT NULL,
    run_pixel_id bigint NOT NULL,
    writer bigint NOT NULL, -- the run, or a random number if dead letters were deleted
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
    kind text NOT NULL, -- usual, replay, canary, or task: one of a Spark write
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

-- For the history, for what is too old, for the last run of any account, and for reservations.
CREATE INDEX run_history ON run (customer_id, api_host, coalesce(pixel_id, 0), started_at);
CREATE INDEX run_start ON run (started_at);
CREATE INDEX run_host ON run (api_host, started_at);
CREATE INDEX run_unended ON run (ended_at) WHERE ended_at IS NULL;

-- Records that could not be sent. SQLite does not sort the rows by the key, because the order of
-- event IDs is random.
CREATE TABLE dead_letter (
    customer_id text NOT NULL,
    api_host text NOT NULL,
    stream text NOT NULL,
    event_id text NOT NULL,
    pixel_id bigint NOT NULL, -- 0 where the record has no usable one
    reason text NOT NULL,
    field text,
    detail text,
    written_at bigint NOT NULL,
    window_end bigint,
    run bigint NOT NULL,
    value numeric, -- value and currency have both a value, or neither
    currency text,
    hashes text NOT NULL, -- the first digits of the hashes and UUIDs in the record
    record json NOT NULL, -- what dead-letters --format=singer prints
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the first run, or 0
    first_read bigint NOT NULL, -- the Unix time at which the first run read the record
    first_run bigint NOT NULL, -- the first one that wrote a dead letter with this key
    first_transaction bigint NOT NULL, -- in which of its transactions
    PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
);

-- For the groups that dead-letters shows, for what is too old, and for the letters of a person.
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

-- In time order, and by day and hash. The hashes of a day are on few pages, so that a new row costs
-- little, and there are few days in which the rows of a person must be found.
CREATE INDEX delivered_time ON delivered (sent_at);
CREATE INDEX delivered_md5 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(md5, 1, 8));
CREATE INDEX delivered_sha2 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(sha2, 1, 8));

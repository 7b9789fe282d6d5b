BEGIN TRANSACTION;
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
    value text, -- value and currency have both a value, or neither
    currency text,
    hashes text NOT NULL, -- the first digits of the hashes and UUIDs in the record
    record json NOT NULL, -- what dead-letters --format=singer prints
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the first run, or 0
    first_read bigint NOT NULL, -- the Unix time at which the first run read the record
    first_run bigint NOT NULL, -- the first one that wrote a dead letter with this key
    first_transaction bigint NOT NULL, -- in which of its transactions
    PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
);
INSERT INTO "dead_letter" VALUES('a-1b2c','conversions.liveintent.com','orders','order-3',12345,'invalid_event_time','event_time',NULL,1785600000,NULL,15587191907268,NULL,NULL,'','{"event_id":"order-3","order_id":"#3","value":"x","reason":"invalid_event_time","field":"event_time","stream":"orders","time":"2026-08-01T16:00:00Z","run_id":"019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e","written_for":{"customer_id":"a-1b2c","api_host":"conversions.liveintent.com","pixel_id":12345}}',12345,1785600000,15587191907268,1);
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
    value text,
    currency text,
    md5 text,
    sha2 text,
    decision_id text,
    idfa text,
    aaid text,
    PRIMARY KEY (customer_id, api_host, stream, event_id, pixel_id)
);
INSERT INTO "delivered" VALUES('a-1b2c','conversions.liveintent.com','orders','order-1',12345,15587191907268,1785600000.25,1785500000,'web','#0','12.50','EUR','29a1df4646cb3417c19994a59a3e022a',NULL,NULL,NULL,NULL);
INSERT INTO "delivered" VALUES('a-1b2c','conversions.liveintent.com','orders','order-2',12345,15587191907268,1785600000.25,1785500000,'web','#1','12.50','EUR','29a1df4646cb3417c19994a59a3e022a',NULL,NULL,NULL,NULL);
CREATE TABLE event (
    key bytea NOT NULL PRIMARY KEY,
    run bigint NOT NULL
) WITHOUT ROWID;
INSERT INTO "event" VALUES(X'006A6F698001BF656ABD0943DE97AE57',15587191907268);
INSERT INTO "event" VALUES(X'006A6F69815C0F4CC1150FEBC5235D6D',15587191907268);
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
    value text NOT NULL,
    PRIMARY KEY (read_at, customer_id, api_host, run_pixel_id, writer, place, reason, currency)
) WITHOUT ROWID;
CREATE TABLE reservation (
    run bigint NOT NULL,
    batch bigint NOT NULL,
    keys bytea NOT NULL,
    read_at bigint NOT NULL,
    amounts json NOT NULL, -- of each key: "12.5 EUR", "", or null if the event has a dead letter
    PRIMARY KEY (run, batch)
) WITHOUT ROWID;
INSERT INTO "reservation" VALUES(15587191907268,1,X'006A6F69807D1B474755EFC4C1B60778',1785600000,'["12.5 EUR"]');
CREATE TABLE run (
    number integer PRIMARY KEY, -- a hash of id
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
INSERT INTO "run" VALUES(15587191907268,'019abf6e-3f1c-7cc2-8d4e-5f0a9b1c2d3e','usual','a-1b2c','conversions.liveintent.com',12345,1785600000.0,1785600000.0,2,1785600000.0,'done','{}');
CREATE TABLE store (
    version bigint NOT NULL
);
INSERT INTO "store" VALUES(3);
CREATE TABLE waiting (
    hash bytea NOT NULL PRIMARY KEY, -- as in the key of the event
    key bytea NOT NULL,
    customer_id text NOT NULL,
    api_host text NOT NULL,
    run_pixel_id bigint NOT NULL, -- the setting pixel_id of the run, or 0
    read_at bigint NOT NULL,
    window_end bigint NOT NULL,
    value text, -- value and currency have both a value, or neither
    currency text
);
CREATE INDEX waiting_end ON waiting (window_end);
CREATE INDEX run_history ON run (customer_id, api_host, coalesce(pixel_id, 0), started_at);
CREATE INDEX run_start ON run (started_at);
CREATE INDEX run_host ON run (api_host, started_at);
CREATE INDEX run_unended ON run (ended_at) WHERE ended_at IS NULL;
CREATE INDEX dead_letter_group
    ON dead_letter (customer_id, api_host, reason, pixel_id, stream, written_at);
CREATE INDEX dead_letter_time ON dead_letter (written_at, hashes);
CREATE INDEX dead_letter_place ON dead_letter
    (customer_id, api_host, run_pixel_id, first_read, reason, currency, window_end, value);
CREATE INDEX delivered_time ON delivered (sent_at);
CREATE INDEX delivered_md5 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(md5, 1, 8));
CREATE INDEX delivered_sha2 ON delivered ((CAST(sent_at / 86400 AS bigint)), substr(sha2, 1, 8));
COMMIT;

"""The store in a PostgreSQL database, which runs on many machines may share.

A transaction takes one round trip, or two if its changes depend on answers. Each transaction first
locks the row with the version, so it reads what all earlier transactions have written. The clock of
the database gives the time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy.redaction import hide_token
from target_liveintent.store.database import (
    LOCK_SECONDS,
    Answers,
    Attempts,
    Database,
    DecisionT,
    Wait,
)
from target_liveintent.store.layout import SqlRow, Step, creation

_CREATING = 0x4C495354
"""The number of the lock that runs take while they create the tables: the letters "LIST"."""
_NOW = "(SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8))"
"""A subquery, because otherwise PostgreSQL would call the function for each row of a scan."""
# DISTINCT, because ON CONFLICT rejects a key that comes twice. PostgreSQL then also uses the index.
_KEYS = "SELECT DISTINCT key FROM unnest(?::bytea[]) AS given (key) ORDER BY key"
_LOCKED = "another program locks the tables of the store"
_GONE = "the database of the store cannot be reached"
_PAUSE = 0.5
"""Seconds between two attempts."""
_CONNECTING = {
    "connect_timeout": "10",  # Seconds; a login takes up to six round trips.
    "application_name": "target-liveintent",
    "keepalives_idle": "30",
    "tcp_user_timeout": "30000",  # Milliseconds without an answer that end the connection.
}
"""Parameters of the connection, unless the URL sets them."""
_LONGEST_ANSWER_SECONDS = 120.0
"""The run ends the connection to a server that has not answered for this time. The server itself
ends a statement after 30 seconds. So either the server hangs, or the network fails."""
_READ_COMMITTED = "BEGIN ISOLATION LEVEL READ COMMITTED"  # Whatever the server's default is.
_BEGIN = (
    _READ_COMMITTED,
    # For these statements, compilation always takes longer than it saves.
    "SET LOCAL jit = off",
    "SET LOCAL statement_timeout = '30s'",
    "SET LOCAL lock_timeout = '{lock}ms'",
    # If the server crashes, the run may go on, and it relies on what it has committed.
    "SET LOCAL synchronous_commit = on",
    "SELECT version FROM store FOR UPDATE",
)
_LOCK_TAKEN = "55P03"
_CONNECTION_GONE = ("08", "57P")
"""The first characters of PostgreSQL's error codes for a connection that has ended."""
_READ_ONLY = "25006"
"""PostgreSQL's error code for a write to a replica. While a replica takes over, it still rejects
writes."""
_CONFIGURATION_WORDS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "could not translate host name",
    "invalid",
)
"""If the error of a connection contains one of these words, only another setting can fix it. Such
errors have no error code."""


class PostgresStore(Database):
    """A PostgreSQL database. libpq reads a missing password from `PGPASSWORD` or `~/.pgpass`."""

    _errors = (psycopg.Error,)
    _find_tables = (
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND"
        " relname IN ('store', 'event', 'reservation', 'run', 'dead_letter', 'delivered',"
        " 'waiting', 'place_count')"
    )
    _lock = (_READ_COMMITTED, f"SELECT pg_advisory_xact_lock({_CREATING})")
    _creation = creation()
    _foreign = (
        "it has tables of another program with the names that the store needs. Name another schema"
        " in the URL: postgresql://user@host/database?options=-csearch_path%3Dliveintent"
    )

    def __init__(
        self,
        url: str,
        retry_seconds: float,
        attempts: Attempts,
        *,
        reads_only: bool = False,
    ) -> None:
        super().__init__("the database named in store", attempts)
        # The warnings of psycopg repeat what its exceptions say.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        self._parameters = _parameters(url)
        self._retry_seconds = retry_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._open(reads_only=reads_only)

    @property
    def _db(self) -> psycopg.Connection[Any]:
        """The connection, which is opened first if there is none or if it was lost."""
        if self._connection is None or self._connection.closed:
            if self.attempts.has_ended:
                raise psycopg.OperationalError(_GONE)
            # A pooler between the run and the database may not know prepared statements.
            self._connection = psycopg.connect(
                self._parameters, autocommit=True, prepare_threshold=None
            )
        return self._connection

    def _prepare(self) -> None:
        try:
            super()._prepare()
        except psycopg.errors.InsufficientPrivilege:
            sql = ";\n".join(self._creation)
            why = (
                "the user may not create tables. Ask the owner of the schema to execute this SQL,"
                f" and to grant SELECT, INSERT, UPDATE and DELETE on these tables:\n{sql};"
            )
            raise self._refusal(why) from None

    def _transact(self, steps: Sequence[Step]) -> Answers:
        db = self._db
        with self._transaction(db):
            cursors = _send(db, steps)
        return _rows_of(cursors)

    def _ask_and_change(
        self, questions: Sequence[Step], decide: Callable[[Answers], DecisionT]
    ) -> DecisionT:
        db = self._db  # (A lost connection must not be replaced within a transaction.)
        with self._transaction(db) as pipeline:
            cursors = _send(db, questions)
            pipeline.sync()  # This takes one more round trip.
            decision = decide(_rows_of(cursors))
            _send(db, decision.changes)
        return decision

    @contextlib.contextmanager
    def _transaction(self, db: psycopg.Connection[Any]) -> Iterator[psycopg.Pipeline]:
        """Begin a transaction, and commit it if its steps succeed; send all of it at once."""
        with _in_time(db), db.pipeline() as pipeline:
            for text in _BEGIN:
                db.execute(text.format(lock=self._lock_milliseconds))
            yield pipeline
            db.execute("COMMIT")

    def _do(self, step: Step) -> list[SqlRow]:
        db = self._db
        with _in_time(db):
            return _rows_of(_send(db, [step]))[0]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _roll_back(self) -> None:
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.execute("ROLLBACK")
            except psycopg.Error:
                self.close()

    def _wait_after(self, error: psycopg.Error) -> Wait | None:
        state = error.sqlstate
        if state == _LOCK_TAKEN:
            return Wait(_LOCKED, LOCK_SECONDS, 0.0)
        if state is None:  # There is no connection.
            is_wrong = any(words in str(error) for words in _CONFIGURATION_WORDS)
            may_pass = self._is_open or not is_wrong
        else:
            takes_over = self._is_open and state == _READ_ONLY
            may_pass = takes_over or state.startswith(_CONNECTION_GONE)
        return Wait(_GONE, self._retry_seconds, _PAUSE) if may_pass else None

    def _words(self, error: psycopg.Error) -> str:
        # One line, which never contains the password.
        words = error.diag.message_primary or str(error) or type(error).__name__
        return " ".join(words.split())


@contextlib.contextmanager
def _in_time(db: psycopg.Connection[Any]) -> Iterator[None]:
    """End the connection if the server does not answer in time; libpq itself has no time limit."""
    timer = threading.Timer(_LONGEST_ANSWER_SECONDS, _shut_down, [db.fileno()])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(socket_number: int) -> None:
    """End a connection, so that a thread that waits for its answer gets an error."""
    connection = socket.socket(fileno=socket_number)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.detach()  # The owner closes the socket.


def _send(db: psycopg.Connection[Any], steps: Sequence[Step]) -> list[psycopg.Cursor[Any]]:
    """Send steps; in a pipeline, their answers come later."""
    return [db.execute(*_in_postgres(step)) for step in steps]


def _rows_of(cursors: Sequence[psycopg.Cursor[Any]]) -> Answers:
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def _in_postgres(step: Step) -> tuple[str, list[Any]]:
    """Return the SQL of a step for PostgreSQL, and its values.

    All keys are one array, and so is each column of the rows.
    """
    arrays = ", ".join(f"?::{kind}[]" for kind in step.types)
    rows = f"SELECT * FROM unnest({arrays})"  # noqa: S608 (types)
    sql = step.sql.format(rows=rows, keys=_KEYS, now=_NOW, sum="sum")
    columns = [[row[n] for row in step.rows or ()] for n in range(len(step.types))]
    keys = [] if step.keys is None else [[*step.keys]]
    return sql.replace("?", "%s"), [*step.values, *keys, *columns]


def _parameters(url: str) -> str:
    """Return the parameters of the connection, and hide the password from all later messages.

    Raises:
        ConfigurationError: If the URL is malformed.
    """
    try:
        given: Mapping[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        msg = "setting 'store' must be a path, or a URL such as postgresql://user@host/database"
        raise ConfigurationError(msg) from None
    hide_token(str(given.get("password") or os.environ.get("PGPASSWORD", "")))
    return psycopg.conninfo.make_conninfo("", **{**_CONNECTING, **given})

"""The store in a PostgreSQL database, which runs on many machines may share.

A transaction goes to the database in one or two pieces, so it takes as many round trips.
Transactions that write go one after another: each begins by locking the row with the version. So
what one of them reads is what all before it have written. Time is the database's, as the clocks of
the machines may differ.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import hide_token
from target_liveintent.store.database import Answers, Database, Then, Waiting
from target_liveintent.store.layout import FURTHER, TABLES, Row, Step

_T = TypeVar("_T")
_CREATING = 0x4C495354
"""The number of the lock that runs take while they create the tables: the letters "LIST"."""
_NOW = "extract(epoch FROM clock_timestamp())"
_LOCK_SECONDS = 30.0
"""Seconds for which a run waits for another program that locks the tables."""
_LOCKED = "another program locks the tables of the store"
_GONE = "the database of the store cannot be reached"
_NO_ANSWER = "the database of the store has not answered"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries to reach a database."""
_CONNECTING = {
    "connect_timeout": "2",
    "application_name": "target-liveintent",
    "keepalives_idle": "30",
    "tcp_user_timeout": "30000",  # Milliseconds after which a database that is gone is given up.
}
"""Parameters of the connection, where the URL has no others."""
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    # To compile a statement takes longer than to execute it, however many rows are expected.
    "SET LOCAL jit = off",
    "SET LOCAL statement_timeout = '30s'",
    "SET LOCAL lock_timeout = '{lock}ms'",
    "SET LOCAL synchronous_commit = {durable}",
    "SELECT version FROM store FOR UPDATE",
)
_LOCK_TAKEN = "55P03"
_PASSING = ("53300", "40001", "40P01")
"""Errors that may not happen again: too many connections, a failed serialization, a deadlock."""
_CONFIGURATION_WORDS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "could not translate host name",
    "invalid",
)
"""Words of failed connections that only another setting can fix; these have no error code."""
_NAMES = ", ".join(f"'{table.name}'" for table in TABLES)


class _Connection(psycopg.Connection[Any]):
    """A connection on which a run that was told to stop waits only a little for an answer.

    Attributes:
        waiting: Says when a wait is over.
    """

    waiting = Waiting()

    def wait(self, gen: PQGen[_T], *args: Any, **kwargs: Any) -> _T:
        """Wait for an answer; psycopg looks several times a second whether there is one."""
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: PQGen[_T]) -> PQGen[_T]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.waiting.is_over:
                    raise psycopg.OperationalError(_NO_ANSWER)
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: _T = end.value
            return answer


class PostgresStore(Database):
    """A PostgreSQL database.

    Args:
        url: The setting `store`. What it lacks, libpq finds: `PGPASSWORD`, `~/.pgpass`.
        retry_seconds: How long a database that cannot be reached is tried again.
        waiting: How it waits for other programs, and for a database that is gone.
        reads_only: Whether nothing may change.
    """

    _errors = (psycopg.Error,)
    _find_tables = (
        f"SELECT relname FROM pg_class WHERE relname IN ({_NAMES})"  # noqa: S608 (constants)
        " AND relnamespace = current_schema()::regnamespace"
    )
    _lock = ("BEGIN", f"SELECT pg_advisory_xact_lock({_CREATING})")
    _tables = (*(table.creation for table in TABLES), *FURTHER)
    _foreign = (
        "it has tables of another program with the names that the store needs. Name another schema"
        " in the URL: postgresql://user@host/database?options=-csearch_path%3Dliveintent"
    )

    def __init__(
        self, url: str, retry_seconds: float, waiting: Waiting, *, reads_only: bool = False
    ) -> None:
        super().__init__("the database named in store", waiting)
        # Its warnings name the user; what they say is raised as well.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        self._parameters, self._secrets = _parameters(url)
        self._retry_seconds = retry_seconds
        self._connection: _Connection | None = None
        self._open(reads_only=reads_only)

    @property
    def _db(self) -> psycopg.Connection[Any]:
        """The connection, which is made if there is none, or if it was lost."""
        self.waiting.reason = _NO_ANSWER
        if self._connection is None or self._connection.closed:
            if self.waiting.has_ended:
                raise psycopg.OperationalError(_GONE)
            # A pooler between the run and the database may not know prepared statements.
            self._connection = _Connection.connect(
                self._parameters, autocommit=True, prepare_threshold=None
            )
            self._connection.waiting = self.waiting
        return self._connection

    def _prepare(self) -> None:
        try:
            super()._prepare()
        except psycopg.errors.InsufficientPrivilege:
            sql = ";\n".join(self._tables)
            why = (
                "the user may not create tables. Ask the owner of the schema to execute this SQL,"
                f" and to grant SELECT, INSERT, UPDATE and DELETE on these tables:\n{sql};"
            )
            raise self._refusal(why) from None

    def _transact(self, steps: Sequence[Step], then: Then | None, *, durable: bool) -> Answers:
        words = {"lock": self._lock_milliseconds, "durable": "on" if durable else "off"}
        db = self._db
        with db.pipeline() as pipeline:
            for text in _BEGIN:
                db.execute(text.format(**words))
            cursors = [db.execute(*_in_postgres(step)) for step in steps]
            if then is None:
                db.execute("COMMIT")
            else:  # It takes one more round trip.
                pipeline.sync()
                answers = _rows_of(cursors)
                for step in then(answers):
                    db.execute(*_in_postgres(step))
                db.execute("COMMIT")
                return answers
        return _rows_of(cursors)

    def _do(self, step: Step) -> list[Row]:
        return _rows_of([self._db.execute(*_in_postgres(step))])[0]

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

    def _wait_after(self, error: psycopg.Error, tries: int) -> tuple[str, float, float] | None:
        if error.sqlstate == _LOCK_TAKEN:
            return _LOCKED, _LOCK_SECONDS, 0.0
        if not _is_lost(error) or self._is_refused(error):
            return None
        return _GONE, self._retry_seconds, min(_FIRST_PAUSE * 2**tries, _LONGEST_PAUSE)

    def _words(self, error: psycopg.Error) -> str:
        """Return what is wrong in one line, without the names of the connection."""
        words = (error.diag.message_primary or str(error) or type(error).__name__).split()
        text = " ".join(words)
        for secret in self._secrets:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
        if _needs_password(error):
            text += ". The database asks for a password: set PGPASSWORD, or use ~/.pgpass"
        return text

    def _is_refused(self, error: psycopg.Error) -> bool:
        """Return whether the settings prevent a connection, for which there is no error code."""
        is_first = error.sqlstate is None and not self._is_open
        is_wrong = is_first and any(one in str(error) for one in _CONFIGURATION_WORDS)
        return is_wrong or _needs_password(error)


def _needs_password(error: psycopg.Error) -> bool:
    """Return whether the database asks for a password, and there is none."""
    return error.pgconn is not None and error.pgconn.needs_password


def _is_lost(error: psycopg.Error) -> bool:
    """Return whether the connection is gone or was never there: the database may come back."""
    state = error.sqlstate
    return state is None or state.startswith(("08", "57P")) or state in _PASSING


def _rows_of(cursors: Sequence[psycopg.Cursor[Any]]) -> Answers:
    return [one.fetchall() if one.description else [] for one in cursors]


def _in_postgres(step: Step) -> tuple[str, list[Any]]:
    """Return a step in PostgreSQL's words, with its values."""
    columns: list[Any] = []
    if step.rows is not None:
        columns = [list(column) for column in zip(*step.rows, strict=True)] or [[]] * len(
            step.types
        )
    arrays = ", ".join(f"?::{kind}[]" for kind in step.types)
    sql = step.sql.format(rows=f"SELECT * FROM unnest({arrays})", now=_NOW)  # noqa: S608 (types)
    return sql.replace("?", "%s"), [*step.values, *columns]


def _parameters(url: str) -> tuple[str, list[str]]:
    """Return the parameters of the connection, and those that no message may show."""
    try:
        given: Mapping[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        msg = "setting 'store' must be a path, or a URL such as postgresql://user@host/database"
        raise ConfigurationError(msg) from None
    environment = {
        one.keyword.decode(): one.val.decode()
        for one in psycopg.pq.Conninfo.get_defaults()
        if one.val is not None
    }
    used = {name: str(value) for name, value in {**environment, **given}.items()}
    secrets = [used[name] for name in ("password", "user") if used.get(name)]
    hide_token(used.get("password", ""))
    return psycopg.conninfo.make_conninfo("", **{**_CONNECTING, **given}), secrets

"""The store in a PostgreSQL database, which runs on many machines may share.

A transaction goes to the database in one piece, so it takes one or two round trips. Transactions
that write go one after another: each begins by locking the row with the version. So what one of
them reads is what all before it have written. Time is the database's, as the clocks of the machines
may differ.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.privacy import hide_token
from target_liveintent.store.database import AnyStep, Database, Find, ForEach, Row, Waiting
from target_liveintent.store.layout import NAMES, VERSION, statements

if TYPE_CHECKING:
    import psycopg

_CREATING = 0x4C495354
"""The number of the lock that runs take while they create the tables: the letters "LIST"."""
_VERSION_TABLE = "CREATE TABLE store (version integer NOT NULL)"
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
)
_LOCK_MILLISECONDS, _LAST_MILLISECONDS = 500, 100
"""How long PostgreSQL waits for a lock at a time, so that a signal can end the wait; and how long
after a wait in vain."""
_LOCK_TAKEN = "55P03"
_NO_RIGHT = "42501"
_FOREIGN = ("42703", "42P07", "42P10")
"""The errors of a database in which another program has such tables: a column that is not there, a
table that is there already, a key that is another one."""
_CONFIGURATION = ("28000", "28P01", "3D000", "3F000", _NO_RIGHT)
"""Errors that only another setting can fix: user, password, database, schema, rights."""


class PostgresStore(Database):
    """A PostgreSQL database.

    Args:
        url: The setting `store`. What it lacks, libpq finds: `PGPASSWORD`, `~/.pgpass`.
        retry_seconds: How long a database that cannot be reached is tried again.
        waiting: How it waits for other programs, and for a database that is gone.
        reads_only: Whether nothing may change.

    Raises:
        ConfigurationError: If the tables are those of another program or a newer version, or the
            user or the database does not exist.
        StorageError: If the database cannot be reached.
    """

    def __init__(
        self, url: str, retry_seconds: float, waiting: Waiting, *, reads_only: bool = False
    ) -> None:
        super().__init__(waiting)
        self._parameters, self._secrets = _parameters(url)
        self._retry_seconds = retry_seconds
        self._db: psycopg.Connection[Any] | None = None
        self._was_open = False
        self._lock_milliseconds = _LOCK_MILLISECONDS
        try:
            self._with_retries(lambda db: self._open(db, reads_only=reads_only))
            self._was_open = True
        except BaseException:
            self.close()
            raise

    # Opening

    def _open(self, db: psycopg.Connection[Any], *, reads_only: bool) -> None:
        if not self._has_tables(db):
            self.is_new = reads_only
            if reads_only:
                return
            self._create(db)
        versions = db.execute("SELECT version FROM store").fetchall()
        if len(versions) != 1 or not isinstance(versions[0][0], int):
            raise _refused(_OF_ANOTHER)
        if versions[0][0] > VERSION:
            why = (
                "a newer version of target-liveintent created the tables. Upgrade target-liveintent"
            )
            raise _refused(why)

    def _has_tables(self, db: psycopg.Connection[Any]) -> bool:
        """Return whether the tables exist; refuse those of another program."""
        names = ["store", *NAMES]
        query = (
            "SELECT relname FROM pg_class WHERE relname = ANY (%s)"
            " AND relnamespace = current_schema()::regnamespace"
        )
        found = {name for (name,) in db.execute(query, [names])}
        if found and "store" not in found:
            raise _refused(_OF_ANOTHER)
        return bool(found)

    def _create(self, db: psycopg.Connection[Any]) -> None:
        import psycopg  # noqa: PLC0415 (only this store needs it)

        creating = [_VERSION_TABLE, *statements("postgres")]
        creating.append(f"INSERT INTO store VALUES ({VERSION})")  # noqa: S608 (a number)
        try:
            with db.transaction():
                db.execute(f"SELECT pg_advisory_xact_lock({_CREATING})")
                if not self._has_tables(db):  # Unless another run was faster.
                    for statement in creating:
                        db.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            sql = ";\n".join(creating)
            why = (
                "the user may not create tables. Ask the owner of the schema to execute this SQL,"
                f" and to grant SELECT, INSERT, UPDATE and DELETE on these tables:\n{sql};"
            )
            raise _refused(why) from None

    # Reading and writing

    def transact(
        self,
        steps: Sequence[AnyStep],
        then: Callable[[list[list[Row]]], Sequence[AnyStep]] | None = None,
        *,
        durable: bool = False,
    ) -> list[list[Row]]:
        """Do all steps, or none, and return the answer of each."""
        begin = [*_BEGIN, f"SET LOCAL lock_timeout = '{self._lock_milliseconds}ms'"]
        if not durable:
            begin.append("SET LOCAL synchronous_commit = off")

        def work(db: psycopg.Connection[Any]) -> list[list[Row]]:
            answers: list[list[Row]] | None = None
            with db.pipeline() as pipeline:
                for text in (*begin, "SELECT version FROM store FOR UPDATE"):
                    db.execute(text)
                cursors = [db.execute(*_in_postgres(step)) for step in steps]
                if then is not None:  # It takes one more round trip.
                    pipeline.sync()
                    answers = _rows_of(cursors)
                    for step in then(answers):
                        db.execute(*_in_postgres(step))
                db.execute("COMMIT")
            return _rows_of(cursors) if answers is None else answers

        answers: list[list[Row]] = self._with_retries(work)
        return answers

    def wait_no_more(self) -> None:
        """Wait for nothing any more, and for a lock only a moment."""
        super().wait_no_more()
        self._lock_milliseconds = _LAST_MILLISECONDS

    def read(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """Return the rows of a query."""
        text = _marks(sql.format(now=_NOW))
        yield from self._with_retries(lambda db: db.execute(text, list(values)).fetchall())

    def find(self, query: Find) -> list[Row]:
        """Return the rows of a query for many values."""
        text, values = _in_postgres(query)
        found: list[Row] = self._with_retries(lambda db: db.execute(text, values).fetchall())
        return found

    def _with_retries(self, work: Callable[[psycopg.Connection[Any]], Any]) -> Any:
        """Do something with the connection; after a failure that may pass, connect and try again.

        What is done must be the same when it is done twice: the answer to a COMMIT can be lost.
        """
        import psycopg  # noqa: PLC0415 (only this store needs it)

        pause = _FIRST_PAUSE
        try:
            while True:
                self._waiting.reason = _NO_ANSWER
                try:
                    if self._db is None or self._db.closed:
                        self._db = _connect(self._parameters)
                    return work(self._db)
                except psycopg.Error as error:
                    self._roll_back()
                    if error.sqlstate == _LOCK_TAKEN:
                        goes_on = self._waiting.again(_LOCKED, _LOCK_SECONDS, 0.0)
                    else:
                        may_pass = _is_lost(error) and not self._is_refused(error)
                        seconds = self._retry_seconds if may_pass else 0.0
                        goes_on = self._waiting.again(_GONE, seconds, pause)
                        pause = min(2 * pause, _LONGEST_PAUSE)
                    if not goes_on:
                        raise self._failure(error) from None
        finally:
            self._waiting.over()

    def _roll_back(self) -> None:
        import psycopg  # noqa: PLC0415 (only this store needs it)

        if self._db is not None and not self._db.closed:
            with contextlib.suppress(psycopg.Error):
                self._db.execute("ROLLBACK")
                return
            self.close()

    def _failure(self, error: psycopg.Error) -> ConfigurationError | StorageError:
        """Return what ends the run, in one line without the names of the connection."""
        if error.sqlstate in _FOREIGN:
            return _refused(_OF_ANOTHER)
        words = (error.diag.message_primary or str(error) or type(error).__name__).split()
        reason = _without(self._secrets, " ".join(words))
        if _needs_password(error):
            reason += ". The database asks for a password: set PGPASSWORD, or use ~/.pgpass"
        is_setting = error.sqlstate in _CONFIGURATION or self._is_refused(error)
        kind = ConfigurationError if is_setting else StorageError
        return kind(f"the database named in store cannot be used: {reason}")

    def _is_refused(self, error: psycopg.Error) -> bool:
        """Return whether no connection is possible with these settings; that has no error code."""
        words = str(error)
        is_first = error.sqlstate is None and not self._was_open
        is_wrong = is_first and any(one in words for one in _CONFIGURATION_WORDS)
        return is_wrong or _needs_password(error)

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


_OF_ANOTHER = (
    "it has tables of another program with the names that the store needs. Name another schema in"
    " the URL: postgresql://user@host/database?options=-csearch_path%3Dliveintent"
)
_PASSING = ("53300", "40001", "40P01")
"""Errors that another try does not have: too many connections, a serialization, a deadlock."""
_CONFIGURATION_WORDS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "could not translate host name",
    "invalid",
)
"""Words of failed connections that only another setting can fix; these have no error code."""


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(f"the database named in store cannot be used: {why}")


def _connect(parameters: str) -> psycopg.Connection[Any]:
    import psycopg  # noqa: PLC0415 (only this store needs it)

    # A pooler between the run and the database may not know prepared statements.
    return psycopg.connect(parameters, autocommit=True, prepare_threshold=None)


def _needs_password(error: psycopg.Error) -> bool:
    """Return whether the database asks for a password, and there is none."""
    return error.pgconn is not None and error.pgconn.needs_password


def _is_lost(error: psycopg.Error) -> bool:
    """Return whether the connection is gone or was never there: the database may come back."""
    state = error.sqlstate
    return state is None or state.startswith(("08", "57P")) or state in _PASSING


def _rows_of(cursors: Iterable[psycopg.Cursor[Any]]) -> list[list[Row]]:
    return [one.fetchall() if one.description else [] for one in cursors]


def _in_postgres(step: AnyStep) -> tuple[str, list[Any]]:
    """Return a step in PostgreSQL's words, with its values."""
    if isinstance(step, ForEach):
        arrays = ", ".join(f"%s::{kind}[]" for kind in step.types)
        select = f"SELECT * FROM unnest({arrays})"  # noqa: S608 (names of types)
        columns = [list(column) for column in zip(*step.rows(), strict=True)] or [[]] * len(
            step.types
        )
        return _marks(step.sql.format(values=select, given=select, now=_NOW)), columns
    if isinstance(step, Find):
        given = f"SELECT unnest(%s::{step.type}[])"
        text = _marks(step.sql.format(given=given, now=_NOW))
        return text, [*step.values, list(step.keys)]
    return _marks(step.sql.format(now=_NOW)), list(step.values)


def _marks(sql: str) -> str:
    return sql.replace("?", "%s")


def _parameters(url: str) -> tuple[str, list[str]]:
    """Return what is connected with, and what of it no message shows."""
    import psycopg  # noqa: PLC0415 (only this store needs it)

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


def _without(secrets: Sequence[str], text: str) -> str:
    """Return a text with stars in place of these words."""
    for secret in secrets:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text

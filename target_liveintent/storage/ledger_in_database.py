"""Keeps a ledger in a PostgreSQL database, which runs on many machines may share.

All that is done at once is one text of statements, so it takes one round trip. The transactions go
one after another: each begins by locking the row with the version. So what one of them reads is
what all before it have written, and each claim has one owner. Claims lapse by the database's clock,
as those of the machines may differ.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.privacy import hide_token
from target_liveintent.storage.ledger import LedgerAccount
from target_liveintent.storage.ledger_store import (
    FORGOTTEN,
    HASH_BYTES,
    KEY_BYTES,
    LAPSE,
    TIME_BYTES,
    Exchange,
    Found,
)

if TYPE_CHECKING:
    import psycopg

_VERSION = 1
"""The version of the layout."""
_TABLES = (
    "CREATE TABLE liveintent_ledger (version integer NOT NULL)",
    "CREATE TABLE liveintent_ledger_accepted (key bytea PRIMARY KEY)",
    (
        "CREATE TABLE liveintent_ledger_last_accepted (account bytea, pixel_id bigint,"
        " unix_time bigint NOT NULL, PRIMARY KEY (account, pixel_id))"
    ),
    (
        "CREATE TABLE liveintent_ledger_claims (run_id text, batch bigint,"
        " until timestamptz NOT NULL, hashes bytea[] NOT NULL, PRIMARY KEY (run_id, batch))"
    ),
    f"INSERT INTO liveintent_ledger VALUES ({_VERSION})",  # noqa: S608 (a number)
)
"""As in the file; a claim has the hashes of the keys, so that the database can compare them."""
_MAKING = 0x4C494C47
"""The number of the lock that runs take while they make the tables: the letters "LILG"."""
_FOREIGN = ("42703", "42P07")
"""The errors of a database in which another program has such tables: a column that is not there,
and a table that is there already."""
_IS_MADE = """\
SELECT count(*) FROM pg_class WHERE relname = 'liveintent_ledger' AND pg_table_is_visible(oid)"""
_OF_ANOTHER = (
    "the tables whose names start with liveintent_ledger belong to another program. Set"
    " ledger_url to another database"
)
_TOO_NEW = (
    "a newer version of target-liveintent created the ledger's tables. Upgrade"
    " target-liveintent, or set ledger_url to another database"
)
_SECONDS = 30
"""Seconds that a statement may take, locks included."""
_CONNECTING = {
    "connect_timeout": "10",
    "application_name": "target-liveintent",
    "keepalives_idle": "30",
    "tcp_user_timeout": "30000",  # Milliseconds after which a database that is gone is given up.
}
"""Parameters of the connection, where the URL has no others."""

# To compile a statement takes longer than to execute it, however many rows the planner expects.
_BEGIN = f"""\
BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '{_SECONDS}s';
SET LOCAL jit = off; SELECT version FROM liveintent_ledger FOR UPDATE"""  # noqa: S608 (a number)
_ADD = f"""\
INSERT INTO liveintent_ledger_accepted
SELECT substring(keys FROM 1 + {KEY_BYTES} * n FOR {KEY_BYTES})
FROM (SELECT %s::bytea AS keys) AS k, generate_series(0, length(keys) / {KEY_BYTES} - 1) AS n
ON CONFLICT DO NOTHING"""  # noqa: S608 (numbers)
_LAST_ACCEPTED = """\
INSERT INTO liveintent_ledger_last_accepted SELECT %s::bytea, unnest(%s::bigint[]), %s
ON CONFLICT (account, pixel_id) DO UPDATE SET unix_time = excluded.unix_time"""
_EXPIRE = """\
DELETE FROM liveintent_ledger_accepted WHERE key IN
(SELECT key FROM liveintent_ledger_accepted WHERE key < %s ORDER BY key LIMIT %s)"""
_FORGET = f"""\
DELETE FROM liveintent_ledger_claims
WHERE until < statement_timestamp() - interval '{FORGOTTEN} seconds'"""  # noqa: S608 (a number)
_END_ALL = "DELETE FROM liveintent_ledger_claims WHERE run_id = %s"
_END = f"{_END_ALL} AND batch = ANY (%s::bigint[])"
_RENEW = f"""\
WITH renewed AS (
    UPDATE liveintent_ledger_claims SET until = clock_timestamp() + interval '{LAPSE} seconds'
    WHERE run_id = %s RETURNING 1
) SELECT count(*) FROM renewed"""  # noqa: S608 (numbers)
_CLAIM = f"""\
WITH wanted AS MATERIALIZED (
    SELECT batch, substring(keys FROM 1 + {KEY_BYTES} * n FOR {KEY_BYTES}) AS key,
        substring(keys FROM {1 + TIME_BYTES} + {KEY_BYTES} * n FOR {HASH_BYTES}) AS hash
    FROM (SELECT unnest(%s::bigint[]) AS batch, unnest(%s::bytea[]) AS keys) AS b,
        generate_series(0, length(keys) / {KEY_BYTES} - 1) AS n
), lapsed AS (
    DELETE FROM liveintent_ledger_claims WHERE run_id <> %s AND until < statement_timestamp()
    AND EXISTS (SELECT FROM unnest(hashes) AS hash JOIN wanted USING (hash))
), known AS MATERIALIZED (
    SELECT key FROM wanted
    WHERE (SELECT true FROM liveintent_ledger_accepted AS a WHERE a.key = wanted.key)
), taken AS MATERIALIZED (
    SELECT key, min(run_id) AS run_id
    FROM (
        SELECT run_id, unnest(hashes) AS hash FROM liveintent_ledger_claims
        WHERE run_id <> %s AND until >= statement_timestamp()
    ) AS others JOIN wanted USING (hash) GROUP BY key
), made AS (
    INSERT INTO liveintent_ledger_claims (run_id, batch, until, hashes)
    SELECT %s, batch, clock_timestamp() + interval '{LAPSE} seconds', array_agg(hash) FROM wanted
    WHERE key NOT IN (SELECT key FROM known) AND key NOT IN (SELECT key FROM taken) GROUP BY batch
)
SELECT '', string_agg(key, ''::bytea) FROM known
UNION ALL SELECT run_id, string_agg(key, ''::bytea) FROM taken GROUP BY run_id"""  # noqa: S608
_KNOWN = "SELECT key FROM liveintent_ledger_accepted WHERE key = ANY (%s::bytea[])"
_NEWEST = f"""\
SELECT string_agg(substring(key FROM {1 + TIME_BYTES}), ''::bytea)
FROM (SELECT key FROM liveintent_ledger_accepted ORDER BY key DESC LIMIT %s) AS newest"""  # noqa: S608


class LedgerInDatabase:
    """A ledger's store that is a PostgreSQL database. It connects when it is opened.

    Args:
        url: The setting `ledger_url`. What it lacks, libpq finds: `PGPASSWORD`, `~/.pgpass`.
        password: The setting `ledger_password`, which goes before them.
        account: Whose events are kept.
        run_id: The ID of the run, for its claims.
        clock: Tells which keys have expired.
        reads_only: Whether nothing is written, not even tables.

    Attributes:
        exists: Always: a database that cannot be used ends the run at its start.
        is_kept: Always.
    """

    exists = True
    is_kept = True

    def __init__(  # noqa: PLR0913 (options, by keyword)
        self,
        url: str,
        account: LedgerAccount,
        *,
        password: str | None = None,
        run_id: str,
        clock: Clock = SYSTEM_CLOCK,
        reads_only: bool = False,
    ) -> None:
        self._account = account.digest
        self._run_id = run_id
        self._clock = clock
        self._parameters, self._names, self._password_is_of = _parameters(url, password)
        self._db: psycopg.Connection[Any] | None = None
        self._asks = False
        self._reads_only = reads_only
        self._is_made = True

    @property
    def waits_for(self) -> str:
        """What the run waits for at this moment, as a clause; empty if for nothing."""
        return "the database named in ledger_url has not answered" if self._asks else ""

    def open(self, count: int) -> Iterable[bytes]:
        """Connect, and make the tables if there are none; return the hashes of the newest events.

        Raises:
            ConfigurationError: If the tables are those of another program or a newer version.
            StorageError: If the database cannot be used.
        """
        import psycopg  # noqa: PLC0415 (only this store needs it)

        try:
            self._db = psycopg.connect(
                self._parameters, autocommit=True, cursor_factory=psycopg.ClientCursor
            )
        except psycopg.Error as error:
            raise self._failure(error) from None
        try:
            self._is_made = self._ask(_IS_MADE) == [[(1,)]]
            if not self._is_made:
                if self._reads_only:
                    return []
                self._make()
            if self._reads_only:
                self._check(self._ask("SELECT version FROM liveintent_ledger")[0])
            else:  # It is found out at once whether the rows can be locked.
                self._check(self._ask(f"{_BEGIN}; COMMIT")[-2])
            ((newest,),) = self._ask(_NEWEST, [count])[0]
        except BaseException:
            self.close()
            raise
        return _split(newest or b"", HASH_BYTES)

    def _make(self) -> None:
        self._ask(f"BEGIN; SELECT pg_advisory_xact_lock({_MAKING})")
        if self._ask(_IS_MADE) == [[(0,)]]:  # Unless another run was faster.
            self._ask("; ".join(_TABLES))
        self._ask("COMMIT")
        self._is_made = True

    def _check(self, versions: list[tuple[Any, ...]]) -> None:
        if len(versions) != 1 or not isinstance(versions[0][0], int):
            raise _refusal(_OF_ANOTHER)
        if versions[0][0] > _VERSION:
            raise _refusal(_TOO_NEW)

    def known(self, asked: Mapping[bytes, Conversion]) -> Collection[bytes]:
        """Return those of the keys that were accepted before."""
        if not self._is_made:
            return ()
        return {key for (key,) in self._ask(_KNOWN, [list(asked)])[0]}

    def exchange(self, asked: Exchange) -> Found:
        """Take what is new, and answer; raises a `StorageError` if that is not possible."""
        me = self._run_id
        texts: list[str] = [_BEGIN]
        values: list[Any] = []
        if asked.confirmed:
            now = self._clock.time()
            texts += [_ADD, _LAST_ACCEPTED, _EXPIRE, _FORGET]
            values += [b"".join(asked.confirmed), self._account, sorted(asked.pixel_ids), int(now)]
            values += asked.expired(now)
        if asked.ended is None:
            texts.append(_END_ALL)
            values.append(me)
        elif asked.ended:
            texts.append(_END)
            values += [me, list(asked.ended)]
        if asked.renews:
            texts.append(_RENEW)
            values.append(me)
        if asked.wanted:
            texts.append(_CLAIM)
            keys = [b"".join(batch) for batch in asked.wanted.values()]
            values += [list(asked.wanted), keys, me, me, me]
        answers = self._ask("; ".join((*texts, "COMMIT")), values)
        # The statements that answer with rows are the last ones before COMMIT.
        known: list[bytes] = []
        taken: dict[bytes, str] = {}
        if asked.wanted:
            for run_id, found in answers[-2]:
                if run_id:
                    taken.update(dict.fromkeys(_split(found, KEY_BYTES), run_id))
                else:
                    known = _split(found or b"", KEY_BYTES)
        renewed = answers[-3 if asked.wanted else -2][0][0] if asked.renews else None
        return Found(set(known), taken, renewed)

    def _ask(self, text: str, values: Iterable[Any] = ()) -> list[list[tuple[Any, ...]]]:
        """Execute statements; return the rows of each."""
        import psycopg  # noqa: PLC0415 (only this store needs it)

        if self._db is None:
            msg = "the database named in ledger_url cannot be used: the connection is closed"
            raise StorageError(msg)
        self._asks = True
        try:
            cursor = self._db.execute(text, list(values))
            answers = [cursor.fetchall() if cursor.description else []]
            while cursor.nextset():
                answers.append(cursor.fetchall() if cursor.description else [])
        except psycopg.Error as error:
            if self._db.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                with contextlib.suppress(psycopg.Error):
                    self._db.execute("ROLLBACK")
            raise self._failure(error) from None
        finally:
            self._asks = False
        return answers

    def _failure(self, error: psycopg.Error) -> ConfigurationError | StorageError:
        """Return what ends the run, in one line without the names of the connection."""
        if error.sqlstate in _FOREIGN:
            return _refusal(_OF_ANOTHER)
        words = (error.diag.message_primary or str(error) or type(error).__name__).split()
        reason = _without_names(" ".join(words), self._names)
        return StorageError(
            f"the database named in ledger_url cannot be used: {reason}"
            f"{self._whose_password(error)}"
        )

    def _whose_password(self, error: psycopg.Error) -> str:
        """Return the end of a message: which password was used to connect; empty if none was."""
        if error.pgconn is not None and error.pgconn.needs_password:
            return ". The database asks for a password: set ledger_password"
        if error.pgconn is not None and error.pgconn.used_password:
            return f". The password came from {self._password_is_of}"
        return ""

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _refusal(why: str) -> ConfigurationError:
    return ConfigurationError(f"the database named in ledger_url cannot be used: {why}")


def _parameters(url: str, password: str | None) -> tuple[str, list[str], str]:
    """Return what is connected with, what of it no message shows, and what has the password."""
    import psycopg  # noqa: PLC0415 (only this store needs it)

    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        msg = "setting 'ledger_url' must be a URL such as postgresql://user@host/database"
        raise ConfigurationError(msg) from None
    environment = {
        one.keyword.decode(): one.val.decode()
        for one in psycopg.pq.Conninfo.get_defaults()
        if one.val is not None
    }
    setting = {} if password is None else {"password": password}
    sources: dict[str, Mapping[str, Any]]
    sources = {"ledger_password": setting, "ledger_url": given, "PGPASSWORD": environment}
    place = next((name for name, source in sources.items() if "password" in source), "~/.pgpass")
    used = {name: str(value) for name, value in (environment | given | setting).items()}
    names = [used[name] for name in ("password", "user") if used.get(name)]
    hide_token(used.get("password", ""))
    return psycopg.conninfo.make_conninfo("", **{**_CONNECTING, **given, **setting}), names, place


def _without_names(text: str, names: Iterable[str]) -> str:
    """Return a text with stars in place of these words."""
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "***", text)
    return text


def _split(whole: bytes, size: int) -> list[bytes]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]

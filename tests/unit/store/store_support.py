"""Stores over one database, each as a run of its own."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from unit_support import NOW

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.config import settings_of
from target_liveintent.conversions.event_model import Conversion, Rejection, event_of
from target_liveintent.run_id import new_run_id
from target_liveintent.settings import Settings
from target_liveintent.store.database import Answers, Attempts, Database
from target_liveintent.store.dead_letters import DeadLetter, imported
from target_liveintent.store.deduplication import Claim
from target_liveintent.store.layout import Step
from target_liveintent.store.opening import open_database, run_store_in
from target_liveintent.store.run_store import RunStore

LATER = int(time.time()) + 86_400
GIVEN = {"customer_id": "a-1b2c", "auth_token": "a-token-of-unit-tests", "pixel_id": 1}
MD5 = "29a1df4646cb3417c19994a59a3e022a"
SENT = {
    "event_time": 1_785_500_000,
    "pixel_id": 1,
    "source": "web",
    "md5": MD5,
    "sha2": None,
    "value": Decimal("12.50"),
    "currency": "EUR",
    "order_id": "=1+1",
}
"""The event, but for its ID."""


def event(event_id: str = "1", **changes: Any) -> Conversion:
    """Return an event that has a day left; changes are those of its values or of a conversion."""
    sent = {name: changes.pop(name, value) for name, value in SENT.items()}
    values = {"stream": "orders", "expires_at": LATER, "columns": {}, **changes}
    return Conversion(event=event_of({"event_id": event_id, **sent}), **values)


def events(*numbers: int) -> list[Conversion]:
    """Return events whose IDs are numbers."""
    return [event(str(n)) for n in range(*numbers)]


def rejection(event_id: str = "1", reason: str = "invalid_event_time", **more: Any) -> Rejection:
    """Return a record that cannot be sent."""
    columns = more.pop("columns", {"order_id": event_id, "md5": MD5})
    return Rejection("orders", event_id, reason, "event_time", columns, **more)


class Stores:
    """Opens stores over one database, each as a run of its own, and closes them all."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.is_postgres = "://" in place
        self._open: list[Database] = []

    def settings(self, **changes: Any) -> Settings:
        """Return settings with this store."""
        return settings_of({**GIVEN, "store": self.place, "max_retry_seconds": 2, **changes})

    def imported(self, record: dict[str, Any]) -> DeadLetter:
        """Return a dead letter that somebody exported, and perhaps edited."""
        settings = self.settings()
        return imported(record, settings.account, settings.events)

    def database(
        self, clock: Clock = SYSTEM_CLOCK, attempts: Attempts | None = None, **changes: Any
    ) -> Database:
        """Open the database alone."""
        database = open_database(self.settings(**changes).storage, clock, attempts)
        self._open.append(database)
        return database

    def __call__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        send_again: bool = False,
        attempts: Attempts | None = None,
        **changes: Any,
    ) -> RunStore:
        """Open the store for a new run, with changes of the settings."""
        database = self.database(clock, attempts, **changes)
        settings = self.settings(**changes)
        return run_store_in(database, settings.storage, new_run_id(), clock, send_again=send_again)

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Execute a statement, and return its rows."""
        database = self.database()
        (rows,) = database.transact([Step(text, values)])
        database.close()
        return rows

    def connection(self) -> psycopg.Connection | sqlite3.Connection:
        """Connect as another program."""
        return psycopg.connect(self.place) if self.is_postgres else sqlite3.connect(self.place)

    def lock(self) -> Callable[[], None]:
        """Lock the store as another program does; return what ends that."""
        other, in_postgres = self.connection(), "SELECT version FROM store FOR UPDATE"
        other.execute(in_postgres if self.is_postgres else "BEGIN IMMEDIATE")

        def end() -> None:
            other.rollback()
            other.close()

        return end

    def letters(self) -> list[tuple[str, str, int]]:
        """Return the event ID, the reason and the pixel of each dead letter."""
        query = "SELECT event_id, reason, pixel_id FROM dead_letter ORDER BY event_id, pixel_id"
        return [(event_id, reason, pixel) for event_id, reason, pixel in self.sql(query)]

    def suspend(self, store: RunStore, seconds: float = 31) -> None:
        """Let the last sign of life of a run be so many seconds older."""
        text = "UPDATE run SET alive_until = alive_until - ? WHERE number = ?"
        self.sql(text, seconds, store.number)

    def close(self) -> None:
        """Close all databases."""
        for database in self._open:
            database.close()


def ids(conversions: list[Conversion]) -> list[str]:
    """Return the IDs of events."""
    return [one.event_id for one in conversions]


def said(claim: Claim) -> tuple[list[str], list[str], list[str]]:
    """Return the IDs of the events that are to be sent, that wait, and that were sent."""
    return ids(claim.mine), ids(claim.waiting), ids(claim.sent)


def claim(store: RunStore, number: int, *conversions: Conversion) -> Claim:
    """Reserve the events of one batch."""
    return store.claim({number: conversions})[number]


def send(
    store: RunStore, number: int, *conversions: Conversion, read_at: float = NOW
) -> list[Conversion]:
    """Send events of which the API confirms all, and return those that had to be sent."""
    mine = claim(store, number, *conversions).mine
    if mine:
        store.note_delivered(mine, [1_785_600_000.25] * len(mine), read_at)
        store.note_confirmed(number, mine, is_last=True)
    store.write()
    return mine


class Changes(NamedTuple):
    """A decision that only has changes."""

    changes: Sequence[Step]


def fail_next(store: RunStore, at: int) -> None:
    """Let the next transaction of a store fail before its step of this number, from 0."""
    database, fails = store.database, [Step("SELECT 1 FROM no_such_table")]
    transact, ask_and_change = database.transact, database.ask_and_change

    def end() -> None:
        database.transact = transact  # type: ignore[method-assign]
        database.ask_and_change = ask_and_change  # type: ignore[method-assign]

    def fail_to_transact(steps: Sequence[Step]) -> Answers:
        end()
        return transact([*steps[:at], *fails, *steps[at:]])

    def fail_to_change(questions: Sequence[Step], decide: Callable[[Answers], Any]) -> Any:
        end()
        asked = [*questions[:at], *(fails if at < len(questions) else ()), *questions[at:]]

        def decide_and_fail(answers: Answers) -> Changes:
            changes, after = decide(answers).changes, at - len(questions)
            return Changes([*changes[:after], *fails, *changes[after:]])

        return ask_and_change(asked, decide_and_fail)

    database.transact = fail_to_transact  # type: ignore[method-assign]
    database.ask_and_change = fail_to_change  # type: ignore[method-assign]

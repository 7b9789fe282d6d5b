"""What the campaigns share: input, and a watch over STATE."""

import contextlib
import json
import os
import random
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from faulty_server import FaultyServer, Reply, Request
from integration_support import Launcher, Running
from run_counts import Counts
from store_tables import ask, letters_by_id

from target_liveintent.store.deduplication import KEY_BYTES

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("LONG", "") not in {"", "0"}
"""Whether the campaigns run at full length."""
AT_ONCE = 4
"""Targets that run at the same time."""
DAY = 86_400
LIFE = 200 if LONG else 14
"""Seconds within which the events of a mixed feed expire that expire at all."""


def name(number: int) -> str:
    return f"e{number}"


def number(event_id: str) -> int:
    return int(event_id[1:])


def in_parallel(job: Callable[..., Any], cases: Iterable[Any], at_once: int = AT_ONCE) -> None:
    """Do a job for several cases at once, and fail as the first fails; print how others fail.

    A case is the job's argument, or a tuple of its arguments.
    """
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(job, *(c if isinstance(c, tuple) else (c,))) for c in cases]
    failures = [failure for future in futures if (failure := future.exception())]
    for failure in failures[1:]:
        traceback.print_exception(failure)
    for failure in failures:
        raise failure


# Input

COLUMNS = ("id", "event_id", "event_time", "email", "value")
SCHEMA = json.dumps(
    {
        "type": "SCHEMA",
        "stream": "orders",
        "schema": {"type": "object", "properties": {column: {} for column in COLUMNS}},
        "key_properties": ["id"],
    }
)


class Feed:
    """Records and STATEs of a tap: the same for the same seed, a STATE `every` so many records.

    If it is mixed, some records expire soon, are too old, have nobody, or are poison.
    """

    def __init__(self, count: int, seed: int, *, every: int = 25, mixed: bool = True) -> None:
        self.count = count
        self.every = every
        self.poison: set[str] = set()
        self.expected: dict[str, str] = {}
        self.expires: dict[str, int] = {}
        self._rng = random.Random(seed)  # noqa: S311
        self._began = int(time.time())
        self._mixed = mixed
        self._lines: list[str] = []
        self.states: list[int] = []
        for n in range(count):
            self._lines.append(self._record(n))
            if self._rng.random() * every < 1 or n == count - 1:
                self.states.append(n + 1)
        self._state_after = set(self.states)

    def _record(self, n: int) -> str:
        event_time, address = self._began - 3600, f'"buyer{n}@example.com"'
        kind = self._rng.random() if self._mixed else 1.0
        if kind < 0.002:
            self.poison.add(name(n))
            self.expected[name(n)] = "refused_by_api"
        elif kind < 0.01:
            self.expected[name(n)] = "no_identity"
            address = "null"
        elif kind < 0.02:
            self.expected[name(n)] = "event_too_old"
            event_time -= 8 * DAY
        elif kind < 0.05:
            self.expires[name(n)] = self._began + self._rng.randrange(2, LIFE)
            event_time = self.expires[name(n)] + 60 - 7 * DAY
        return (
            f'{{"type":"RECORD","stream":"orders","record":{{"id":{n},"event_id":"{name(n)}",'
            f'"event_time":{event_time},"email":{address},"value":{n % 9000 / 100}}}}}'
        )

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[str]:
        """The messages of a tap that goes on from a bookmark."""
        yield SCHEMA
        for n in range(start, self.count if end is None else end):
            yield self._lines[n]
            if n + 1 in self._state_after:
                yield f'{{"type":"STATE","value":{{"n":{n + 1}}}}}'


# The store, seen from outside


def reserved(store: Path | str, run_id: str) -> int:
    """How many events a run has reserved."""
    query = "SELECT run.id, keys FROM reservation JOIN run ON run.number = reservation.run"
    return sum(len(keys) for one, keys in ask(store, query) if one == run_id) // KEY_BYTES


_BURIAL = (
    "UPDATE run SET alive_until = 0 WHERE id = ?",
    "DELETE FROM reservation WHERE run = (SELECT number FROM run WHERE id = ?)",
)


def bury(store: Path | str, run_id: str) -> None:
    """Let the reservations of a run that was killed lapse at once, as another run does in time.

    A file is checked for damage, and left as the run has left it, so that the next run recovers it.
    """
    if isinstance(store, str):
        for sql in _BURIAL:
            ask(store, sql, run_id)
        return
    url = f"file:{store}"
    reader = sqlite3.connect(f"{url}?mode=ro", uri=True)  # Closed last, it moves nothing.
    writer = sqlite3.connect(f"{url}?mode=rw", uri=True)
    with contextlib.closing(reader), contextlib.closing(writer):
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with writer:
            for sql in _BURIAL:
                writer.execute(sql, [run_id])


# The watch over STATE


class Watch:
    """Looks, at the moment a STATE appears, whether everything before it has its fate.

    The run begins with `bookmark`, and its dead letters are in the store.
    """

    def __init__(self, server: FaultyServer, store: Path | str, bookmark: int = 0) -> None:
        self.bookmark = bookmark
        self.problems: list[str] = []
        self.count = 0
        self.store = store
        self._server = server

    def look(self, line: str) -> None:
        """Judge a STATE line."""
        stands_for = json.loads(line)["n"]
        self.count += 1
        if stands_for <= self.bookmark:
            self.problems.append(f"STATE {stands_for} after {self.bookmark}")
        waiting = self._undelivered(map(name, range(self.bookmark, stands_for)))
        if waiting:
            letters = {event for (event,) in ask(self.store, "SELECT event_id FROM dead_letter")}
            # A dead letter goes when its event is delivered: by another run, at this moment.
            waiting = self._undelivered(event for event in waiting if event not in letters)
        if waiting:
            self.problems.append(f"STATE {stands_for} is ahead of {len(waiting)}: {waiting[:3]}")
        self.bookmark = stands_for

    def _undelivered(self, events: Iterable[str]) -> list[str]:
        delivered = self._server.delivered
        return [event for event in events if event not in delivered]


# Runs

SETTINGS: dict[str, Any] = {"request_timeout_seconds": 1, "max_retry_seconds": 120}


def run_against(
    rule: Callable[[Request], Reply], folder: Path, lines: Iterable[str], **given: Any
) -> tuple[Running, Watch, FaultyServer]:
    """Run a target over messages against an API of its own, to its end, and watch its STATE."""
    with FaultyServer(rule) as server, contextlib.closing(Launcher(folder, server.url)) as target:
        watch = Watch(server, target.store)
        given = {"patience": 60.0, **SETTINGS, **given}
        run = target.run(*lines, on_stdout=watch.look, **given)
    return run, watch, server


def assert_adds_up(run: Running, read: int | None = None) -> Counts:
    """Check that each record that was read has one outcome, by the run's own account; return it."""
    assert len(run.totals) == 1, run.log
    total = run.summary["total"]
    assert total.adds_up, total
    assert ("without an outcome" in run.totals[0]) == bool(total.no_outcome), run.log
    assert read is None or total.read == read, total
    return total


def assert_true_letters(server: FaultyServer, feed: Feed, store: Path | str) -> None:
    """Check that each dead letter is right: what it blames did happen to that very event."""
    for event, letter in letters_by_id(store).items():
        reason = letter["reason"]
        if reason == "not_processed":
            assert event in server.named["named"], letter
        elif reason == "unconfirmed":
            assert event in server.named["unclear"], letter
        elif event in feed.expires:
            assert reason == "event_too_old", letter
        else:
            assert feed.expected.get(event) == reason, letter


def lost(server: FaultyServer, feed: Feed, store: Path | str) -> list[str]:
    """The records that are neither delivered nor dead-lettered."""
    letters = letters_by_id(store)
    return [
        event
        for event in map(name, range(feed.count))
        if event not in server.delivered and event not in letters
    ]

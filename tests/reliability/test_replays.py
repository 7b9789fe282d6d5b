"""A replay that is killed and repeated: each letter is delivered once, or left once."""

import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Reply, Request
from integration_support import (
    DAY,
    Launcher,
    Message,
    Running,
    dead_letter,
    dead_letter_lines,
    wait_until,
)
from ledger_claims import is_connected
from reliability_support import LONG, bury, letters_by_id, reserved, rows

LETTER_COUNT = 10_000 if LONG else 1_000
KILLS = 100 if LONG else 6
BATCH, AT_ONCE = 20, 4
LOOKS = 2.5
"""Seconds within which an answer is booked: a look a second, and some for a busy machine."""
STAYS = {"shop": "invalid_source", "unsure": "unconfirmed", "poison": "refused_by_api"}
"""The reasons of the letters that a replay leaves, by the word in their event IDs."""


def letters(count: int, rng: random.Random) -> Iterator[Message]:
    """Yield dead letters that can be sent, that have expired, and that stay what they are.

    The API refuses ten: a replay of which it refuses a hundred, and takes none, would fail.
    """
    for number in range(count):
        kind, same = rng.randrange(60), {"sha2": f"{number + 1:064x}"}
        if number % (count // 10) == 0:
            yield dead_letter(f"{number}-poison", **same)
        elif kind < 3:
            yield dead_letter(f"{number}-shop", source="shop", **same)
        elif kind < 6:
            yield dead_letter(f"{number}-unsure", reason="unconfirmed", **same)
        elif kind < 9:
            yield dead_letter(f"{number}-old", event_time=int(time.time()) - 9 * DAY, **same)
        else:
            yield dead_letter(f"{number}-sendable", **same)


class Replays:
    """Replays of the letters in a file and in the store; the API answers some time later."""

    def __init__(
        self, target: Launcher, server: FaultyServer, store: Path | str, rng: random.Random
    ) -> None:
        self._target = target
        self._server = server
        self._store = store
        self._rng = rng
        self._moment = threading.Event()
        self._runs = 0
        self.killed: list[float] = []
        server.answer = self._answer

    def _answer(self, request: Request) -> Reply:
        if any(event.endswith("poison") for event in request.ids):
            return Reply(400, skipped=None)
        return Reply(delay=self._rng.uniform(0, 0.15))

    def start(self, *arguments: str) -> Running:
        """Start a replay."""
        self._runs += 1
        settings = {"batch_size_rows": BATCH, "max_concurrent_requests": AT_ONCE}
        if isinstance(self._store, str):
            settings["store"] = f"{self._store}&application_name={self._application}"
        return self._target.start("replay", *arguments, **settings)

    @property
    def _application(self) -> str:
        return f"{self._target.folder.name}-{self._runs}"

    def kill(self, *arguments: str) -> None:
        """Start a replay, and end it by a signal at some moment."""
        before = len(self._server.requests)
        run = self.start(*arguments)
        self._moment.wait(self._rng.uniform(0.0, 0.6))
        if self._rng.random() < 0.5:
            until = before + self._rng.randrange(1, 30)
            end = time.monotonic() + 1.0
            while len(self._server.requests) < until and time.monotonic() < end:
                self._moment.wait(0.005)
        run.signal(self._rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))).wait()
        if run.code >= 0:  # It had come to its end, or came to it in order.
            assert run.code in {0, 143}, run.log
            return
        self.killed.append(time.monotonic())
        if isinstance(store := self._store, str):
            name = self._application
            wait_until(lambda: not is_connected(store, name), "the end of its connection")
        if found := re.search(r"run ([0-9a-f]{8}-[0-9a-f-]{27})", run.log):
            bury(self._store, found[1])

    def finish(self, *arguments: str) -> None:
        """Let a replay come to its end."""
        run = self.start(*arguments).wait(120)
        assert run.code == 0, run.log
        assert run.summary["total"].adds_up
        assert run.summary["total"].not_settled == 0
        assert reserved(self._store, str(run.run_id)) == 0


@pytest.mark.parametrize(
    "store", ["file", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])]
)
def test_kills_and_repetitions(
    to_server: Launcher, server: FaultyServer, store: str, request: pytest.FixtureRequest
) -> None:
    """Only what was in flight when a replay was killed may go a second time."""
    rng = random.Random(7)  # noqa: S311
    given = list(letters(LETTER_COUNT, rng))
    (to_server.folder / "letters.singer").write_bytes(dead_letter_lines(*given))
    place = to_server.folder if store == "file" else request.getfixturevalue("new_store_url")()
    assert (
        to_server.run(**({} if store == "file" else {"store": place})).code == 0
    )  # It creates it.
    replays = Replays(to_server, server, place, rng)
    for number in range(KILLS):
        replays.kill(*(["letters.singer"] if number % 3 == 0 else []))
    replays.finish("letters.singer")
    replays.finish()
    answers = [earlier.answered_at for _, earlier, _ in server.repeats]
    assert answers.count(None) <= len(replays.killed) * BATCH * AT_ONCE
    for answered in filter(None, answers):
        assert any(at - LOOKS < answered <= at for at in replays.killed)
    ids = [letter["record"]["event_id"] for letter in given]
    assert server.delivered == {event for event in ids if event.endswith("sendable")}
    assert rows(place, "SELECT count(*) FROM event") == [(len(server.delivered),)]
    left = {event: letter["reason"] for event, letter in letters_by_id(place).items()}
    reasons = {event: STAYS.get(event.partition("-")[2]) for event in ids}
    assert left == {event: reason for event, reason in reasons.items() if reason}

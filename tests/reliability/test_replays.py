"""A replay that is killed and repeated: each letter is delivered once, or left once."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply, Request
from integration_support import DAY, LETTERS, read_letters
from reliability_support import FIGURES, LONG

from target_liveintent.storage import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

LETTER_COUNT = 10_000 if LONG else 1_000
KILLS = 100 if LONG else 5
BATCH, AT_ONCE = 20, 4
LOOKS = 2.5
"""Seconds within which an answer is booked: a look a second, and some for a busy machine."""
LAPSE_SOON = {
    "target_liveintent.storage.ledger_file:LAPSE": 1,
    "target_liveintent.storage.ledger:_RENEWED_AFTER": 0.3,
}
"""Lets reservations of a killed replay lapse in a second, not in half a minute."""


def letters(count: int, rng: random.Random) -> Iterator[bytes]:
    """Yield dead letters that can be sent, that have expired, and that stay what they are."""
    now = int(time.time())
    for number in range(count):
        record = {
            "event_id": f"e{number}",
            "event_time": now - 3600,
            "sha2": f"{number + 1:064x}",
            "reason": "invalid_source",
            "stream": "orders",
        }
        kind = rng.randrange(60)
        if kind < 3:
            record |= {"source": "shop", "event_id": f"left-{number}"}
        elif kind < 6:
            record |= {"reason": "unconfirmed", "event_id": f"left-{number}"}
        elif kind == 6:
            record |= {"event_id": f"poison-{number}"}
        elif kind < 10:
            record |= {"event_time": now - 9 * DAY, "event_id": f"old-{number}"}
        message = {"type": "RECORD", "stream": "liveintent_dead_letters", "record": record}
        yield json.dumps(message).encode() + b"\n"


def left(folder: Path) -> list[str]:
    return [x["event_id"] for path in folder.glob("*dead-letters*") for x in read_letters(path)]


@pytest.mark.parametrize("ledger", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_kills_and_repetitions(target: Launcher, server: FaultyServer, ledger: bool) -> None:
    """Only what was in flight when a replay was killed may go a second time."""
    rng = random.Random(7 + ledger)  # noqa: S311
    path = target.folder / LETTERS
    path.write_bytes(HEAD + b"".join(letters(LETTER_COUNT, rng)))
    ids = [x["event_id"] for x in read_letters(path)]
    killed: list[float] = []

    def answer(request: Request) -> Reply:
        if any(event.startswith("poison") for event in request.ids):
            return Reply(400, skipped=None)
        return Reply(delay=rng.uniform(0, 0.15))

    server.answer = answer

    def start() -> Running:
        config = target.config(
            ledger=ledger, batch_size_rows=BATCH, max_concurrent_requests=AT_ONCE
        )
        how = {"forks": target.forks, "constants": LAPSE_SOON}
        return target.command("--config", str(config), "--replay", **how)

    moment = threading.Event()
    for _ in range(KILLS):
        before = len(server.requests)
        run = start()
        moment.wait(rng.uniform(0.0, 0.6))
        if rng.random() < 0.5:
            until = before + rng.randrange(1, 30)
            end = time.monotonic() + 1.0
            while len(server.requests) < until and time.monotonic() < end:
                moment.wait(0.005)
        run.signal(signal.SIGKILL).wait()
        killed.append(time.monotonic())
    run = start().wait(120)
    assert run.code == 0, run.log
    for event, earlier, _ in server.repeats:
        answered = earlier.answered_at
        assert answered is None or any(at - LOOKS < answered <= at for at in killed), event
    assert len(server.repeats) <= KILLS * BATCH * AT_ONCE
    sendable = {event for event in ids if event.startswith("e")}
    assert server.delivered == sendable
    stays = sorted(event for event in ids if event.startswith(("left", "poison")))
    assert sorted(left(target.folder)) == stays
    assert [one.name for one in target.folder.iterdir() if ".liveintent" in one.name] == []
    FIGURES.add("killed replays", server, events=LETTER_COUNT, kills=KILLS)

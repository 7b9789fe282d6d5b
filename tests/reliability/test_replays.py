"""A replay that is killed and repeated: each letter is delivered once, or left once."""

import random
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
from reliability_support import LONG, bury, reserved
from store_tables import count, is_connected, letters_by_id

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


def wait_for_a_moment(server: FaultyServer, rng: random.Random) -> None:
    """Let some time pass, or some requests arrive."""
    never, before = threading.Event(), len(server.requests)
    never.wait(rng.uniform(0.0, 0.6))
    if rng.random() < 0.5:
        until, end = before + rng.randrange(1, 30), time.monotonic() + 1.0
        while len(server.requests) < until and time.monotonic() < end:
            never.wait(0.005)


@pytest.mark.promise("A replay loses no dead letter and sends none twice")
@pytest.mark.parametrize(
    "store",
    ["file", pytest.param("database", marks=[pytest.mark.postgres, pytest.mark.slow])],
    indirect=True,
)
def test_kills_and_repetitions(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """Only what was in flight when a replay was killed may go a second time."""
    rng = random.Random(7)  # noqa: S311
    given = list(letters(LETTER_COUNT, rng))
    (to_server.folder / "letters.singer").write_bytes(dead_letter_lines(*given))
    killed: list[float] = []

    def answer(request: Request) -> Reply:
        if any(event.endswith("poison") for event in request.ids):
            return Reply(400, skipped=None)
        return Reply(delay=rng.uniform(0, 0.15))

    def start(name: str, *arguments: str) -> Running:
        named = f"&application_name={name}" if isinstance(store, str) else ""
        size = {"batch_size_rows": BATCH, "max_concurrent_requests": AT_ONCE}
        return to_server.start("replay", *arguments, store=f"{store}{named}", **size)

    def kill(name: str, *arguments: str) -> None:
        run = start(name, *arguments)
        wait_for_a_moment(server, rng)
        run.signal(rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))).wait()
        if run.code >= 0:  # It had come to its end, or came to it in order.
            assert run.code in {0, 143}, run.log
            return
        killed.append(time.monotonic())
        if isinstance(store, str):
            wait_until(lambda: not is_connected(store, name), "the end of its connection")
        if run.run_id:
            bury(store, run.run_id)

    server.answer = answer
    assert to_server.run(store=str(store)).code == 0  # It creates the store.
    for number in range(KILLS):
        kill(f"replay-{number}", *(["letters.singer"] if number % 3 == 0 else []))
    for arguments in (["letters.singer"], []):
        run = start("last", *arguments).wait(120)
        assert run.code == 0, run.log
        assert run.summary["total"].adds_up
        assert run.summary["total"].no_outcome == 0
        assert reserved(store, str(run.run_id)) == 0
    answers = [earlier.answered_at for _, earlier, _ in server.repeats]
    assert answers.count(None) <= len(killed) * BATCH * AT_ONCE
    late = [at for at in answers if at and not any(k - LOOKS < at <= k for k in killed)]
    assert late == []
    fates = {
        one["record"]["event_id"]: one["record"]["event_id"].partition("-")[2] for one in given
    }
    assert server.delivered == {event for event, fate in fates.items() if fate == "sendable"}
    assert count(store, "event") == len(server.delivered)
    left = {event: letter["reason"] for event, letter in letters_by_id(store).items()}
    assert left == {event: STAYS[fate] for event, fate in fates.items() if fate in STAYS}

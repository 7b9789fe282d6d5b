"""The files of a run in people's hands: moved, deleted, replaced and piped while it goes on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import (
    LETTERS,
    OFTEN,
    WITH_ID,
    numbered,
    read_letters,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faulty_server import FaultyServer
    from integration_support import Launcher, Message, Running

EVENTS = 20_000
PART = 500
"""Events between two STATEs."""


def feed(start: int, end: int) -> Iterator[Message]:
    """Return events, of which each fifth has no source, with STATEs."""
    for number, message in enumerate(numbered(end)[start:], start):
        if number % 5:
            message["record"]["source"] = "web"
        yield message
        if number % PART == PART - 1:
            yield state(number + 1)


def begin(target: Launcher, **settings: Any) -> Running:
    """Start a run whose events need a source of their own."""
    settings = {"default_source": ..., "max_dead_letter_percent": 100, **settings}
    return target.start(constants=OFTEN, **settings).send(schema(columns=(*WITH_ID, "source")))


@pytest.mark.parametrize("way", ["command", "by hand"])
def test_a_replay_during_a_run(to_server: Launcher, server: FaultyServer, way: str) -> None:
    """Each of 20,000 events is delivered once, however often dead letters are sent meanwhile."""

    def replay() -> None:
        settings = {"max_retry_seconds": 60, "patience": 60}
        if way == "command":
            run = to_server.ask("--replay", **settings)
        else:
            run = to_server.replay_by_hand(**settings)
        assert run.code == 0, run.log

    run = begin(to_server, flush_interval_seconds=1)
    for start in range(0, EVENTS, EVENTS // 5):
        run.send(*feed(start, start + EVENTS // 5))
        wait_until((to_server.folder / LETTERS).exists, "dead letters")
        replay()
    run.close_input().wait(60)
    assert (run.code, run.states[-1]) == (0, EVENTS)
    if (to_server.folder / LETTERS).exists():
        replay()
    assert len(server.delivered) == EVENTS
    assert server.repeats == []
    assert not list(to_server.folder.glob("*dead-letters*"))


@pytest.mark.parametrize("way", ["deleted", "replaced"])
def test_the_file_goes_during_a_run(target: Launcher, way: str) -> None:
    """What no STATE covers yet is in the new file before the STATE that covers it."""
    path = target.folder / LETTERS
    run = begin(target, batch_size_rows=1)
    run.send(*(m for m in feed(0, 50) if m["type"] == "RECORD"))
    wait_until(lambda: len(run.letters) == 10, "dead letters")
    if way == "deleted":
        path.unlink()
    else:
        path.rename(target.folder / "away")
        path.touch()
    run.send(*numbered(51, source="web")[50:], state(51))
    wait_until(lambda: run.states, "the STATE")
    assert [x["event_id"] for x in read_letters(path)] == [f"order-{n}" for n in range(0, 50, 5)]
    run.close_input().wait()
    assert (run.code, run.states) == (0, [51])


def test_what_a_state_covers_is_not_written_again(target: Launcher) -> None:
    """Whoever moves the files has what was covered until then; the new ones begin after it."""
    letters, rows = target.folder / LETTERS, target.folder / "sent.csv"
    run = begin(target, batch_size_rows=1, delivered_path=rows.name)
    run.send(*numbered(1, source="web"), *numbered(3)[1:], state(3))
    wait_until(lambda: run.states, "the first STATE")
    for path in (letters, rows):
        path.rename(target.folder / f"away-{path.suffix}")
    run.send(*numbered(4)[3:], *numbered(5, source="web")[4:], state(5)).close_input().wait()
    assert (run.code, run.states) == (0, [3, 5])
    assert [x["event_id"] for x in run.letters] == ["order-3"]
    assert len(rows.read_text().splitlines()) == 2


def test_a_run_does_not_feed_itself(target: Launcher) -> None:
    """A pipe hides where the letters come from; the run knows its own, and ends."""
    begin(target).send(*numbered(300)).close_input().wait()
    path = target.folder / LETTERS
    assert len(read_letters(path)) == 300
    for kept in (False, True):
        if kept:  # Unconfirmed letters are kept as they are, so they would come again as well.
            path.write_text(path.read_text().replace("invalid_source", "unconfirmed"))
        before = len(read_letters(path))
        with subprocess.Popen(["tail", "-n", "+1", "-f", path], stdout=subprocess.PIPE) as feeder:
            settings = {"default_source": ..., "max_dead_letter_percent": 100}
            run = target.start(stdin=feeder.stdout, **settings).wait()
            feeder.kill()
        assert run.code == 1
        assert "the input contains a dead letter that this run has just written" in run.last_line
        assert "--replay" in run.last_line
        assert len(read_letters(path)) <= 2 * before

"""The files of a run in people's hands: moved, deleted, replaced and piped while it goes on."""

from __future__ import annotations

import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import (
    LETTERS,
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


def begin(target: Launcher) -> Running:
    """Start a run whose events need a source of their own."""
    run = target.start(default_source=..., max_dead_letter_percent=100, flush_interval_seconds=1)
    return run.send(schema(columns=(*WITH_ID, "source")))


def replay(target: Launcher) -> Running:
    """Replay with the source that the run lacked."""
    config = str(target.config(max_retry_seconds=60))
    return target.command("--config", config, "--replay", forks=target.forks).wait(60)


def by_hand(target: Launcher) -> Running:
    """Replay as people do without the command: move the file, pipe it, delete it."""
    moved = shutil.move(target.folder / LETTERS, target.folder / "moved.singer")
    with moved.open("rb") as stdin:
        run = target.start(stdin=stdin, max_retry_seconds=60).wait(60)
    moved.unlink()
    return run


@pytest.mark.parametrize("way", [replay, by_hand])
def test_a_replay_during_a_run(to_server: Launcher, server: FaultyServer, way: Any) -> None:
    """Each of 20,000 events is delivered once, however often dead letters are sent meanwhile."""
    run = begin(to_server)
    for start in range(0, EVENTS, EVENTS // 8):
        run.send(*feed(start, start + EVENTS // 8))
        wait_until((to_server.folder / LETTERS).exists, "dead letters")
        again = way(to_server)
        assert again.code == 0, again.log
    run.close_input().wait(60)
    assert (run.code, run.states[-1]) == (0, EVENTS)
    if (to_server.folder / LETTERS).exists():
        assert way(to_server).code == 0
    assert len(server.delivered) == EVENTS
    assert server.repeats == []
    assert not list(to_server.folder.glob("*dead-letters*"))


@pytest.mark.parametrize("way", ["deleted", "moved", "replaced"])
def test_the_file_goes_during_a_run(target: Launcher, way: str) -> None:
    """What no STATE covers yet is in the new file before the STATE that covers it."""
    path = target.folder / LETTERS
    run = begin(target)
    run.send(*(m for m in feed(0, 50) if m["type"] == "RECORD"))
    wait_until(lambda: len(run.letters) == 10, "dead letters")
    if way == "deleted":
        path.unlink()
    else:
        path.rename(target.folder / "away")
    if way == "replaced":
        path.touch()
    run.send(*numbered(51, source="web")[50:], state(51))
    wait_until(lambda: run.states, "the STATE")
    assert [x["event_id"] for x in read_letters(path)] == [f"order-{n}" for n in range(0, 50, 5)]
    run.close_input().wait()
    assert (run.code, run.states) == (0, [51])


def test_what_a_state_covers_is_not_written_again(target: Launcher) -> None:
    """Whoever moves the files has what was covered until then; the new ones begin after it."""
    letters, rows = target.folder / LETTERS, target.folder / "sent.csv"
    run = target.start(default_source=..., flush_interval_seconds=1, delivered_path=rows.name)
    run.send(schema(columns=(*WITH_ID, "source")), *numbered(1, source="web"))
    run.send(*numbered(3)[1:], state(3))
    wait_until(lambda: run.states, "the first STATE")
    for path in (letters, rows):
        path.rename(target.folder / f"away-{path.suffix}")
    run.send(*numbered(4)[3:], *numbered(5, source="web")[4:], state(5)).close_input().wait()
    assert (run.code, run.states) == (0, [3, 5])
    assert [x["event_id"] for x in run.letters] == ["order-3"]
    assert len(rows.read_text().splitlines()) == 2


def test_the_folder_goes_during_a_run(target: Launcher) -> None:
    """Where the dead letters cannot be saved, no STATE says that they are."""
    folder = target.folder / "letters"
    folder.mkdir()
    run = target.start(default_source=..., dead_letter_path="letters/dead-letters.singer")
    run.send(schema(columns=(*WITH_ID, "source")), *numbered(1, source="web"))
    run.send(*numbered(3)[1:])
    wait_until(lambda: len(read_letters(folder / "dead-letters.singer")) == 2, "dead letters")
    shutil.rmtree(folder)
    run.send(state(3)).close_input().wait()
    assert (run.code, run.states) == (1, [])
    assert "dead_letter_path 'letters/dead-letters.singer' cannot be written" in run.last_line


def test_delivered_rows_follow_their_path(target: Launcher) -> None:
    """Rows that no STATE covers are in the new file as well."""
    path = target.folder / "sent.csv"
    run = target.start(delivered_path=path.name, batch_size_rows=1)
    run.send(schema(columns=WITH_ID), *numbered(3))
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 4, "rows")
    rows = path.read_text()
    path.rename(target.folder / "away.csv")
    run.send(state(3)).close_input().wait()
    assert (run.code, run.states, path.read_text()) == (0, [3], rows)


# A run that reads what it writes


@pytest.mark.parametrize("command", ["cat {}", "tail -n +1 -f {}"])
def test_a_run_does_not_feed_itself(target: Launcher, command: str) -> None:
    """A pipe hides where the letters come from; the run knows its own, and ends."""
    first = begin(target)
    first.send(*numbered(300)).close_input().wait()
    path = target.folder / LETTERS
    assert len(read_letters(path)) == 300
    config = target.config(default_source=..., max_dead_letter_percent=100)
    with subprocess.Popen(command.format(path).split(), stdout=subprocess.PIPE) as feeder:
        assert feeder.stdout is not None
        run = target.command("--config", str(config), stdin=feeder.stdout).wait()
        feeder.kill()
    if command.startswith("tail"):
        assert run.code == 1
        assert "the input contains a dead letter that this run has just written" in run.last_line
        assert "--replay" in run.last_line
    assert len(read_letters(path)) <= 2 * 300
    unconfirmed = path.read_text().replace("invalid_source", "unconfirmed")
    path.write_text(unconfirmed)  # Those are kept as they are, so they would come again as well.
    count = len(read_letters(path))
    with subprocess.Popen(["tail", "-n", "+1", "-f", path], stdout=subprocess.PIPE) as feeder:
        run = target.command("--config", str(config), stdin=feeder.stdout).wait()
        feeder.kill()
    assert run.code == 1
    assert len(read_letters(path)) <= 2 * count


# Files that are none


def test_a_device_is_refused(target: Launcher) -> None:
    """A run neither changes nor fills a device, and says what to use instead."""
    before = stat.S_IMODE(target.folder.joinpath("/dev/null").stat().st_mode)
    run = target.run(schema(), *numbered(1), dead_letter_path="/dev/null")
    assert (run.code, run.stdout) == (2, "")
    assert "setting 'dead_letter_path' must name an ordinary file, not a device" in run.last_line
    assert "on_rejection" in run.last_line
    assert stat.S_IMODE(target.folder.joinpath("/dev/null").stat().st_mode) == before


def test_somebody_elses_file_keeps_its_mode(target: Launcher) -> None:
    """Behind a link, the file is used as it is."""
    real = target.folder / "real"
    real.touch()
    real.chmod(0o664)
    (target.folder / LETTERS).symlink_to(real)
    run = begin(target)
    run.send(*numbered(1), *numbered(2, source="web")[1:], state(2)).close_input().wait()
    assert (run.code, len(read_letters(real))) == (0, 1)
    assert stat.S_IMODE(real.stat().st_mode) == 0o664


def test_two_settings_of_one_file(target: Launcher) -> None:
    """The second name is a link to the first, which no run has made yet."""
    (target.folder / "sent.csv").symlink_to(LETTERS)
    run = target.run(schema(), *numbered(1), delivered_path="sent.csv")
    assert run.code == 2
    assert "name the same file through a link: give each" in run.last_line

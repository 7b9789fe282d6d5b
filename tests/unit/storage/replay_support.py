"""Replays without a run: the outcome of each letter is given, and each step can be the last."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from fakes import LOGGER, settings

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.storage.dead_letters import DeadLetterFile
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.places import Places
from target_liveintent.storage.replayed import Replayed, count_letters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from target_liveintent.storage.letter_parts import Letters

KILLED = 99
STEPS = ("open", "write", "fsync", "rename", "replace", "unlink", "ftruncate", "truncate")
"""The calls that change something on the disk, by which a kill is placed."""
SENT = frozenset("0123")
REJECTED = "4"


def letter(event_id: str, **more: Any) -> bytes:
    """Return a dead letter."""
    record = {"event_id": event_id, **more}
    return json.dumps({"type": "RECORD", "stream": DEAD_LETTERS, "record": record}).encode() + b"\n"


def write(path: Path, *event_ids: str) -> None:
    """Write dead letters, as a run does."""
    file = DeadLetterFile(str(path))
    for event_id in event_ids:
        file.write(letter(event_id))
    file.close()


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of the dead letters in a file."""
    messages = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [one["record"] for one in messages if one["type"] == "RECORD"]


def left(folder: Path) -> list[str]:
    """Return the IDs of all letters in files named as dead letters, sorted."""
    return sorted(x["event_id"] for path in folder.glob("*dead-letters*") for x in records(path))


def others(folder: Path) -> list[str]:
    """Return the names of what else is in a folder."""
    return [path.name for path in folder.iterdir() if "dead-letters" not in path.name]


def letters_at(path: object, to: object) -> Letters:
    """Return the dead letters of a path, as a replay with this `dead_letter_path` finds them."""
    # (The URL of a folder on a disk, which no setting may have, stands for a store.)
    given = dataclasses.replace(settings(), dead_letter_path=str(to))
    return Places(given, LOGGER).letters(str(path))


def replay(path: object, to: object, run_id: str = "1", sends: Collection[str] = SENT) -> list[str]:
    """Do what a replay does: some letters are sent, one is rejected again, the others stay.

    Returns:
        The letters that were sent.
    """
    letters = letters_at(path, to)
    replayed = Replayed()
    sent = []
    with letters.alone(), contextlib.ExitStack() as at_end:
        at_end.callback(replayed.release)
        count_letters(letters.sources)
        for line in replayed.read(letters.take(run_id)):
            event_id = json.loads(line)["record"]["event_id"]
            number = replayed.current
            assert number is not None
            if event_id in sends:
                replayed.settle([number])
                sent.append(event_id)
            elif event_id == REJECTED:
                replayed.replace(number, letter(REJECTED, run_id=run_id))
        replayed.close()
    return sent


class Kills:
    """Kills a replay at each of its steps, one after the other.

    Whoever iterates gets a folder for each step, until a replay comes to its end.

    Attributes:
        step: How many calls that change something on the disk come before the kill.
        was_killed: Whether the replay came so far.
    """

    def __init__(self, tmp_path: Path) -> None:
        self.step = -1
        self.was_killed = True
        self._tmp_path = tmp_path

    def __iter__(self) -> Iterator[Path]:
        """Yield a folder for each step."""
        while self.was_killed:
            self.step += 1
            folder = self._tmp_path / str(self.step)
            folder.mkdir()
            yield folder
        assert self.step > 1, "no replay was killed"

    def replay(self, path: object, to: object, later: int = 0) -> None:
        """Replay in a child that is killed at the step, or so many steps later."""
        child = os.fork()
        if child == 0:
            try:
                _count_calls(self.step + later)
                replay(path, to, f"killed-{self.step + later}")
            except BaseException:  # noqa: BLE001 (pytest must not go on in the child)
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in {0, KILLED}
        if not later:
            self.was_killed = code == KILLED


def _count_calls(left_to_go: int) -> None:
    """End this process at a call that changes something on the disk."""

    def counted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left_to_go
            if left_to_go == 0:
                if owner is os and name == "write":  # Half of it reaches the file.
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(KILLED)
            left_to_go -= 1
            return real(*arguments, **named)

        setattr(owner, name, call)

    for name in STEPS:
        counted(os, name)
    for name in ("put", "delete"):
        counted(ObjectStore, name)

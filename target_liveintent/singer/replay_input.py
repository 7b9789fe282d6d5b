"""Runs a replay, whose input is the dead letters of the store or of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import msgspec

from target_liveintent.conversions.event_model import DEAD_LETTERS, LetterKey
from target_liveintent.errors import AllRefusedError, InputError
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.run.replay_converter import LETTER_COLUMNS, ReplayConverter
from target_liveintent.run.run import Run
from target_liveintent.settings import Account, EventDefaults
from target_liveintent.singer.reader import Message, MessageReader, decode_object
from target_liveintent.store.dead_letters import imported, letters_in
from target_liveintent.store.run_store import RunStore

_MOST_REFUSED = 100
"""If the API accepts nothing, and refuses this many events for the first time, the replay fails."""


def replay_letters(
    run: Run,
    converter: ReplayConverter,
    letters: Iterable[tuple[LetterKey, dict[str, Any]]],
    is_stopped: Callable[[], bool],
) -> None:
    """Send or drop each dead letter, or leave it in the store.

    This reads no further dead letter after `is_stopped` returns True.

    Raises:
        AllRefusedError: If the API has accepted no event, and refused at least `_MOST_REFUSED`
            events for the first time.
        RunError: If a dead letter that was read has no outcome.
    """
    counts = run.counts.of(DEAD_LETTERS)
    counts.mapped |= LETTER_COLUMNS
    for key, record in letters:
        counts.read += 1
        result = converter.convert(record)
        run.take(DEAD_LETTERS, result and msgspec.structs.replace(result, letter=key))
        run.tick()
        if is_stopped():
            break
    run.finish()
    refused = counts.rejected["refused_by_api"] - run.counts.refused_again
    if refused >= _MOST_REFUSED and not run.counts.has_taken:
        raise AllRefusedError(Failure.of(FailureCode.REPLAY_REFUSED, events=refused))


def letters_to_replay(
    source: IO[str] | None, account: Account, events: EventDefaults, store: RunStore
) -> Iterator[tuple[LetterKey, dict[str, Any]]]:
    """Yield the key and the record of each dead letter in the store, or in the file `source`.

    Dead letters of a file are first imported into the store.
    """
    if source is not None:
        # The whole file is read before the import, so that a malformed file imports nothing.
        imports = [imported(record, account, events) for record in letters_of(source)]
        letters = {letter.key: letter for letter in imports}
        store.import_letters(letters.values())
        for key, letter in letters.items():
            yield key, dict(letter.record)
        return
    # The letters of this run are left out: a letter that is rejected again may get a later key.
    for key, text in letters_in(store.database, store.number):
        yield key, decode_object(text.encode())


def letters_of(source: IO[str]) -> list[dict[str, Any]]:
    """Return the records of a stream of dead letters; raise an `InputError` for other streams."""
    letters: list[dict[str, Any]] = []
    reader = MessageReader(lambda: None)
    reader.pass_records(DEAD_LETTERS, None, letters.append)
    reader.process_lines(source, {"SCHEMA": _check_stream})
    return letters


def _check_stream(message: Message) -> None:
    if message.stream != DEAD_LETTERS:
        msg = (
            f"the file is not a stream of {DEAD_LETTERS}: replay a file that"
            " target-liveintent dead-letters --format=singer has written"
        )
        raise InputError(msg)

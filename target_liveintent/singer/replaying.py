"""A replay: the dead letters of the store, or of a file, are the input of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import msgspec

from target_liveintent.conversions import DEAD_LETTERS, LetterKey, Rejection
from target_liveintent.errors import AllRefusedError, InputError
from target_liveintent.reasons import REASONS
from target_liveintent.run import ReplayConverter, Run
from target_liveintent.settings import Settings
from target_liveintent.singer.reader import decode_message, decode_object, lines
from target_liveintent.store import RunStore, imported, letters_in, open_for_reading

_MOST_REFUSED = 100
"""After so many refused events, a replay fails if the API has accepted none."""


def replay_letters(
    run: Run,
    converter: ReplayConverter,
    letters: Iterable[tuple[LetterKey, dict[str, Any]]],
    is_stopped: Callable[[], bool],
) -> None:
    """Give each dead letter its outcome, until the end or `is_stopped`.

    Raises:
        RunError: If not every dead letter that was read has an outcome.
    """
    for key, record in letters:
        replay_letter(run, converter, key, record)
        run.tick()
        check_refusals(run)
        if is_stopped():
            break
    run.finish()
    check_refusals(run)


def replay_letter(
    run: Run, converter: ReplayConverter, key: LetterKey, record: dict[str, Any]
) -> None:
    """Send a dead letter, drop it, or leave it in the store."""
    counts = run.counts.of(DEAD_LETTERS)
    counts.read += 1
    result = converter.convert(record)
    if result is None:
        return
    if isinstance(result, Rejection) and REASONS[result.reason].is_kept:
        counts.not_replayed[result.reason] += 1
        return
    # If it is refused again, its dead letter names the stream that it came from.
    result = msgspec.structs.replace(result, stream=str(record.get("stream")), letter=key)
    run.take(DEAD_LETTERS, result)


def check_refusals(run: Run) -> None:
    """Fail if the API has refused many events of a replay, and has accepted none."""
    refused = run.counts.total.rejected["refused_by_api"]
    if refused >= _MOST_REFUSED and not run.counts.has_taken:
        msg = (
            f"the API refused all {refused} events that the replay has sent, so the cause may"
            " be in the settings: check pixel_id and customer_id, then start the replay again."
            " The dead letters are in the store"
        )
        raise AllRefusedError(msg)


def letters_to_replay(
    source: IO[str] | None, settings: Settings, store: RunStore | None
) -> Iterator[tuple[LetterKey, dict[str, Any]]]:
    """Yield the dead letters of the store, or of a file; these are in the store before that.

    Args:
        source: The file; None for the dead letters of the store.
        settings: The settings.
        store: The store; None in a dry run.
    """
    if source is not None:
        # All are read before one is imported: of a file that cannot be read, nothing is.
        letters = {one.key: one for one in (imported(r, settings) for r in letters_of(source))}
        if store is not None:
            store.import_letters(letters.values())
        yield from ((key, dict(one.record)) for key, one in letters.items())
        return
    # A letter that is rejected again may get a key behind this one.
    database, run = (
        (open_for_reading(settings), 0) if store is None else (store.database, store.number)
    )
    for key, text in letters_in(database, run):
        yield key, decode_object(text.encode())


def letters_of(source: IO[str]) -> Iterator[dict[str, Any]]:
    """Yield the dead letters of a Singer stream.

    Raises:
        InputError: If a line is no dead letter.
    """
    for number, line in enumerate(lines(source, lambda: True), 1):
        if not line.strip():
            continue
        try:
            message = decode_message(line)
            record = decode_object(message.record) if message.type == "RECORD" else None
        except InputError as error:
            msg = f"line {number} of the dead letters cannot be read: {error}"
            raise InputError(msg) from None
        if message.stream != DEAD_LETTERS or message.type not in {"SCHEMA", "RECORD"}:
            msg = f"line {number} is no message of the stream {DEAD_LETTERS}"
            raise InputError(msg)
        if record is not None:
            yield record

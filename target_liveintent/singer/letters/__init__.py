"""What `--dead-letters` finds in files or objects: read, judged, counted, and rendered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.errors import InputError
from target_liveintent.privacy import redact_value
from target_liveintent.settings import Settings, is_url
from target_liveintent.singer.letters.judge import replay_judge
from target_liveintent.singer.letters.model import DeadLetters, NoLetters
from target_liveintent.singer.letters.render import as_lines
from target_liveintent.singer.letters.tally import LetterTally
from target_liveintent.singer.reader import Record, decode_message, decode_object, line_decoder
from target_liveintent.storage import (
    LetterLine,
    Places,
    letter_files,
    letter_lines,
    object_lines,
)

__all__ = ["as_lines", "look_at"]

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)


def look_at(
    path: str, settings: Settings, notes: Iterable[str], now: Callable[[], float] = time.time
) -> DeadLetters:
    """Count what is in the dead letters at a path.

    Args:
        path: A file, a folder as Spark writes it, or the URL of a folder. Nothing has to be there.
        settings: Those of a replay.
        notes: What there is to say about the settings.
        now: Returns the Unix time as of which the letters are judged.

    Raises:
        ConfigurationError: If the URL's bucket is not there, or the package for it.
        StorageError: If they cannot be read.
    """
    count, lines = _count_and_lines(path, settings)
    tally = LetterTally(replay_judge(settings, now))
    others = NoLetters()
    # As in a run, nearly every line is a RECORD that can be decoded in one pass.
    decode_line = line_decoder(DEAD_LETTERS, None)
    for line in lines:
        letters = _letters(line.text, decode_line)
        if letters is None:
            others = _with(others, line)
        else:
            for letter in letters:
                tally.add(letter)
    return DeadLetters(
        path=redact_value(path),
        notes=list(notes),
        files=count,
        letters=tally.letters,
        first=tally.times[0],
        last=tally.times[1],
        replay=tally.prospects,
        reasons=tally.reasons,
        written_for=tally.addressees,
        others=others,
    )


def _count_and_lines(path: str, settings: Settings) -> tuple[int, Iterable[LetterLine]]:
    if is_url(path):
        objects = Places(settings, logging.getLogger(__name__)).letters(path).sources
        return len(objects), object_lines(objects)
    files = letter_files(path)
    return len(files), letter_lines(files)


def _letters(
    line: bytes, decode_line: Callable[[bytes], Record]
) -> tuple[dict[str, Any], ...] | None:
    """Return the dead letter of a line, if it has one; None if it belongs to something else."""
    try:
        return (decode_line(line).record,)
    except _UNREADABLE:
        pass
    if not line.strip():
        return ()
    try:
        message = decode_message(line)
        if message.stream == DEAD_LETTERS and message.type == "RECORD":
            return (decode_object(message.record),)
    except InputError:
        return None
    return () if message.stream == DEAD_LETTERS and message.type == "SCHEMA" else None


def _with(others: NoLetters, line: LetterLine) -> NoLetters:
    """Return the count of lines that are not dead letters, with one more."""
    replace = msgspec.structs.replace
    if not line.is_whole:
        return replace(others, unfinished=others.unfinished + 1)
    if not others.lines:
        others = replace(others, first_file=redact_value(line.file), first_line=line.number)
    return replace(others, lines=others.lines + 1)

"""Compares what a recorded stream becomes with the file of `--expect`."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain import Expectation, Explained
from target_liveintent.privacy import scrub, without_secrets

_MOST_PARTS = 100
"""Events and rejections whose difference is shown."""


class _Rejected(msgspec.Struct, omit_defaults=True):
    event_id: str
    reason: str
    field: str | None = None
    detail: str | None = None


class _Stream(msgspec.Struct, forbid_unknown_fields=True):
    stream: str
    read: int
    filtered: int
    events: list[msgspec.Raw]
    rejections: list[msgspec.Raw]


class _Recording(msgspec.Struct, forbid_unknown_fields=True):
    """What a recording becomes: the content of the file."""

    streams: list[_Stream]


def compare(plans: Sequence[Explained], path: str) -> Expectation:
    """Compare what the records become with a file; where there is none, write it.

    Raises:
        InputError: If there are no records, or the file is another one than this function writes.
        StorageError: If the file cannot be read or written.
    """
    if not any(one.counts.read for one in plans):
        msg = "--expect needs records, but the input has none"
        raise InputError(msg)
    recording = _Recording([_stream(explained) for explained in plans])
    text = without_secrets(_formatted(msgspec.json.encode(recording))) + "\n"
    expectation = Expectation(
        path,
        sum(len(one.events) for one in recording.streams),
        sum(len(one.rejections) for one in recording.streams),
    )
    expected = _read(path)
    if expected is None:
        _write(path, text)
        expectation.written = True
        return expectation
    try:
        before, now = (
            _parts(msgspec.json.decode(one, type=_Recording)) for one in (expected, text)
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        msg = (
            f"the file '{path}' was not written by --expect, so it stays unchanged: delete the"
            " file, or give --expect another file"
        )
        raise InputError(msg) from None
    expectation.difference = list(_difference(before, now, path))
    return expectation


def _stream(explained: Explained) -> _Stream:
    counts = explained.counts
    rejections = (
        _Rejected(one.event_id, one.reason, one.field, one.detail and scrub(one.detail))
        for one in explained.rejections
    )
    return _Stream(
        explained.plan.stream,
        counts.read,
        counts.filtered,
        [msgspec.Raw(body) for body in explained.events],
        [msgspec.Raw(msgspec.json.encode(one)) for one in rejections],
    )


def _formatted(text: bytes | msgspec.Raw) -> str:
    """Return JSON with a line for each value; numbers keep their digits, objects their order."""
    return msgspec.json.format(bytes(text), indent=2).decode()


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"the file given to --expect, '{path}', cannot be read: {error.strerror}"
        raise StorageError(msg) from None


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"--expect cannot write the expected result to '{path}': {error.strerror}"
        raise StorageError(msg) from None


_Parts = dict[tuple[str, str, int], str]


def _parts(recording: _Recording) -> _Parts:
    """Return the JSON of each part of a recording by its stream, its name, and its repetition."""
    parts: _Parts = {}
    repeated: Counter[tuple[str, str]] = Counter()
    for stream in recording.streams:
        counts = msgspec.json.encode({"read": stream.read, "filtered": stream.filtered})
        for raw in (counts, *stream.events, *stream.rejections):
            named = (stream.stream, _name(msgspec.json.decode(raw, type=dict[str, Any])))
            parts[(*named, repeated[named])] = _formatted(raw)
            repeated[named] += 1
    return parts


def _name(part: dict[str, Any]) -> str:
    if "eventId" in part:
        return f"event {part['eventId']}"
    return f"rejection {part['event_id']}" if "event_id" in part else "records"


def _difference(before: _Parts, now: _Parts, path: str) -> Iterator[str]:
    """Yield a diff of those parts that differ, each as a whole.

    A diff of the whole text would take minutes where each of thousands of events differs.
    """
    differing = [part for part in {**before, **now} if before.get(part) != now.get(part)]
    if not differing and list(before) == list(now):
        return
    yield f"--- {path}"
    yield "+++ what the input becomes now"
    for part in differing[:_MOST_PARTS]:
        stream, name, _ = part
        yield f"@@ {stream}: {name} @@"
        old, new = (parts.get(part, "").splitlines() for parts in (before, now))
        yield from itertools.islice(difflib.unified_diff(old, new, n=1_000, lineterm=""), 3, None)
    if not differing:
        yield "@@ the same in another order @@"
    if hidden := differing[_MOST_PARTS:]:
        yield f"@@ and {len(hidden):,} more @@"

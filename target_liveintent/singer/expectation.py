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
from target_liveintent.explain.description import Expectation, Explained
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.redaction import without_secrets

_MOST_PARTS = 100
"""How many events and rejections are shown with their difference."""
_Recording = dict[str, dict[str, msgspec.Raw]]
"""What each stream becomes: its counts, events and rejections, each by a name. It is the file."""


def compare(plans: Sequence[Explained], path: str) -> Expectation:
    """Compare what the records become with a file; where there is none, write it.

    Raises:
        InputError: If there are no records, or the file is another one than this function writes.
        StorageError: If the file cannot be read or written.
    """
    if not any(one.counts.read for one in plans):
        msg = "--expect needs records, but the input has none"
        raise InputError(msg)
    recording = msgspec.json.encode(_recording(plans))
    text = without_secrets(_formatted(recording)) + "\n"
    events, rejections = (
        sum(map(len, lists))
        for lists in ((one.conversions for one in plans), (one.rejections for one in plans))
    )
    expectation = Expectation(path, events, rejections)
    try:
        expected = Path(path).read_bytes() if Path(path).exists() else None
        if expected is None:
            Path(path).write_text(text, encoding="utf-8")
            expectation.written = True
            return expectation
        before, now = (msgspec.json.decode(one, type=_Recording) for one in (expected, text))
    except OSError as error:
        msg = f"the file of --expect, '{path}', cannot be read or written: {error.strerror}"
        raise StorageError(msg) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        msg = (
            f"the file '{path}' was not written by --expect, so it stays unchanged: delete the"
            " file, or give --expect another file"
        )
        raise InputError(msg) from None
    expectation.difference = list(_difference(before, now, path))
    return expectation


def _recording(plans: Sequence[Explained]) -> dict[str, dict[str, Any]]:
    recording: dict[str, dict[str, Any]] = {}
    names: Counter[tuple[str, str]] = Counter()
    for explained in plans:
        stream = explained.plan.stream
        for name, part in _parts(explained):
            names[stream, name] += 1
            repeated = names[stream, name] > 1
            named = f"{name} ({names[stream, name]})" if repeated else name
            recording.setdefault(stream, {})[named] = part
    return recording


def _parts(explained: Explained) -> Iterator[tuple[str, Any]]:
    counts = explained.counts
    yield "records", {"read": counts.read, "filtered": counts.filtered}
    for event in explained.conversions:
        yield f"event {event.event_id}", msgspec.Raw(event.body)
    for one in explained.rejections:
        detail = one.detail and scrub(one.detail)
        said = {"reason": one.reason, "field": one.field, "detail": detail}
        yield f"rejection {one.event_id}", {name: text for name, text in said.items() if text}


def _formatted(text: bytes | msgspec.Raw) -> str:
    """Return JSON with a line for each value; numbers keep their digits, objects their order."""
    return msgspec.json.format(bytes(text), indent=2).decode()


def _difference(before: _Recording, now: _Recording, path: str) -> Iterator[str]:
    """Yield a diff of those parts that differ, each as a whole, in whatever order they are.

    A diff of the whole text would take minutes where each of thousands of events differs.
    """
    old, new = (
        {(of, name): _formatted(one) for of, parts in all_of.items() for name, one in parts.items()}
        for all_of in (before, now)
    )
    differing = [part for part in {**old, **new} if old.get(part) != new.get(part)]
    if differing:
        yield f"--- {path}"
        yield "+++ what the input becomes now"
    for stream, name in differing[:_MOST_PARTS]:
        yield f"@@ {stream}: {name} @@"
        was, is_now = (parts.get((stream, name), "").splitlines() for parts in (old, new))
        diff = difflib.unified_diff(was, is_now, n=1_000, lineterm="")
        yield from itertools.islice(diff, 3, None)  # Its own heading says less.
    if hidden := differing[_MOST_PARTS:]:
        yield f"@@ and {len(hidden):,} more @@"

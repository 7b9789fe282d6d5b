"""Compares the events and rejections of a recorded stream with the file of `--expect`."""

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
"""Maximum number of events and rejections whose differences are shown."""
_Parts = dict[str, msgspec.Raw]
"""The counts, events and rejections of all streams in JSON, by a name like `orders: event 7`."""


def compare(plans: Sequence[Explained], path: str) -> Expectation:
    """Compare events and rejections with those in a file; create the file if it does not exist.

    Args:
        plans: The counts, events and rejections of each stream map.
        path: The path of the file.

    Raises:
        InputError: If the input has no records, or the file is not one that this function writes.
        StorageError: If the file cannot be read or written.
    """
    if not any(plan.counts.read for plan in plans):
        msg = "--expect needs records, but the input has none"
        raise InputError(msg)
    text = without_secrets(_formatted(msgspec.json.encode(_parts(plans)))) + "\n"
    events = sum(len(plan.conversions) for plan in plans)
    rejections = sum(len(plan.rejections) for plan in plans)
    expectation, file = Expectation(path, events, rejections), Path(path)
    try:
        if not file.exists():
            file.write_text(text, encoding="utf-8")
            expectation.written = True
            return expectation
        before, now = (msgspec.json.decode(it, type=_Parts) for it in (file.read_bytes(), text))
    except OSError as error:
        msg = f"the file of --expect, '{path}', cannot be read or written: {error.strerror}"
        raise StorageError(msg) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        msg = (
            f"the content of the file '{path}' is not what --expect writes, so the file stays"
            " unchanged: repair the file, or give --expect the path of another file"
        )
        raise InputError(msg) from None
    expectation.difference = list(_difference(before, now, path))
    return expectation


def _parts(plans: Sequence[Explained]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for explained in plans:
        for kind, part in _parts_of(explained):
            name = f"{explained.plan.stream}: {kind}"
            times[name] += 1
            parts[f"{name} ({times[name]})" if name in parts else name] = part
    return parts


def _parts_of(explained: Explained) -> Iterator[tuple[str, Any]]:
    counts = explained.counts
    yield "records", {"read": counts.read, "filtered": counts.filtered}
    for event in explained.conversions:
        yield f"event {event.event_id}", msgspec.Raw(event.body)
    for rejection in explained.rejections:
        detail = rejection.detail and scrub(rejection.detail)
        said = {"reason": rejection.reason, "field": rejection.field, "detail": detail}
        words = {name: text for name, text in said.items() if text}
        yield f"rejection {rejection.event_id}", words


def _formatted(text: bytes | msgspec.Raw) -> str:
    """Return indented JSON with each value on its own line, and with the same digits and order."""
    return msgspec.json.format(bytes(text), indent=2).decode()


def _difference(before: _Parts, now: _Parts, path: str) -> Iterator[str]:
    """Yield the lines of a diff for each part that differs; the order of the parts may differ.

    A diff of the whole text would take minutes if thousands of events differ.
    """
    old, new = ({name: _formatted(one) for name, one in of.items()} for of in (before, now))
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if differing:
        yield f"--- {path}"
        yield "+++ what the input becomes now"
    for name in differing[:_MOST_PARTS]:
        yield f"@@ {name} @@"
        was, is_now = (parts.get(name, "").splitlines() for parts in (old, new))
        diff = difflib.unified_diff(was, is_now, n=1_000, lineterm="")
        yield from itertools.islice(diff, 3, None)  # Skips the diff's own heading.
    if hidden := differing[_MOST_PARTS:]:
        yield f"@@ and {len(hidden):,} more @@"

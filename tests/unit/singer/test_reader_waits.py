"""What happens while the reader waits for a line of the tap."""

from __future__ import annotations

import os
import time
from pathlib import Path

from target_liveintent.singer.reader import lines

LINE = b'{"type":"STATE","value":{}}'


def test_a_silent_tap_does_not_stop_the_clock() -> None:
    """While no line comes, `goes_on` is called about once a second, until it returns False."""
    readable, writable = os.pipe()
    calls: list[float] = []
    started = time.monotonic()

    def goes_on() -> bool:
        calls.append(time.monotonic() - started)
        return len(calls) < 3

    with os.fdopen(readable) as source, os.fdopen(writable, "wb"):
        assert list(lines(source, goes_on)) == []
    assert len(calls) == 3
    assert calls[-1] < 3.0


def test_what_ends_the_wait_for_a_line() -> None:
    """While a tap is waited for, a descriptor that becomes readable ends the wait."""
    pipes = [os.pipe() for _ in range(2)]
    (readable, writable), (wake, waking) = pipes
    calls: list[float] = []

    def goes_on() -> bool:
        calls.append(time.monotonic())
        os.write(waking, b"x")
        return len(calls) < 2

    with os.fdopen(readable) as source:
        assert list(lines(source, goes_on, [wake])) == []
    assert calls[1] - calls[0] < 0.5
    for descriptor in (writable, wake, waking):
        os.close(descriptor)


def test_an_input_leaves_no_descriptor_open() -> None:
    """What is opened to wait for signals is closed at the end of the input."""
    readable, writable = os.pipe()
    os.write(writable, LINE)
    os.close(writable)
    with os.fdopen(readable) as source:
        before = set(Path("/dev/fd").iterdir())
        assert list(lines(source, lambda: True)) == [LINE]
        assert set(Path("/dev/fd").iterdir()) == before

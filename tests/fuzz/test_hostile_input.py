"""Hostile lines end in a clear line or a rejection, soon and in bounded memory.

One of each kind goes through a process. Lines that the reader refuses by itself are in
`tests/unit/singer/test_reader.py`; `test_fuzz.py` has any others.
"""

import contextlib
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from faulty_server import FaultyServer
from integration_support import TOKEN, WITH_ID, Launcher, Running, lines, order, schema, state

MEGABYTE = 1_000_000
SOON = 10.0
"""Seconds within which a hostile line must have its end."""
SMALL = 150 * MEGABYTE
"""Memory of a process that has read nothing big."""


def run(target: Launcher, *messages: Any, **settings: Any) -> tuple[Running, int]:
    """Run a target over an input, and return it with its greatest resident memory."""
    path = target.folder / "hostile.singer"
    path.write_bytes(lines(messages))
    peak = 0
    with path.open("rb") as stdin:
        running = target.start(stdin=stdin, **settings)
        status = Path(f"/proc/{running.process.pid}/status")
        end = time.monotonic() + SOON
        while running.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                peak = max(peak, int(found[1]) * 1024 if found else 0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(0.005)
        return running.wait(0.1), peak


def clear(running: Running) -> bool:
    """Whether a failed run says why in one line, without a traceback and without showing much."""
    (line,) = filter(None, running.warnings)
    hidden = ("Traceback", "this is a bug", "s3cr3t", TOKEN)
    return running.code == 1 and len(line) < 400 and not any(one in running.log for one in hidden)


def record(text: str) -> str:
    return f'{{"type":"RECORD","stream":"orders","record":{text}}}'


def now() -> int:
    return int(order(1)["record"]["event_time"])


def full(**columns: str) -> str:
    """Return a RECORD that gives an event, with columns as JSON text."""
    more = "".join(f',"{name}":{text}' for name, text in columns.items())
    return record(f'{{"event_id":"x","event_time":{now()},"email":"a@example.com"{more}}}')


COLUMNS = (*WITH_ID, "order_id", "user_agent", "source_url", "note")
START = [schema(columns=COLUMNS), order(1), state(1)]


def test_a_line_of_50_megabytes(to_server: Launcher, server: FaultyServer) -> None:
    """A record with a column of 50 MB is an event as any other, in a few copies of the line."""
    text = "x@4.0 and more " * (50 * MEGABYTE // 15)
    running, peak = run(to_server, *START, full(user_agent=f'"{text}"'), state(2))
    assert running.code == 0, running.log[-2000:]
    assert (running.states[-1], server.accepted[-1]) == (2, "x")
    assert peak < SMALL + 6 * 50 * MEGABYTE


def test_junk_of_50_megabytes(to_server: Launcher, server: FaultyServer) -> None:
    """What is no message ends the run in one clear line, in a few copies of the line.

    What was read before it is delivered, and its STATE written.
    """
    start = b'{"type":"RECORD","stream":"orders","record":{"a":"'
    junk = start + b"s3cr3t " * (50 * MEGABYTE // 7)
    running, peak = run(to_server, *START, junk, state(2))
    assert clear(running), running.log[-2000:]
    assert "line 4" in running.last_line
    assert (running.states, len(server.accepted)) == ([1], 1)
    assert peak < SMALL + 6 * 50 * MEGABYTE


def test_many_long_lines_one_after_the_other(to_server: Launcher) -> None:
    """Memory is that of one line, not of all."""
    long = [full(note=f'"{"x" * 5 * MEGABYTE}"') for _ in range(15)]
    running, peak = run(to_server, *START, *long, state(2))
    assert (running.code, running.states[-1]) == (0, 2)
    assert peak < SMALL + 60 * MEGABYTE


# Strange values, which are a column's own trouble


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + "1" + closing * depth


STRANGE: list[tuple[str, str]] = [
    ("value", "NaN"),
    ("value", "1e400"),
    ("value", "1." + "9" * 5_000),
    ("order_id", '"\\ud800x"'),
    ("note", '{"\\udfff":1}'),
    ("user_agent", '"a\\u0000b"'),
    ("value", '1,"value":2'),
    ("event_id", '"y","event_id":"x"'),
    ("order_id", nested(900)),
    ("user_agent", nested(900, '{"a":', "}")),
    ("order_id", "1e-99999999"),
    ("value", "1e-999999999"),
    ("source_url", json.dumps("https://x/?" + "a=b&" * 30_000 + "%" * 30_000)),
]


def strange() -> list[str]:
    """Return a RECORD for each of them, of an event of its own."""
    records = (full(**{column: text}) for column, text in STRANGE)
    return [one.replace('"x"', f'"{number}"') for number, one in enumerate(records)]


def test_strange_values(to_server: Launcher, server: FaultyServer) -> None:
    """Each leaves its record an event, without the column if it cannot be used."""
    running, peak = run(to_server, *START, *strange(), state(2), batch_size_rows=1)
    assert (running.code, running.states[-1]) == (0, 2), running.log[-3000:]
    assert running.summary["total"].adds_up
    assert running.summary["total"].delivered == len(STRANGE) + 1
    assert max(len(request.body) for request in server.requests) < MEGABYTE
    assert peak < SMALL

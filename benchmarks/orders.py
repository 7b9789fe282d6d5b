"""Generates the orders of a fictional shop as a Singer stream, faster than any target reads them.

The module generates a few blocks of orders once, as text with placeholders for the parts in which
the orders of a shop differ: ID, order number, address, and the last digits of time and amount. For
each block of output it fills in the placeholders. So ten million orders need no file and little
time, and a target's caches are no more effective than with a real shop.

    python -m benchmarks.orders COUNT [--columns 12] [--now UNIX_TIME] [--seed 7] > orders.singer
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import re
import signal
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1_000
"""Orders between two STATE messages."""
_BLOCKS = 20
"""The number of different blocks; apart from the placeholders, the stream repeats after them."""
_HOUR = 3_600  # seconds
_MAX_AGE = 5 * 24 * _HOUR
"""Seconds. The API accepts web events of the last 7 days, and a benchmark may run for hours."""

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Chrome/140.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {_WEBKIT} Mobile/15E148 Safari/604.1",
    f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36",
)
_NAMES = ("ada.adler", "Bea.Brook", "chloe_castle", "dan", "EVE.ELM", "finn.frost", "grace-grove")
_DOMAINS = ("gmail.com", "Gmail.com", "example.com", "example.net", "Example.org")
_CAMPAIGNS = ("newsletter", "search", "social", "partner")

_TEXT = {"type": ["string", "null"]}
_PROPERTIES: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "created_at": {"type": ["string", "null"], "format": "date-time"},
    "email": _TEXT,
    "total_price": _TEXT,
    "currency": _TEXT,
    "browser_ip": _TEXT,
    "user_agent": _TEXT,
    "landing_site": _TEXT,
    "financial_status": _TEXT,
    "order_number": {"type": ["integer", "null"]},
    "test": {"type": ["boolean", "null"]},
    "total_tax": {"type": ["number", "null"]},
}

COLUMNS = len(_PROPERTIES)
"""The default number of columns of an order."""
_PLACEHOLDER = re.compile(rb"<(orders|second|cents|more)>")
_encode = msgspec.json.Encoder().encode


def blocks(count: int, columns: int = COLUMNS, now: int = 0, seed: int = 7) -> Iterator[bytes]:
    """Generate the stream: a SCHEMA, the RECORD messages, and a STATE after every 1,000 of them.

    The same arguments give the same bytes.

    Args:
        count: The number of orders.
        columns: The number of columns of each order. Columns beyond 12 are not used by any map.
        now: A Unix time; the events are between an hour and 5 days older.
        seed: The seed of the random numbers.

    Yields:
        Whole lines.
    """
    added = {
        f"column_{n}": f"value {n} of a column that no map names" for n in range(COLUMNS, columns)
    }
    more = b"," + _encode(added)[1:-1] if added else b""
    schema = {"type": "object", "properties": _PROPERTIES | dict.fromkeys(added, _TEXT)}
    yield _line({"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema})
    rng = random.Random(seed)
    templates = [_block(rng, now) for _ in range(min(-(-count // BLOCK), _BLOCKS))]
    for number, done in enumerate(range(0, count, BLOCK)):
        texts = {
            b"orders": b"%08d" % number,
            b"second": b"%02d" % (number % 60),
            b"cents": b"%02d" % (number % 100),
            b"more": more,
        }
        pieces = templates[number % len(templates)].copy()
        pieces[1::2] = [texts[placeholder] for placeholder in pieces[1::2]]
        block = b"".join(pieces)
        if done + BLOCK > count:
            yield b"".join(block.splitlines(keepends=True)[: count - done])
            return
        yield block
        yield _line({"type": "STATE", "value": {"bookmarks": {"orders": {"n": done + BLOCK}}}})


def _line(message: dict[str, Any]) -> bytes:
    return _encode(message) + b"\n"


def _block(rng: random.Random, now: int) -> list[bytes]:
    """Return a block in pieces that alternate between text and the names of placeholders."""
    return _PLACEHOLDER.split(b"".join(_record(rng, now, place) for place in range(BLOCK)))


def _record(rng: random.Random, now: int, place: int) -> bytes:
    moment = dt.datetime.fromtimestamp(now - rng.randint(_HOUR, _MAX_AGE), dt.timezone.utc)
    created_at = f"{moment:%Y-%m-%dT%H:%M}:<second>+00:00"
    tag = rng.choice(("", "", "", "+shop"))
    order = {
        "id": "<orders>" + str(uuid.UUID(int=rng.getrandbits(128), version=4))[8:],
        "created_at": created_at,
        "email": f"{rng.choice(_NAMES)}.<orders>{place:03d}{tag}@{rng.choice(_DOMAINS)}",
        "total_price": f"{rng.lognormvariate(4, 0.7):.0f}.<cents>",
        "currency": rng.choice(("USD", "USD", "EUR", "GBP")),
        # 198.18.0.0/15 is reserved for benchmarks (RFC 2544).
        "browser_ip": f"198.{rng.randint(18, 19)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
        "user_agent": rng.choice(_BROWSERS),
        "landing_site": f"https://shop.example.com/products/{rng.randint(1, 999)}"
        f"?utm_source={rng.choice(_CAMPAIGNS)}",
        "financial_status": "paid",
        "order_number": msgspec.Raw(f"1<orders>{place:03d}".encode()),
        "test": False,
        "total_tax": round(rng.random() * 20, 2),
    }
    head = b'{"type":"RECORD","stream":"orders","record":'
    tail = f'<more>}},"time_extracted":"{created_at}"}}\n'.encode()
    return head + _encode(order)[:-1] + tail


def main() -> None:
    """Write the stream to standard output."""
    parser = argparse.ArgumentParser(description="Make the orders of a fictional web shop.")
    parser.add_argument("count", type=int)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--now", type=int, default=int(time.time()))
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if sys.platform != "win32":  # End quietly when the reader closes the pipe.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for block in blocks(given.count, given.columns, given.now, given.seed):
        sys.stdout.buffer.write(block)


if __name__ == "__main__":
    main()

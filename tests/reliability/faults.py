"""Faults for campaigns: the same seed fails the same requests in the same way, in any order."""

import email.utils
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Collection

from faulty_server import Reply, Request

UNCLEAR = (b"", b"[]", b'{"processed": 3}', b'["nobody"]', b"[1, 2]", b"ok", b"\xff\xfe", b"null")
"""Bodies of a 200 that do not say what was processed."""
JUNK = (b"", b"<html>no</html>", b"\x00\xff\xfe", b'{"errors":', b"x" * 70_000)
"""Bodies of other answers: they mean nothing."""


Fault = Callable[[random.Random, Request], Reply]


def _status(status: int) -> Fault:
    return lambda rng, _: Reply(status, rng.choice(JUNK), skipped=None)


def _wait_seconds(rng: random.Random, _: Request) -> Reply:
    status = rng.choice((429, 429, 503))
    return Reply(status, headers={"Retry-After": rng.choice("01")}, skipped=None)


def _wait_date(rng: random.Random, _: Request) -> Reply:
    date = email.utils.formatdate(time.time() + rng.choice((-5, 0, 1)), usegmt=True)
    return Reply(429, headers={"Retry-After": date}, skipped=None)


def _reset(_: random.Random, __: Request) -> Reply:
    return Reply(None, skipped=None)


def _garbage(rng: random.Random, _: Request) -> Reply:
    raw = rng.choice((b"\x16\x03\x01 no HTTP\r\n\r\n", b"HTTP/1.1 twohundred\r\n\r\n", b"\r\n"))
    return Reply(raw=raw, skipped=rng.choice(((), None)))


def _partial(rng: random.Random, request: Request) -> Reply:
    if len(request.ids) < 2:
        return _unclear(rng, request)
    named = rng.sample(request.ids, rng.randrange(1, len(request.ids)))
    return Reply(200, json.dumps(named).encode(), skipped=frozenset(named))


def _unclear(rng: random.Random, _: Request) -> Reply:
    return Reply(200, rng.choice(UNCLEAR))


_TRUNCATED = Reply(raw=b"HTTP/1.1 503 Broken\r\nContent-Length: 500\r\n\r\nhalf", skipped=None)
_FALSE_GZIP = Reply(502, b"this is no gzip", {"Content-Encoding": "gzip"}, skipped=None)
KINDS: dict[str, tuple[int, Fault]] = {
    **{f"{status}": (2, _status(status)) for status in (500, 502, 503, 504)},
    **{f"{status}": (1, _status(status)) for status in (408, 425)},
    "wait seconds": (2, _wait_seconds),
    "wait until": (2, _wait_date),
    "reset": (3, _reset),
    "lost": (3, lambda *_: Reply(None)),
    "slow": (2, lambda rng, _: Reply(delay=1.4, skipped=rng.choice(((), None)))),
    "garbage": (2, _garbage),
    "truncated": (1, lambda *_: _TRUNCATED),
    "false gzip": (1, lambda *_: _FALSE_GZIP),
    "partial": (1, _partial),
    "unclear": (1, _unclear),
}
"""The faults, each with its weight."""


class Faults:
    """Fails requests at a rate: the same ones, in the same way, for the same seed.

    Args:
        seed: Of all decisions.
        rate: Share of requests that fail.
        in_a_row: Failures of one event after which a request with it succeeds: an event that fails
            ten times among others counts as one on which the API always fails.
        poison: Events for which the API refuses the whole request.
    """

    def __init__(
        self, seed: int, rate: float, *, in_a_row: int = 3, poison: Collection[str] = ()
    ) -> None:
        self._seed = seed
        self._rate = rate
        self._in_a_row = in_a_row
        self._poison = frozenset(poison)
        self._tried: Counter[str] = Counter()
        self._names = list(KINDS)
        self._weights = [weight for weight, _ in KINDS.values()]

    def __call__(self, request: Request) -> Reply:
        """Decide about a request."""
        attempt = max(self._tried[event] for event in request.ids)
        rng = random.Random(f"{self._seed} {request.ids[0]} {len(request.ids)} {attempt}")  # noqa: S311
        if attempt < self._in_a_row and rng.random() < self._rate:
            self._tried.update(request.ids)
            (name,) = rng.choices(self._names, self._weights)
            reply = KINDS[name][1](rng, request)
            if reply.skipped is None or not self._poison.intersection(request.ids):
                return reply._replace(fault=name)
            return _reset(rng, request)._replace(fault="reset")  # Poison is never processed.
        for event in request.ids:
            del self._tried[event]
        if self._poison.intersection(request.ids):
            return Reply(400, b'{"errors": [{"message": "one of them is bad"}]}', skipped=None)
        # Answers overtake each other.
        return Reply(delay=rng.choice((0.0, 0.0, 0.01, 0.03)))

"""Runs of a target through a gateway: what it delivers through which limit, and what came of it."""

from __future__ import annotations

import contextlib
import math
import subprocess
import tempfile
import time
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks.bench import Bench, Stream
from benchmarks.gateway import Behind, Gateway, Limit, Sandbox, TallyingApi, environment
from benchmarks.processes import LIMIT, ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BATCH = 100
"""Events in a batch."""
_BUSY_SECONDS = 20
"""Seconds of an ideal run below which runs do not share the machine."""
_POLL_SECONDS = 0.05
_REFUSED = frozenset({429, 503})


class Case(NamedTuple):
    """A situation.

    Attributes:
        what: The situation in words.
        limit: What nginx refuses.
        batches: How many batches are delivered.
        ideal: Seconds from the first request to the last answer, at best.
        ratio: The aim: time over `ideal`, at most.
        refused: The aim: percent of requests refused, at most; None if there is none.
        settings: Settings of the target beside the required ones.
        latency: Seconds that the API takes for an answer; None for the sandbox, which takes few
            milliseconds.
        workers: How many requests the API serves at the same time; 0 for any number.
        is_long: Whether the case runs only when asked for.
    """

    what: str
    limit: Limit
    batches: int
    ideal: float
    ratio: float | None = None
    refused: int | None = None
    settings: Mapping[str, Any] = MappingProxyType({})
    latency: float | None = None
    workers: int = 0
    is_long: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether milliseconds count, so that its run must have the machine for itself."""
        return self.latency is not None or self.ideal < _BUSY_SECONDS


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run.

    Attributes:
        seconds: From the first request to the last answer; if the run failed, to its end.
        exit_code: The target's; None if the benchmark ended it, as it took too long.
        requests: Requests in nginx's log.
        refused: Those among them that got 429 or 503.
        events: Events that the API accepted.
        once: Whether each accepted event arrived once, at most 100 in a request.
        p95: Seconds within which 95 % of the accepted requests had their answer.
        message: The last line that a run that failed wrote to standard error.
    """

    seconds: float
    exit_code: int | None
    requests: int
    refused: int
    events: int
    once: bool
    p95: float
    message: str = ""

    @property
    def share(self) -> float:
        """Percent of the requests that were refused."""
        return 100 * self.refused / max(1, self.requests)


class Trial:
    """One run of a target through nginx.

    Args:
        name: The name of the case.
        case: The case.
        code: The checkout whose code runs.
        source: Makes the orders, and knows what must arrive.

    Attributes:
        gateway: nginx, from the start to the end of the run.
    """

    def __init__(self, name: str, case: Case, code: Path, source: Bench) -> None:
        """Start nothing yet."""
        self.name = name
        self.code = code
        self._case = case
        self._source = source
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start the API, nginx and the target."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="limits-")))
        stream = Stream(self._case.batches * BATCH)
        self._api = self._stack.enter_context(self._make_api(stream))
        self.gateway = self._stack.enter_context(Gateway(folder, self._case.limit, self._api.url))
        command = Bench(folder).command("target", self.gateway.url, self._case.settings)
        orders = self._stack.enter_context(self._source.orders_file(stream).open("rb"))
        self._errors: IO[bytes] = self._stack.enter_context((folder / "errors.txt").open("w+b"))
        self._target = subprocess.Popen(
            command,
            stdin=orders,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=environment(self.code, self.gateway.certificate),
            cwd=folder,
        )
        self._stack.enter_context(ending(self._target))
        self._began = time.time()

    def has_ended(self) -> bool:
        """Return whether the target has ended; it is killed if it takes too long."""
        if self._target.poll() is not None:
            return True
        if time.time() - self._began > LIMIT:
            self._target.kill()
            self._target.wait()
        return self._target.returncode is not None

    def outcome(self) -> Outcome:
        """Return what came of the run, after its end."""
        ended = time.time()
        events, once = self._api.arrived()
        self.gateway.close()
        answers = self.gateway.answers()
        code: int | None = self._target.returncode
        if code == 0 and answers:
            ended = max(line.started_at + line.seconds for line in answers)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        taken = sorted(line.seconds for line in answers if line.status not in _REFUSED)
        return Outcome(
            seconds=round(ended - (answers[0].started_at if answers else self._began), 2),
            exit_code=None if code is not None and code < 0 else code,
            requests=len(answers),
            refused=len(answers) - len(taken),
            events=events,
            once=once,
            p95=taken[int(len(taken) * 0.95)] if taken else math.nan,
            message=lines[-1].rpartition(" | ")[2] if code and lines else "",
        )

    def close(self) -> None:
        """End everything that was started."""
        self._stack.close()

    def _make_api(self, stream: Stream) -> Behind:
        if self._case.latency is None:
            return Sandbox()
        expected = self._source.tally_of_floor(stream)
        return TallyingApi(self._case.latency, self._case.workers, expected)


def measure(trials: Sequence[Trial], at_once: int) -> Iterator[tuple[Trial, Outcome]]:
    """Make runs, some at the same time, and yield each with what came of it."""
    waiting, running = list(trials), list[Trial]()
    try:
        while waiting or running:
            if waiting and len(running) < at_once:
                running.append(waiting.pop(0))
                running[-1].start()
            for trial in [trial for trial in running if trial.has_ended()]:
                outcome = trial.outcome()
                yield trial, outcome
                running.remove(trial)
                trial.close()
            time.sleep(_POLL_SECONDS)
    finally:
        for trial in running:
            trial.close()

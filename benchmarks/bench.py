"""Compares programs: they take turns on the same orders, and each run is checked."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks import PIXEL_ID, processes
from benchmarks.orders import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.tally import Tally

_CUSTOMER = "a-1b2c"
_STREAM_MAPS: dict[str, Any] = {
    "orders": {
        "__filter__": "financial_status == 'paid' and not test",
        "__key_properties__": ["event_id"],
        "__else__": None,
        "event_id": "id",
        "event_time": "created_at",
        "email": "email",
        "value": "float(total_price)",
        "currency": "currency",
        "order_id": "str(order_number)",
        "ip": "browser_ip",
        "user_agent": "user_agent",
        "source_url": "landing_site",
        "source": "'web'",
    }
}
"""The stream map of both targets."""
_TIME = re.compile(rb'(?<="created_at":")[^"]+')


class Stream(NamedTuple):
    """The orders that a program reads.

    Attributes:
        size: The number of orders.
        columns: The number of columns of each order.
        piped: Whether the orders are generated while the program reads them, instead of in advance
            into a file.
        by_time: Whether they are in the order of their time, as of a tap with a replication key,
            and not in any order. Only those in a file can be.
    """

    size: int
    columns: int = COLUMNS
    piped: bool = False
    by_time: bool = False


class Candidate(NamedTuple):
    """One of the programs that are compared.

    Attributes:
        program: `target`, `naive` or `floor`.
        stream: The orders that it reads.
        settings: Settings of the target in addition to the required ones.
    """

    program: str
    stream: Stream
    settings: Mapping[str, Any] = MappingProxyType({})


class Figures(msgspec.Struct, frozen=True):
    """The results of one program: the medians of its runs.

    Attributes:
        cpu: CPU time per event in microseconds, without the start-up.
        rate: Events per second, without the start-up.
        peak: Peak memory in MiB.
    """

    cpu: float
    rate: float
    peak: float


class Bench:
    """Makes the runs of a benchmark.

    Args:
        folder: Where to write files: the settings, and the orders that are not piped.
    """

    def __init__(self, folder: Path) -> None:
        """Fix the current time, before which all orders were made."""
        self._folder = folder
        self._now = int(time.time())
        self._expected: dict[Stream, Tally] = {}

    def compare(self, latency: float, runs: int, **candidates: Candidate) -> dict[str, Figures]:
        """Measure programs in turns, so that a slow minute of the machine affects all of them.

        Args:
            latency: Seconds before each answer of the API.
            runs: The number of runs of each program.
            candidates: The programs, by the names to use in the result.

        Raises:
            FailedRunError: If a program fails or sends other events than the floor.
        """
        full: dict[str, list[processes.Usage]] = {name: [] for name in candidates}
        empty: dict[str, list[processes.Usage]] = {name: [] for name in candidates}
        for turn in range(1, runs + 1):
            for name, (program, stream, settings) in candidates.items():
                options = "".join(f", {key} {value}" for key, value in settings.items())
                what = f"{program} of {stream.size:,} orders, {latency:g} s latency{options}"
                show_progress(f"{what}, run {turn} of {runs}")
                with processes.Api(latency) as api:
                    command = self.command(program, api.url, settings)
                    empty[name].append(self._run(command, stream._replace(size=0)))
                    api.take()
                    full[name].append(self._run(command, stream))
                    self._check(program, stream, api.take())
        return {
            name: _figures(processes.median(full[name]), processes.median(empty[name]), stream.size)
            for name, (_, stream, _) in candidates.items()
        }

    def start_up(self, runs: int) -> tuple[float, float]:
        """Return the seconds that the target takes without orders, and those of the naive target.

        The latter is what any target of the SDK takes.
        """
        target, naive = [], []
        with processes.Api() as api:
            command = self.command("target", api.url, {})
            other = self.command("naive", api.url, {})
            for turn in range(1, runs + 1):
                show_progress(f"start-up, run {turn} of {runs}")
                target.append(self._run(command, Stream(0)))
                naive.append(self._run(other, Stream(0)))
        return processes.median(target).wall, processes.median(naive).wall

    def silence(self, seconds: float) -> float | None:
        """Return the target's CPU time, in milliseconds per minute, while its tap is silent.

        The result is None if the operating system does not provide it.
        """
        show_progress(f"a tap that is silent for {seconds:g} s")
        few = Stream(10)
        with processes.Api() as api:
            first = self.orders_file(few).read_bytes()
            cpu = processes.silence(self.command("target", api.url, {}), first, seconds)
            if cpu is None:
                return None
            self._check("target", few, api.take())
        return cpu * 1_000

    def command(self, program: str, url: str, settings: Mapping[str, Any]) -> list[str]:
        """Write the settings of a program to a file, and return its command line.

        Args:
            program: `target`, `naive` or `floor`.
            url: The URL of the API.
            settings: Additional settings of the target.
        """
        url_of_customer = f"{url}/conversions/{_CUSTOMER}"
        if program == "floor":
            return processes.module("floor", url_of_customer)
        content = {"pixel_id": PIXEL_ID, "stream_maps": _STREAM_MAPS, **settings}
        path = self._folder / f"{program}.json"
        if program == "naive":
            path.write_bytes(msgspec.json.encode(content | {"api_url": url_of_customer}))
            return processes.module("naive", "--config", path)
        content |= {
            "api_url": url,
            "customer_id": _CUSTOMER,
            "auth_token": "benchmark-token",
        }
        if "store" not in settings:  # A new one for each run, because the orders repeat.
            content["store"] = str(self._folder / f"store-{time.time_ns()}.sqlite")
        path.write_bytes(msgspec.json.encode(content))
        target = Path(sysconfig.get_path("scripts")) / "target-liveintent"
        return [str(target), "--config", str(path)]

    def tally_of_floor(self, stream: Stream) -> Tally:
        """Return the tally of the events that must arrive for a stream."""
        if stream._replace(piped=False) not in self._expected:
            with processes.Api() as api:
                self._run(self.command("floor", api.url, {}), stream)
                self._check("floor", stream, api.take())
        return self._expected[stream._replace(piped=False)]

    def _check(self, program: str, stream: Stream, tally: Tally) -> None:
        """Check what arrived in a run.

        Raises:
            FailedRunError: If other events arrived than those of the floor.
        """
        if program == "floor":
            expected = self._expected.setdefault(stream._replace(piped=False), tally)
        else:
            expected = self.tally_of_floor(stream)
        if problem := tally.problem(stream.size, expected):
            msg = f"{program}: {problem}"
            raise processes.FailedRunError(msg)

    def _run(self, command: list[str], stream: Stream) -> processes.Usage:
        with self._open(stream) as source:
            return processes.run(command, source)

    @contextlib.contextmanager
    def _open(self, stream: Stream) -> Iterator[IO[bytes]]:
        if stream.piped:
            with processes.orders(stream.size, stream.columns, self._now) as source:
                yield source
        else:
            with self.orders_file(stream).open("rb") as source:
                yield source

    def orders_file(self, stream: Stream) -> Path:
        """Return the file with the orders of a stream that is not piped."""
        order = "-by-time" if stream.by_time else ""
        path = self._folder / f"{stream.size}-{stream.columns}{order}.singer"
        if not path.exists():
            command = processes.module(
                "orders", stream.size, "--columns", stream.columns, "--now", self._now
            )
            with path.open("wb") as file:
                subprocess.run(
                    command, stdout=file, check=True, cwd=processes.ROOT, timeout=processes.LIMIT
                )
            if stream.by_time:
                lines = path.read_bytes().splitlines(keepends=True)
                lines.sort(key=_created_at)  # All STATEs come first, which does no harm.
                path.write_bytes(b"".join(lines))
        return path


def _created_at(line: bytes) -> bytes:
    """Return the time of an order; the SCHEMA comes before all of them."""
    found = _TIME.search(line)
    return found.group() if found else b""


def _figures(full: processes.Usage, empty: processes.Usage, count: int) -> Figures:
    return Figures(
        cpu=round((full.cpu - empty.cpu) / count * 1e6, 3),
        rate=round(count / (full.wall - empty.wall), 1),
        peak=round(full.peak, 1),
    )


def show_progress(text: str) -> None:
    """Print a line about the progress of the benchmarks to standard error."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)

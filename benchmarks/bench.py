"""Runs that are compared: the programs take turns on the same orders, and each run is checked."""

from __future__ import annotations

import contextlib
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
"""Of both targets."""


class Stream(NamedTuple):
    """What a program reads.

    Attributes:
        size: How many orders.
        columns: How many columns each has.
        piped: Whether they are made while they are read, and not before, in a file.
    """

    size: int
    columns: int = COLUMNS
    piped: bool = False


class Entry(NamedTuple):
    """One of the programs that are compared.

    Attributes:
        program: `target`, `naive` or `floor`.
        stream: What it reads.
        settings: Of the target, beside those that it needs.
    """

    program: str
    stream: Stream
    settings: Mapping[str, Any] = MappingProxyType({})


class Figures(msgspec.Struct, frozen=True):
    """What came out for a program: medians of its runs.

    Attributes:
        cpu: Microseconds of CPU time an event, without the start-up.
        rate: Events a second, without the start-up.
        peak: The most memory that it held at a time, in MiB.
    """

    cpu: float
    rate: float
    peak: float


class Bench:
    """Makes the runs of a benchmark.

    Args:
        folder: Takes the files: settings, and orders that are not piped.
    """

    def __init__(self, folder: Path) -> None:
        """Fix the time that all orders count back from."""
        self._folder = folder
        self._now = int(time.time())
        self._right: dict[Stream, Tally] = {}

    def compare(self, latency: float, runs: int, **entries: Entry) -> dict[str, Figures]:
        """Measure programs side by side: in turns, so that a slow minute hits all of them.

        Args:
            latency: Of the API, in seconds.
            runs: How often each has its turn.
            entries: The programs, by the names that their figures have.

        Raises:
            FailedRunError: If one of them fails, or does not send what the floor sends.
        """
        full: dict[str, list[processes.Usage]] = {name: [] for name in entries}
        empty: dict[str, list[processes.Usage]] = {name: [] for name in entries}
        for turn in range(1, runs + 1):
            for name, (program, stream, settings) in entries.items():
                given = "".join(f", {key} {value}" for key, value in settings.items())
                what = f"{program} of {stream.size:,} orders, {latency:g} s latency{given}"
                say(f"{what}, run {turn} of {runs}")
                with processes.Api(latency) as api:
                    command = self.command(program, api.url, settings)
                    empty[name].append(self._run(command, stream._replace(size=0)))
                    api.take()
                    full[name].append(self._run(command, stream))
                    self._check(program, stream, api.take())
        return {
            name: _figures(processes.median(full[name]), processes.median(empty[name]), stream.size)
            for name, (_, stream, _) in entries.items()
        }

    def start_up(self, runs: int) -> tuple[float, float]:
        """Seconds that the target takes over no orders, and Python to import the SDK's target."""
        bare = [sys.executable, "-c", "import singer_sdk.target_base"]
        target, imports = [], []
        with processes.Api() as api:
            command = self.command("target", api.url, {})
            for turn in range(1, runs + 1):
                say(f"start-up, run {turn} of {runs}")
                target.append(self._run(command, Stream(0)))
                imports.append(processes.run(bare, subprocess.DEVNULL))
        return processes.median(target).wall, processes.median(imports).wall

    def silence(self, seconds: float) -> float | None:
        """Milliseconds of CPU time that the target takes in a minute in which its tap is silent."""
        say(f"a tap that is silent for {seconds:g} s")
        few = Stream(10)
        with processes.Api() as api:
            first = self._file(few).read_bytes()
            taken = processes.silence(self.command("target", api.url, {}), first, seconds)
            if taken is None:
                return None
            self._check("target", few, api.take())
        return taken * 1_000

    def command(self, program: str, url: str, settings: Mapping[str, Any]) -> list[str]:
        """The command line of a program, for an API at a URL; writes its settings to a file."""
        url_of_customer = f"{url}/conversions/{_CUSTOMER}"
        if program == "floor":
            return processes.module("floor", url_of_customer)
        given = {"pixel_id": PIXEL_ID, "stream_maps": _STREAM_MAPS, **settings}
        path = self._folder / f"{program}.json"
        if program == "naive":
            path.write_bytes(msgspec.json.encode(given | {"api_url": url_of_customer}))
            return processes.module("naive", "--config", path)
        given |= {
            "api_url": url,
            "customer_id": _CUSTOMER,
            "auth_token": "benchmark-token",
            "dead_letter_path": str(self._folder / "dead-letters.singer"),
        }
        path.write_bytes(msgspec.json.encode(given))
        target = Path(sysconfig.get_path("scripts")) / "target-liveintent"
        return [str(target), "--config", str(path)]

    def _tally_of_floor(self, stream: Stream) -> Tally:
        """What must arrive of a stream."""
        if stream._replace(piped=False) not in self._right:
            with processes.Api() as api:
                self._run(self.command("floor", api.url, {}), stream)
                self._check("floor", stream, api.take())
        return self._right[stream._replace(piped=False)]

    def _check(self, program: str, stream: Stream, tally: Tally) -> None:
        """See that a run counts.

        Raises:
            FailedRunError: If other events arrived than those of the floor.
        """
        if program == "floor":
            right = self._right.setdefault(stream._replace(piped=False), tally)
        else:
            right = self._tally_of_floor(stream)
        if problem := tally.problem(stream.size, right):
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
            with self._file(stream).open("rb") as source:
                yield source

    def _file(self, stream: Stream) -> Path:
        path = self._folder / f"{stream.size}-{stream.columns}.singer"
        if not path.exists():
            command = processes.module(
                "orders", stream.size, "--columns", stream.columns, "--now", self._now
            )
            with path.open("wb") as file:
                subprocess.run(
                    command, stdout=file, check=True, cwd=processes.ROOT, timeout=processes.LIMIT
                )
        return path


def _figures(full: processes.Usage, empty: processes.Usage, count: int) -> Figures:
    return Figures(
        cpu=round((full.cpu - empty.cpu) / count * 1e6, 3),
        rate=round(count / (full.wall - empty.wall), 1),
        peak=round(full.peak, 1),
    )


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"benchmark: {text}", file=sys.stderr, flush=True)

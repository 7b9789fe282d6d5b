"""Measures how soon a target delivers through an API's limit: nginx with TLS before the sandbox.

    python -m benchmarks.limits [--before FOLDER] [--only NAME ...] [--runs N] [--long]
                                [--logs FOLDER]

`--before` names a checkout of an older version, which makes the same runs; without it, its figures
stay as they are. `--long` adds the run that takes a quarter of an hour, `--logs` keeps nginx's logs
(when a request was answered, how long it took, and the status). Writes `benchmarks/limits.json`,
from which docs/performance.md is generated.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import results
from benchmarks.bench import Bench, show_progress
from benchmarks.gateway import Limit, check_code, check_programs
from benchmarks.processes import ROOT, FailedRunError
from benchmarks.trials import BATCH, Case, Outcome, Trial, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = Path(__file__).with_name("limits.json")
_AT_ONCE = 6
"""How many runs take place at the same time, if they mostly wait for a limit."""


def _paced(  # noqa: PLR0913 (the columns of a table)
    what: str,
    per_second: float,
    batches: int,
    ratio: float | None = None,
    refused: int | None = None,
    *,
    burst: int = 1,
    status: int = 429,
    retry_after: str = "",
    is_long: bool = False,
    **settings: Any,
) -> Case:
    """Return a case with a limit of requests per second. In the ideal, none is refused."""
    limit = Limit(f"{per_second * 60:.0f}r/m", burst, 0, status, retry_after)
    ideal = (batches - burst) / per_second
    return Case(what, limit, batches, ideal, ratio, refused, settings, is_long=is_long)


_SLOW: dict[str, Any] = {"status": 503, "max_retry_seconds": 20}
CASES = {
    "5": _paced("5 requests a second", 5, 200, 1.35, 25),
    "40": _paced("40 requests a second", 40, 200, 1.35, 25),
    "bursts": _paced("20 requests a second, up to 20 at once", 20, 200, 1.5, 20, burst=20),
    "1": _paced("1 request a second", 1, 60, 1.6, 25),
    "1-8": _paced(
        "1 request a second; `max_concurrent_requests` is 8",
        1,
        60,
        1.6,
        25,
        max_concurrent_requests=8,
    ),
    "1-32": _paced(
        "1 request a second; `max_concurrent_requests` is 32",
        1,
        60,
        1.6,
        25,
        max_concurrent_requests=32,
    ),
    "long": _paced(
        "1 request a second; `max_concurrent_requests` is 32",
        1,
        600,
        1.6,
        25,
        is_long=True,
        max_concurrent_requests=32,
    ),
    "1-1": _paced(
        "1 request a second; throttled requests get `Retry-After: 1`",
        1,
        30,
        1.6,
        40,
        retry_after="1",
    ),
    "1-30": _paced(
        "1 request a second; throttled requests get `Retry-After: 30`", 1, 30, retry_after="30"
    ),
    "503": _paced(
        "1 request in 2 seconds; throttled requests get 503; `max_retry_seconds` is 20",
        0.5,
        40,
        1.6,
        50,
        **_SLOW,
    ),
    "503-5": _paced(
        "1 request in 2 seconds; throttled requests get 503 and `Retry-After: 5`;"
        " `max_retry_seconds` is 20",
        0.5,
        40,
        2.0,
        50,
        retry_after="5",
        **_SLOW,
    ),
    "connections": Case(
        "4 connections at a time; answers take 50 ms",
        Limit(connections=4),
        800,
        800 / 4 * 0.05,
        latency=0.05,
    ),
    "queue": Case(
        "any number of requests, but serves 4 at a time (50 ms each); the others wait",
        Limit(),
        800,
        800 / 4 * 0.05,
        1 / 0.9,
        latency=0.05,
        workers=4,
    ),
    "open": Case(
        "any number of requests; answers take 100 ms",
        Limit(),
        1_500,
        1_500 * BATCH / 15_000,
        1,
        latency=0.1,
    ),
}


class Pair(msgspec.Struct):
    """The runs of one case.

    Attributes:
        before: Those of the older version.
        now: Those of this version.
    """

    before: list[Outcome] = []
    now: list[Outcome] = []


class Measured(msgspec.Struct):
    """The content of `limits.json`.

    Attributes:
        machine: The machine and the day.
        before: The commit of the older version; empty if there is none.
        cases: The runs by the name of their case.
    """

    machine: results.Machine
    before: str = ""
    cases: dict[str, Pair] = {}


# For the documentation


def load(path: Path = RESULTS) -> Measured:
    """Read the results; they are empty if there is no file."""
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Measured)
    return Measured(results.this_machine())


def save(measured: Measured, path: Path = RESULTS) -> None:
    """Write the results."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")


def table(measured: Measured | None = None) -> str:
    """Return the figures as Markdown."""
    measured = load() if measured is None else measured
    machine = measured.machine
    where = (
        f"Measured on {machine.date}, with Python {machine.python}, on {machine.cores} cores of an"
        f" {machine.cpu}. The figures in the column *before* are those of commit"
        f" {measured.before or 'unknown'}."
    )
    lines = [
        where,
        "",
        "| the API allows | batches | ideal | before | now | aim |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in CASES.items():
        if pair := measured.cases.get(name):
            cells = (
                case.what,
                f"{case.batches:,}",
                f"{case.ideal:.0f} s",
                _cell(case, pair.before),
                _cell(case, pair.now),
                _aim(case),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(case: Case, outcomes: Sequence[Outcome]) -> str:
    """Return the run of a median time, the slower of two; of those that failed if any did."""
    failed = [outcome for outcome in outcomes if outcome.exit_code != 0]
    chosen = sorted(failed or outcomes, key=lambda outcome: outcome.seconds)
    if not chosen:
        return ""
    outcome = chosen[len(chosen) // 2]
    size = case.batches * BATCH
    warning = "" if outcome.once else ", **not each event once**"
    if failed:
        of = f" in {len(failed)} of {len(outcomes)} runs" if len(outcomes) > 1 else ""
        return (
            f"**fails**{of} after {outcome.seconds:.0f} s, with {outcome.events:,} of"
            f" {size:,} events delivered, {outcome.share:.0f} % throttled{warning}"
        )
    if outcome.events != size:
        warning = f", **{outcome.events:,} events arrived**"
    ratio = f"{outcome.seconds:.1f} s ({outcome.seconds / case.ideal:.2f})"
    return f"{ratio}, {_detail(case, outcome)}{warning}"


def _detail(case: Case, outcome: Outcome) -> str:
    """Return the figure of a run that counts in addition to its time."""
    if case.workers:
        return f"95 % of answers in {outcome.p95 * 1_000:.0f} ms"
    if case.limit == Limit():
        return f"{outcome.events / outcome.seconds:,.0f} events a second"
    return f"{outcome.share:.0f} % throttled"


def _aim(case: Case) -> str:
    if case.ratio is None:
        return "no failure"
    if case.workers:
        within = f"{4 * 1_000 * (case.latency or 0):.0f} ms"
        return f"ratio ≤ {case.ratio:.2f}, 95 % of answers within {within}"
    if case.limit == Limit():
        return f"{case.batches * BATCH / case.ideal:,.0f} events a second"
    return f"ratio ≤ {case.ratio:.2f}, ≤ {case.refused} % throttled"


# The command line


def main() -> int:
    """Measure, and write and print the results; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark --limits", allow_abbrev=False)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout to compare with")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help="these cases")
    parser.add_argument("--runs", type=int, default=1, help="runs of each case (default: 1)")
    parser.add_argument("--long", action="store_true", help="the run of 10 minutes as well")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="where to keep nginx's logs")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that all child processes end.
    names = given.only or [n for n, case in CASES.items() if given.long or not case.is_long]
    versions = {"now": ROOT} | ({"before": given.before.resolve()} if given.before else {})
    try:
        check_programs()
        for code in versions.values():
            check_code(code)
        _measure_all(names, versions, given.runs, given.logs)
    except FailedRunError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(table())
    return 0


def _emptied(names: Sequence[str], versions: Mapping[str, Path]) -> Any:
    """Return the results of before, without those of the cases and versions to measure."""
    measured = load()
    measured.machine = results.this_machine()
    if before := versions.get("before"):
        command = ["git", "-C", str(before), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        measured.before = done.stdout.strip()
    for name in names:
        pair = measured.cases.setdefault(name, Pair())
        for version in versions:
            setattr(pair, version, [])
    return measured


def _trials(
    source: Bench, names: Sequence[str], versions: Mapping[str, Path], runs: int
) -> list[Trial]:
    each = itertools.product(range(runs), names, versions.values())
    return [Trial(name, CASES[name], code, source) for _, name, code in each]


def _measure_all(
    names: Sequence[str], versions: Mapping[str, Path], runs: int, logs: Path | None
) -> None:
    measured = _emptied(names, versions)
    version_of = {code: version for version, code in versions.items()}
    # The longest first, so that none of them runs alone at the end.
    ordered = sorted(names, key=lambda name: -CASES[name].ideal)
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        source = Bench(Path(folder))
        for is_busy in (False, True):
            chosen = [name for name in ordered if CASES[name].is_busy == is_busy]
            trials = _trials(source, chosen, versions, runs)
            for trial, outcome in measure(trials, 1 if is_busy else _AT_ONCE):
                version = version_of[trial.code]
                show_progress(f"{trial.name}, {version}: {outcome}")
                outcomes = getattr(measured.cases[trial.name], version)
                outcomes.append(outcome)
                save(measured)
                if logs:
                    trial.gateway.copy_log(logs / f"{trial.name}-{version}-{len(outcomes)}.log")


if __name__ == "__main__":
    sys.exit(main())

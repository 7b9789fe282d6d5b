"""The command line. `scripts/benchmark` prepares the environment, then runs this module."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import aims, processes, results, series, tables
from benchmarks.bench import Bench, show_progress

_BUILD = processes.ROOT / "build"
"""Ignored by Git; for quick results, which are too rough to keep."""
_MATPLOTLIB = _BUILD / "site-packages"
_QUICK_SHARE = 0.02
"""The share of the counts of the series that a quick run measures."""


def main() -> int:
    """Run the benchmarks and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="rough figures in less time")
    parser.add_argument(
        "--plots", action="store_true", help="measure the series for the plots instead"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that all child processes end.
    began = time.perf_counter()
    path = _BUILD / "benchmarks" / "results.json" if given.quick else results.RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        bench = Bench(Path(folder))
        try:
            if given.plots:
                _measure_series(bench, path, quick=given.quick)
            else:
                _measure_aims(bench, path, quick=given.quick)
        except processes.FailedRunError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    seconds = time.perf_counter() - began
    show_progress(f"wrote {path.relative_to(processes.ROOT)} after {seconds:.0f} s")
    return 0


def _measure_aims(bench: Bench, path: Path, *, quick: bool) -> None:
    sizes = aims.QUICK if quick else aims.FULL
    measured = aims.measure(bench, sizes, results.this_machine())
    known = results.load(path)
    known.measured = measured
    results.save(known, path)
    print(tables.terminal(measured))
    if quick:
        print("\nThese figures are rough (few events, few runs). For exact ones, omit --quick.")


def _measure_series(bench: Bench, path: Path, *, quick: bool) -> None:
    share = _QUICK_SHARE if quick else 1
    for measured in series.measure(bench, results.this_machine(), share):
        known = results.load(path)
        known.series = measured
        results.save(known, path)
    # In its own process, because the measured programs must not find the packages that plots need.
    command = processes.module("plots", "--results", path)
    if quick:
        command += ["--out", str(path.parent)]
    python_path = os.pathsep.join((str(processes.ROOT), str(_MATPLOTLIB)))
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": python_path})


if __name__ == "__main__":
    sys.exit(main())

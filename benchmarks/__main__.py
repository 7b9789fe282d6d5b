"""The command line. `scripts/benchmark` prepares the environment, then runs this module."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import aims, processes, results, tables
from benchmarks.bench import Bench, show_progress

_BUILD = processes.ROOT / "build"
"""Ignored by Git; for quick results, which are too rough to keep."""


def main() -> int:
    """Run the benchmarks and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="rough figures in less time")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that all child processes end.
    began = time.perf_counter()
    path = _BUILD / "benchmarks" / "results.json" if given.quick else results.RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="target-liveintent-benchmark-") as folder:
        bench = Bench(Path(folder))
        try:
            _measure(bench, path, quick=given.quick)
        except processes.FailedRunError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    seconds = time.perf_counter() - began
    show_progress(f"wrote {path.relative_to(processes.ROOT)} after {seconds:.0f} s")
    return 0


def _measure(bench: Bench, path: Path, *, quick: bool) -> None:
    sizes = aims.QUICK if quick else aims.FULL
    measured = aims.measure(bench, sizes, results.this_machine())
    results.save(measured, path)
    print(tables.terminal(measured))
    if quick:
        print("\nThese figures are rough (few events, few runs). For exact ones, omit --quick.")


if __name__ == "__main__":
    sys.exit(main())

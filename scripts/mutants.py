"""Measures the tests with mutants: small changes to the package that a test should notice.

A mutant inverts a comparison, a boolean operator or a sum, moves a boundary, forces a condition,
changes a number, deletes a statement, or returns None. Each mutant is written into a copy of the
project. There, only the tests that reach its lines run, until a test fails: first the unit tests of
the same folder of the package, then all other tests. The outcomes of a mutant are:

killed       A test fails.
hung         A test takes more than ten times as long as without the change.
survived     No test fails: tests are missing, or the change has no effect. A person must decide.
not reached  No test runs the line.
unfinished   All tests together took too long.

A mutant that survived or is unfinished is tried again with more tests and more time.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import itertools
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from mutations import mutants_of

if TYPE_CHECKING:
    from mutations import Mutant

assert sys.platform != "win32"  # noqa: S101 (mypy understands it: Windows has no such signals)

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = tuple(
    f"tests/{folder}"
    for folder in (
        "unit",
        "standard",
        "integration",
        "sandbox",
        "privacy",
        "fuzz",
        "simulation",
        "reliability",
    )
)
"""The folders of tests that run: tests of `scripts/test` that start no program but the target."""
LONGEST = 30.0
"""The seconds that tests of other folders may take for a mutant; further tests are left out."""
PATIENCE = 4
"""The factor by which both time limits are longer when a mutant is tried again."""
DETECTED = {"killed", "hung"}
OUTSIDE = ""
"""The name that coverage gives to code that runs outside of tests."""


def sample(rooms: list[str], size: int, seed: int) -> list[Mutant]:
    """Return a random sample of mutants, which depends only on the seed and the files.

    Args:
        rooms: Folders and files below `target_liveintent`; an empty list means the whole package.
        size: The maximum number of mutants.
        seed: The seed of the random sample.
    """
    places = tuple(f"target_liveintent/{room}" for room in rooms) or ("target_liveintent",)
    for place in places:
        if not (ROOT / place).exists():
            sys.exit(f"{place} does not exist: name folders or files of target_liveintent")
    files = sorted((ROOT / "target_liveintent").rglob("*.py"))
    names = [str(path.relative_to(ROOT)) for path in files]
    names.remove("target_liveintent/spark/source.py")  # Only tests/spark reach it, with PySpark.
    found = [
        mutant
        for name in names
        if name.startswith(places)
        for mutant in mutants_of(name, (ROOT / name).read_bytes())
    ]
    print(f"{len(found)} mutants are possible")
    return random.Random(seed).sample(found, min(size, len(found)))


class Copy:
    """A copy of the project's files, in which tests run."""

    def __init__(self, work: Path, number: int) -> None:
        """Copy the files into the folder `work`, and calculate their digest."""
        self.work = work
        self.folder = work / f"copy-{number}"
        self.output = work / f"output-{number}.txt"
        shutil.rmtree(self.folder, ignore_errors=True)
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        digest = hashlib.sha256()
        for name in listed.stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.folder / name)
                digest.update((ROOT / name).read_bytes())
        self.digest = digest.hexdigest()
        hook = (
            "import os\n"
            "if {'REACHED_FOLDER', 'PYTEST_CURRENT_TEST'} <= set(os.environ):\n"
            "    import reached\n"
            "    reached.start_in_child()\n"
        )
        (self.folder / "scripts" / "sitecustomize.py").write_text(hook, encoding="utf-8")

    def test(self, *arguments: str, limit: float | None = None, **env: str) -> int | None:
        """Run pytest; return its exit code, or None if it took longer than `limit` seconds."""
        path = os.pathsep.join([str(self.folder), str(self.folder / "scripts")])
        options = ("-p", "reached", "-p", "no:cacheprovider", "--snapshot-warn-unused")
        command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", *options]
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--hypothesis-seed=7", *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": path, **env},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            code = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(limit)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Also the processes that tests started.
            process.wait()
            return code

    def write(self, path: str, source: bytes) -> None:
        """Write a file of the package, and delete its compiled code."""
        (self.folder / path).write_bytes(source)
        for compiled in (self.folder / path).parent.glob(f"__pycache__/{Path(path).stem}.*"):
            compiled.unlink()


class Reached(NamedTuple):
    """The tests that reach each line of each file, and the seconds that each test takes."""

    lines: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]

    @classmethod
    def record(cls, copy: Copy, folders: list[str], processes: int) -> Reached:
        """Return the record of a run of all tests, which is reused while the files are the same."""
        records, record_of = copy.work / "records", copy.work / "records-of"
        source = f"{copy.digest} {' '.join(folders)}"
        if not record_of.exists() or record_of.read_text() != source:
            shutil.rmtree(records, ignore_errors=True)
            records.mkdir(parents=True)
            parallel = ("--numprocesses", str(processes), "--dist", "loadfile")
            copy.test(*parallel, *folders, REACHED_FOLDER=str(records))
            record_of.write_text(source)
        lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        seconds: dict[str, float] = {}
        failed: set[str] = set()
        for path in records.iterdir():
            record = json.loads(path.read_text(encoding="utf-8"))
            seconds |= record.get("seconds", {})
            failed |= set(record.get("failed", ()))
            for file, found in record["lines"].items():
                for line, tests in found.items():
                    lines[os.path.relpath(file, copy.folder)][int(line)] |= set(tests)
        return cls(lines, {t: s for t, s in seconds.items() if t not in failed})

    def by(self, mutant: Mutant, limit: float) -> tuple[list[str], list[str]]:
        """Return the unit tests of the mutant's folder, and other tests of at most `limit` seconds.

        A line that runs at the import, or while pytest collects tests, belongs to no test. For such
        a line, all tests of the folder run, and a selection of all other tests. In this selection,
        tests that reach other lines of the file come first.
        """
        file = self.lines.get(mutant.path, {})
        numbers = range(mutant.lines[0], mutant.lines[1] + 1)
        reaching = {t for n in numbers for t in file.get(n, ())}
        if mutant.in_function and OUTSIDE not in reaching:
            reaching = found = reaching & self.seconds.keys()
        else:
            reaching = {t for tests in file.values() for t in tests}
            found = set(self.seconds)
        own = {test for test in found if is_of_room(test, mutant.path)}
        return self._in_order(own), self._in_order(self._spread(found - own, reaching, limit))

    def _spread(self, tests: set[str], preferred: set[str], left: float) -> set[str]:
        """Return tests that take at most `left` seconds in total, from many different files."""
        place: Counter[str] = Counter()
        rounds = []
        for test in sorted(tests, key=lambda t: (t not in preferred, self.seconds[t], t)):
            name = test.partition("::")[0]
            rounds.append((place[name], self.seconds[test], test))
            place[name] += 1
        chosen = set()
        for _, seconds, test in sorted(rounds):
            if seconds <= left:
                chosen.add(test)
                left -= seconds
        return chosen

    def _in_order(self, tests: set[str]) -> list[str]:
        """Return the tests file by file, unit tests first, and quick files before slow files."""
        total: dict[str, float] = defaultdict(float)
        for test in tests:
            total[test.partition("::")[0]] += self.seconds[test]

        def place(test: str) -> tuple[bool, float, str, float, str]:
            name = test.partition("::")[0]
            unit = name.startswith("tests/unit")
            return not unit, total[name], name, self.seconds[test], test

        return sorted(tests, key=place)


def is_of_room(test: str, path: str) -> bool:
    """Return whether a test is a unit test of the module at a path, or of the module's folder."""
    room = Path(path).parts[1].removesuffix(".py")
    return test.startswith((f"tests/unit/{room}/", f"tests/{room}/", f"tests/unit/test_{room}"))


def attempt(mutant: Mutant, copy: Copy, reached: Reached, patience: int) -> dict[str, Any]:
    """Run the tests of a mutant, and return the outcome with its details."""
    source = (ROOT / mutant.path).read_bytes()
    stages = [tests for tests in reached.by(mutant, patience * LONGEST) if tests]
    result: dict[str, Any] = {"outcome": "survived" if stages else "not reached", "tests": 0}
    began = time.monotonic()
    copy.write(mutant.path, mutant.apply(source))
    for tests in stages:
        code = _test(copy, {test: reached.seconds[test] for test in tests}, patience)
        result["tests"] += len(tests)
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            outcome = {None: "unfinished", -signal.SIGALRM: "hung"}.get(code, "killed")
            result |= {"outcome": outcome, "output": copy.output.read_text(errors="replace")[-300:]}
            break
    copy.write(mutant.path, source)
    result["seconds"] = round(time.monotonic() - began, 1)
    if result["outcome"] not in DETECTED:
        old, new = (x.decode().splitlines() for x in (source, mutant.apply(source)))
        diff = difflib.unified_diff(old, new, mutant.path, mutant.path, lineterm="", n=2)
        result["diff"] = list(diff)
    return result


def _test(copy: Copy, seconds: Mapping[str, float], patience: int) -> int | None:
    """Run tests, given their usual seconds; return the exit code, or None after the time limit."""
    limits = {test: 10 + 10 * usual for test, usual in seconds.items()}
    chosen = copy.folder / "chosen.json"
    chosen.write_text(json.dumps(limits), encoding="utf-8")
    files = sorted({test.partition("::")[0] for test in seconds})
    limit = patience * (90 + 3 * sum(seconds.values()))
    return copy.test("-x", "--tb=no", *files, limit=limit, REACHED_CHOSEN=str(chosen))


def _options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rooms", nargs="*", metavar="ROOM", help="a folder or file of target_liveintent to change"
    )
    parser.add_argument("--sample", type=int, default=500, help="the number of mutants")
    parser.add_argument("--seed", type=int, default=7, help="the seed of the random sample")
    parser.add_argument("--tests", nargs="+", default=FOLDERS, help="folders or files of tests")
    parser.add_argument("--results", type=Path, help="the JSON file to write, and to continue from")
    parser.add_argument("--again", action="store_true", help="try undetected mutants again")
    parser.add_argument(
        "--missed-by", type=Path, metavar="FILE", help="only mutants undetected in these results"
    )
    parser.add_argument(
        "--at-least", type=int, default=0, metavar="PERCENT", help="fail if fewer are detected"
    )
    parser.add_argument("--processes", type=int, default=2, help="mutants tried at the same time")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    """Return the mutants to try."""
    chosen = sample(options.rooms, options.sample, options.seed)
    if not options.missed_by:
        return chosen
    earlier = json.loads(options.missed_by.read_text())
    missed = {name for name, result in earlier.items() if result["outcome"] not in DETECTED}
    return [mutant for mutant in chosen if mutant.name in missed]


def _earlier(options: argparse.Namespace) -> dict[str, Any]:
    """Return the earlier results, by the names of mutants, from which this run continues."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.again:
        return {name: r for name, r in results.items() if r["outcome"] in DETECTED}
    return dict(results)


def main() -> None:
    options = _options()
    work = ROOT / ".mutants" / ("-".join(options.rooms).replace("/", "-") or "all")
    options.results = options.results or work / "results.json"
    chosen = _chosen(options)
    results = _earlier(options)
    began = time.monotonic()
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(options.processes):
        copies.put(Copy(work, number))
    reached = Reached.record(copies.queue[0], list(options.tests), options.processes)
    if not reached.seconds:
        sys.exit(f"No test could be recorded: see {copies.queue[0].output}")
    print(f"{len(reached.seconds)} tests recorded in {time.monotonic() - began:.0f} s", flush=True)
    writing = threading.Lock()

    def run(mutant: Mutant, patience: int) -> None:
        copy = copies.get()
        result = attempt(mutant, copy, reached, patience)
        copies.put(copy)
        with writing:
            results[mutant.name] = result
            options.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(f"{result['outcome']:11} {result['seconds']:5} s  {mutant.name}", flush=True)

    with ThreadPoolExecutor(options.processes) as pool:
        missing = [mutant for mutant in chosen if mutant.name not in results]
        list(pool.map(run, missing, itertools.repeat(1)))
        again = [m for m in chosen if results[m.name]["outcome"] in {"survived", "unfinished"}]
        list(pool.map(run, again, itertools.repeat(PATIENCE)))
    detected = _show([results[mutant.name] for mutant in chosen])
    print(f"{time.monotonic() - began:.0f} s; written to {options.results}")
    sys.exit(100 * detected < options.at_least * len(chosen))


def _show(results: Sequence[Mapping[str, Any]]) -> int:
    """Print the undetected mutants, and return the number of detected mutants."""
    for result in results:
        if result["outcome"] not in DETECTED:
            print("", result["outcome"], *result["diff"], sep="\n")
    outcomes = Counter(result["outcome"] for result in results)
    detected = sum(outcomes[outcome] for outcome in DETECTED)
    print(f"\n{detected} of {len(results)} detected: {dict(outcomes)}")
    return detected


if __name__ == "__main__":
    main()

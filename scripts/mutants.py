"""Measures the tests by mutants: small changes to the package that a test should notice.

A mutant turns a comparison or a boolean operator, forces a condition, changes a constant, deletes a
statement, or returns None. Each is written into a copy of the project, where only the tests run
that reach its lines: unit tests first, until one fails. What survives is a gap in the tests, or a
change that means nothing; a person has to tell.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mutations import mutants_of

if TYPE_CHECKING:
    from mutations import Mutant

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".mutants"
FOLDERS = ("tests/unit", "tests/standard", "tests/integration", "tests/privacy")
"""Whose tests run. Those of tests/reliability take long, and depend on the time."""
COPIES = 2
"""Mutants that are tried at the same time."""
LONGEST = 30.0
"""Seconds that the tests of one mutant may take by their record; the slowest are left out."""


def sample(only: str, size: int, seed: int) -> list[Mutant]:
    """Choose mutants: the same ones for the same seed and the same files."""
    files = sorted((ROOT / "target_liveintent").rglob("*.py"))
    names = [str(path.relative_to(ROOT)) for path in files if "sandbox" not in path.parts]
    names.remove("target_liveintent/spark/source.py")  # Only tests/spark reach it, with PySpark.
    found = [
        mutant
        for name in names
        if name.startswith(only)
        for mutant in mutants_of(name, (ROOT / name).read_bytes())
    ]
    print(f"{len(found)} mutants are possible")
    return random.Random(seed).sample(found, min(size, len(found)))


class Copy:
    """A copy of the project's files, in which tests run."""

    def __init__(self, number: int) -> None:
        """Make the copy."""
        self.folder = WORK / f"copy-{number}"
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
        """Run tests, and return pytest's exit code, or None if they took too long."""
        path = os.pathsep.join([str(self.folder), str(self.folder / "scripts")])
        command = [sys.executable, "-m", "pytest", "-q", "-p", "reached", "-p", "no:cacheprovider"]
        with (self.folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": path, **env},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None

    def write(self, path: str, source: bytes) -> None:
        """Write a file of the package, and make Python compile it anew."""
        (self.folder / path).write_bytes(source)
        for compiled in (self.folder / path).parent.glob(f"__pycache__/{Path(path).stem}.*"):
            compiled.unlink()


class Reached(NamedTuple):
    """Which tests reach which lines, by file, and the seconds that each test takes."""

    lines: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]

    @classmethod
    def record(cls, copy: Copy) -> Reached:
        """Run all tests once, if that was not done with the same files."""
        records, of = WORK / "records", WORK / "records-of"
        if not of.exists() or of.read_text() != copy.digest:
            shutil.rmtree(records, ignore_errors=True)
            records.mkdir(parents=True)
            parallel = ("--numprocesses", "2", "--dist", "loadfile")
            copy.test(*parallel, *FOLDERS, REACHED_FOLDER=str(records))
            of.write_text(copy.digest)
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

    def by(self, mutant: Mutant) -> list[str]:
        """Return the tests to run, in order, as far as there is time for them."""
        file = self.lines.get(mutant.path, {})
        if mutant.in_function:
            found = {
                t for n in range(mutant.lines[0], mutant.lines[1] + 1) for t in file.get(n, ())
            }
        else:  # It runs at the import, before any test.
            found = {t for tests in file.values() for t in tests}
        order = sorted(
            (not t.startswith("tests/unit"), self.seconds[t], t) for t in found if t in self.seconds
        )
        chosen, left = [], LONGEST
        for _, seconds, test in order:
            left -= seconds
            if left > 0:
                chosen.append(test)
        return chosen


def attempt(mutant: Mutant, copy: Copy, reached: Reached) -> dict[str, Any]:
    """Try a mutant, and say what became of it."""
    source = (ROOT / mutant.path).read_bytes()
    tests = reached.by(mutant)
    began = time.monotonic()
    code: int | None = 0
    if tests:
        chosen = copy.folder / "chosen.json"
        chosen.write_text(json.dumps(tests), encoding="utf-8")
        copy.write(mutant.path, mutant.apply(source))
        files = sorted({test.partition("::")[0] for test in tests})
        limit = 20 + 3 * sum(reached.seconds[test] for test in tests)
        code = copy.test("-x", *files, limit=limit, REACHED_CHOSEN=str(chosen))
        copy.write(mutant.path, source)
    outcome = {0: "survived", None: "timed out"}.get(code, "killed")
    result = {"outcome": outcome, "tests": len(tests), "seconds": time.monotonic() - began}
    if outcome == "survived":
        old, new = (x.decode().splitlines() for x in (source, mutant.apply(source)))
        diff = difflib.unified_diff(old, new, mutant.path, mutant.path, lineterm="", n=2)
        result["diff"] = list(diff)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=500, help="how many mutants")
    parser.add_argument("--seed", type=int, default=7, help="of the choice")
    parser.add_argument("--only", default="target_liveintent", help="a folder or file to change")
    parser.add_argument("--results", type=Path, default=WORK / "results.json")
    options = parser.parse_args()
    chosen = sample(options.only, options.sample, options.seed)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    began = time.monotonic()
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(COPIES):
        copies.put(Copy(number))
    reached = Reached.record(copies.queue[0])
    if not reached.seconds:
        sys.exit(f"No test could be recorded: see {copies.queue[0].folder}/output.txt")
    print(f"{len(reached.seconds)} tests recorded in {time.monotonic() - began:.0f} s")

    def run(mutant: Mutant) -> None:
        if mutant.name not in results:
            copy = copies.get()
            results[mutant.name] = attempt(mutant, copy, reached)
            copies.put(copy)
            options.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
            print(f"{results[mutant.name]['outcome']:9} {mutant.name}", flush=True)

    with ThreadPoolExecutor(COPIES) as pool:
        list(pool.map(run, chosen))
    for mutant in chosen:
        if results[mutant.name]["outcome"] == "survived":
            print("", *results[mutant.name]["diff"], sep="\n")
    print(dict(Counter(results[mutant.name]["outcome"] for mutant in chosen)))
    print(f"{time.monotonic() - began:.0f} s; written to {options.results}")


if __name__ == "__main__":
    main()

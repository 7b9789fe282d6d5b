"""Breaks rules of the delivery on purpose, one at a time, and checks that the tests notice.

    scripts/breaks           # each break, in about a quarter of an hour
    scripts/breaks ledger    # those whose names contain a word
    scripts/breaks --check   # whether the pieces of code and the tests exist, as in scripts/lint

Each break replaces a piece of the code in a copy of the project. The tests that are named beside it
must then fail. The table in docs/reliability.md is made from this one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("target_liveintent", "tests", "scripts", "pyproject.toml", "README.md")


class Break(NamedTuple):
    """A rule that is broken.

    Attributes:
        name: What the code does then.
        file: The file, below the package.
        code: A piece of it, which is there once.
        broken: What replaces the piece.
        tests: The tests that must fail, as `file::name` below `tests`.
    """

    name: str
    file: str
    code: str
    broken: str
    tests: tuple[str, ...]


BREAKS: tuple[Break, ...] = (
    Break(
        "STATE is written before delivery",
        "run/batches.py",
        "oldest = min((self._next, *self._unfinished.values()))",
        "oldest = self._next",
        (
            "reliability/test_isolation.py::test_breaker",
            "reliability/test_isolation.py::test_switch_amid_an_isolation",
            "reliability/test_outages.py::test_outage",
            "reliability/test_outages.py::test_token_revoked",
        ),
    ),
    Break(
        "a 400 is treated as success",
        "delivery/api.py",
        "(400, 413, 422), Verdict.REFUSED",
        "(413, 422), Verdict.REFUSED),\n    **dict.fromkeys((400,), Verdict.ACCEPTED",
        (
            "reliability/test_faults.py::test_fault_campaign",
            "reliability/test_isolation.py::test_breaker",
            "reliability/test_isolation.py::test_cost_over_the_wire",
        ),
    ),
    Break(
        "the ages of events are not checked again before a retry",
        "delivery/machine.py",
        "            job.drop_old(unix_time)\n            if job.parts",
        "            if not job.result.requests: job.drop_old(unix_time)\n            if job.parts",
        ("reliability/test_faults.py::test_age_before_a_retry",),
    ),
    Break(
        "the store also records events that were sent but not confirmed",
        "run/run.py",
        "self._outcomes.confirm(number, result.confirmed, is_last=is_last)",
        "self._outcomes.confirm(number, result.batch.conversions, is_last=is_last)",
        (
            "reliability/test_partial.py::test_every_body",
            "reliability/test_partial.py::test_the_store_knows_only_what_a_204_confirmed",
        ),
    ),
    Break(
        "the store also records the events that a 200 did not name",
        "run/run.py",
        "self._outcomes.confirm(number, result.confirmed, is_last=is_last)",
        "self._outcomes.confirm(number, result.delivered, is_last=is_last)",
        ("reliability/test_partial.py::test_the_store_knows_only_what_a_204_confirmed",),
    ),
    Break(
        "confirmed events are not recorded",
        "store/run_store.py",
        "rows = [(key, self.number) for key in sorted({*self._ledger.confirmed})]",
        "rows: list[Row] = []",
        (
            "reliability/test_kills.py::test_kill_campaign",
            "unit/store/test_ledger.py::test_the_next_run_knows_what_was_sent",
        ),
    ),
    Break(
        "events that another run has reserved are sent",
        "store/run_store.py",
        "for hashes, run_id in reserved",
        "for hashes, run_id in ()",
        (
            "integration/test_run_store_shared.py::test_runs_over_the_same_events",
            "unit/store/test_ledger.py::test_two_runs",
        ),
    ),
    Break(
        "a 413 is treated as proof of a bad event",
        "delivery/model.py",
        "self.halve(has_bad_event=not is_too_large)",
        "self.halve(has_bad_event=True)",
        ("unit/delivery/test_machine.py::test_a_request_that_is_too_large_blames_no_event",),
    ),
    Break(
        "what the store has does not survive a power cut when STATE is written",
        "run/run.py",
        "                self._write(durable=True)\n",
        "                self._write()\n",
        ("unit/run/test_durability.py::test_everything_is_durable_before_state",),
    ),
    Break(
        "STATE is written before the outcomes that it covers",
        "run/run.py",
        "self._write(durable=True)\n                self._parts.write_state(state)\n",
        "self._parts.write_state(state)\n                self._write(durable=True)\n",
        ("unit/run/test_durability.py::test_everything_is_durable_before_state",),
    ),
    Break(
        "every 200 is treated as delivery",
        "delivery/api.py",
        "200: Verdict.UNCONFIRMED,",
        "200: Verdict.ACCEPTED,",
        (
            "reliability/test_faults.py::test_every_fault",
            "reliability/test_partial.py::test_every_body",
        ),
    ),
    Break(
        "a redirect is treated as success",
        "delivery/api.py",
        "    200: Verdict.UNCONFIRMED",
        "    **dict.fromkeys(range(300, 400), Verdict.ACCEPTED),\n    200: Verdict.UNCONFIRMED",
        ("reliability/test_faults.py::test_redirect",),
    ),
    Break(
        "a lost answer is treated as success",
        "delivery/client.py",
        "        if isinstance(reply, Answer):\n            return reply",
        "        if isinstance(reply, Answer):\n"
        "            return msgspec.structs.replace(reply, verdict=Verdict.ACCEPTED)",
        (
            "reliability/test_faults.py::test_every_fault",
            "reliability/test_faults.py::test_fault_campaign",
            "reliability/test_outages.py::test_outage",
        ),
    ),
    Break(
        "a stopped or failed run writes STATE for everything that it read",
        "run/run.py",
        "        self._failed = True\n        try:\n            if isinstance",
        "        self._failed = True\n"
        "        self.gate.due = lambda: self.gate._held.pop()[1] if self.gate._held else None\n"
        "        try:\n            if isinstance",
        (
            "reliability/test_isolation.py::test_breaker",
            "reliability/test_outages.py::test_stopped_in_an_outage",
            "reliability/test_outages.py::test_token_revoked",
        ),
    ),
    Break(
        "a signal does not end the wait before a retry",
        "run/run.py",
        "        self._delivery.stop(_STOP_RETRIES - passed)\n",
        "        pass\n",
        ("reliability/test_kills.py::test_signal_in_a_long_back_off",),
    ),
    Break(
        "a batch contains one event too many",
        "run/batches.py",
        "return len(batch.conversions) >= self._size",
        "return len(batch.conversions) > self._size",
        (
            "reliability/test_isolation.py::test_cost_over_the_wire",
            "reliability/test_partial.py::test_every_body",
        ),
    ),
    Break(
        "after each fault, `max_retry_seconds` begins again",
        "delivery/machine.py",
        "self._outage_since = min(self._outage_since, max(",
        "self._outage_since = max(0.0, max(",
        (
            "unit/delivery/test_machine.py::test_an_outage_ends_the_run",
            "reliability/test_outages.py::test_outage",
        ),
    ),
    Break(
        "a 401 is retried",
        "delivery/api.py",
        "(401, 403), Verdict.DENIED",
        "(401, 403), Verdict.FAULT",
        (
            "reliability/test_outages.py::test_token_revoked",
            "unit/delivery/test_api.py::test_statuses",
        ),
    ),
    Break(
        "a refused batch is not halved, but its events are sent one by one",
        "delivery/model.py",
        "middle = len(events) // 2",
        "middle = 1",
        (
            "reliability/test_isolation.py::test_cost",
            "reliability/test_isolation.py::test_cost_over_the_wire",
        ),
    ),
    Break(
        "after many refusals, the run does not check whether the settings are wrong",
        "delivery/refusals.py",
        "return len(self._in_a_row) >= _SUSPICIOUS",
        "return False",
        (
            "reliability/test_isolation.py::test_breaker",
            "reliability/test_isolation.py::test_switch_amid_an_isolation",
        ),
    ),
)


def table() -> str:
    """Return the table for the documentation."""
    tests = [", ".join(f"`{test.rpartition('::')[2]}`" for test in one.tests) for one in BREAKS]
    rows = [f"| {one.name} | {named} |" for one, named in zip(BREAKS, tests, strict=True)]
    return "\n".join(["| mistake in the code | tests that fail |", "| --- | --- |", *rows])


def unnoticed(one: Break, copy: Path) -> list[str]:
    """Break the rule in a copy of the project, and return the named tests that do not fail."""
    file = copy / "target_liveintent" / one.file
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole.replace(one.code, one.broken), encoding="utf-8")
    try:
        failed = _failed_tests(copy, [f"tests/{test}" for test in one.tests])
    finally:
        file.write_text(whole, encoding="utf-8")
    return [test for test in one.tests if f"tests/{test}" not in failed]


def _failed_tests(copy: Path, tests: list[str]) -> set[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", *tests]
    result = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{copy / 'scripts'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return set(re.findall(r"^(?:FAILED|ERROR) ([^\s\[]+)", result.stdout, re.MULTILINE))


def stale() -> list[str]:
    """Return what is no longer as the table of breaks has it."""
    found = []
    for one in BREAKS:
        if (ROOT / "target_liveintent" / one.file).read_text(encoding="utf-8").count(one.code) != 1:
            found.append(f"{one.name}: the piece of {one.file} is not there once")
        for test in one.tests:
            file, _, name = test.partition("::")
            if f"def {name}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8"):
                found.append(f"{one.name}: there is no test {test}")
    return found


def main(words: list[str]) -> int:
    """Try the breaks, and return 1 if one is not noticed."""
    if words == ["--check"]:
        found = stale()
        print(*found, sep="\n", end="\n" if found else "")
        return bool(found)
    chosen = [one for one in BREAKS if not words or any(word in one.name for word in words)]
    silent = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder, name))
        for one in chosen:
            missing = unnoticed(one, Path(folder))
            silent += bool(missing)
            print(one.name, f"NOT NOTICED by {missing}" if missing else "noticed", sep=": ")
    return bool(silent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

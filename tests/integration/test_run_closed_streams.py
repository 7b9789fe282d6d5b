"""Standard input, output and error that are closed, as `>&-` does in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration_support import Launcher, lines, order, schema, state

if TYPE_CHECKING:
    import subprocess

    from target_liveintent.sandbox import Sandbox

MESSAGES = lines([schema(), order(1), state(1)])
FILES = {
    "store": "own.sqlite",
    "metrics_path": "run.prom",
    "report_path": "report.html",
}
NO_OUTPUT = (
    "standard output is closed, so the target cannot write to it: remove >&- from the command"
)
NO_INPUT = (
    "standard input is closed, so there is nothing to read: pipe a tap's output into the target"
)


def run(target: Launcher, closed: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a target from a shell that closes a stream."""
    return target.in_shell(f'exec "$@" {closed}', *arguments, given=MESSAGES)


@pytest.mark.parametrize(
    ("closed", "last_line"),
    [(">&-", NO_OUTPUT), ("2>&-", None), ("<&-", NO_INPUT)],
    ids=["output", "error", "input"],
)
def test_a_run(target: Launcher, sandbox: Sandbox, closed: str, last_line: str | None) -> None:
    """A closed stream ends a run before anything is sent or made, in one line if that is seen."""
    config = target.config(**FILES)
    done = run(target, closed, "--config", str(config))
    assert (done.returncode, done.stdout, sandbox.stats.requests) == (1, b"", 0)
    assert list(target.folder.iterdir()) == [config]
    errors = [text for text in done.stderr.decode().splitlines() if "| ERROR " in text]
    said = [text.split("|", 3)[-1].strip() for text in errors]
    first = done.stderr.decode().partition("\n")[0]
    assert said == ([f"{last_line} (run {first.rpartition(' ')[2]})"] if last_line else [])
    assert b"bug" not in done.stderr


def test_a_dry_run_needs_no_output(target: Launcher, sandbox: Sandbox) -> None:
    """A dry run writes no STATE, so it needs no standard output."""
    done = run(target, ">&-", "--config", str(target.config(dry_run=True)))
    assert (done.returncode, sandbox.stats.requests) == (0, 0)


def test_what_only_prints(target: Launcher) -> None:
    """What only prints needs standard output, and no standard error."""
    unseen = run(target, ">&-", "preset", "shopify")
    assert (unseen.returncode, b"standard output is closed" in unseen.stderr) == (1, True)
    seen = run(target, "2>&-", "preset", "shopify")
    assert (seen.returncode, len(seen.stdout) > 100) == (0, True)

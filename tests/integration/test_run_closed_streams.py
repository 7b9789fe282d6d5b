"""Standard input, output and error that are closed, as `>&-` does in a shell."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from integration_support import OPTIONS, Launcher, lines, order, schema, state

if TYPE_CHECKING:
    from target_liveintent.sandbox import Sandbox

MESSAGES = lines([schema(), order(1), state(1)])
FILES = {
    "ledger_path": "ledger.sqlite",
    "delivered_path": "delivered.csv",
    "report_path": "report.html",
}


def run(target: Launcher, closed: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a target from a shell that closes a stream."""
    program = (sys.executable, *OPTIONS, "-m", "target_liveintent", *arguments)
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *program],
        check=False,
        cwd=target.folder,
        env=target.env,
        input=MESSAGES,
        capture_output=True,
        timeout=20,
    )


@pytest.mark.parametrize(
    ("closed", "last_line"),
    [
        (
            ">&-",
            (
                "standard output is closed, so the target cannot write to it: remove >&- from the"
                " command"
            ),
        ),
        ("2>&-", None),
        (
            "<&-",
            (
                "standard input is closed, so there is nothing to read: pipe a tap's output"
                " into the target"
            ),
        ),
    ],
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
    named = f" (run {first.rpartition(' ')[2]})"
    assert said == ([last_line + named] if last_line else [])
    assert b"bug" not in done.stderr


def test_a_dry_run_needs_no_output(target: Launcher, sandbox: Sandbox) -> None:
    """A dry run writes no STATE, so it needs no standard output."""
    done = run(target, ">&-", "--config", str(target.config(dry_run=True)))
    assert (done.returncode, sandbox.stats.requests) == (0, 0)


def test_a_wrong_setting_comes_first(target: Launcher) -> None:
    """The exit code of a wrong setting is the same, whoever can see what is wrong."""
    assert run(target, "2>&-", "--config", str(target.config(pixel_id="x"))).returncode == 2


@pytest.mark.parametrize("arguments", [("--explain",), ("--about",), ("--preset", "shopify")])
def test_what_only_prints(target: Launcher, arguments: tuple[str, ...]) -> None:
    """What only prints needs standard output, and no standard error."""
    unseen = run(target, ">&-", *arguments)
    assert unseen.returncode == 1
    assert b"standard output is closed" in unseen.stderr
    seen = run(target, "2>&-", *arguments)
    assert seen.returncode == (arguments == ("--explain",))  # A run would refuse the stream.
    assert len(seen.stdout) > 100

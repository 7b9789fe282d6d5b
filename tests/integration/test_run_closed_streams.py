"""Standard input, output and error that are closed, as `>&-` does in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration_support import Launcher, lines, order, schema, state

if TYPE_CHECKING:
    from target_liveintent.sandbox import Sandbox

FILES = {"store": "own.sqlite", "metrics_path": "run.prom", "report_path": "report.html"}


INPUT, OUTPUT = (
    f"standard {name} is closed: remove <&-, >&- or 2>&- from the command"
    for name in ("input", "output")
)


@pytest.mark.parametrize(
    ("is_run", "closed", "said"),
    [(True, ">&-", [OUTPUT]), (True, "2>&-", []), (True, "<&-", [INPUT]), (False, ">&-", [OUTPUT])],
    ids=["output", "error", "input", "command"],
)
def test_closed(
    target: Launcher, sandbox: Sandbox, is_run: bool, closed: str, said: list[str]
) -> None:
    """A closed stream ends the program before anything is sent or made, in one line if possible."""
    config = target.config(**FILES)
    arguments = ("--config", str(config)) if is_run else ("preset", "shopify")
    given = lines([schema(), order(1), state(1)])
    done = target.in_shell(f'exec "$@" {closed}', *arguments, given=given)
    assert (done.returncode, done.stdout, sandbox.stats.requests) == (1, b"", 0)
    assert list(target.folder.iterdir()) == [config]
    shown = done.stderr.decode().splitlines()
    assert [text.split("|", 3)[-1].strip() for text in shown] == said

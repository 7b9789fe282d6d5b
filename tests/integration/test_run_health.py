"""`report` and `health`: what they say of the history that real runs leave."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING, Any

from integration_support import TOKEN, order, schema

if TYPE_CHECKING:
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox

WRONG_TOKEN = {"auth_token": "another-t0ken"}


def send(target: Launcher, first: int, **settings: Any) -> Running:
    """Send three orders, of which one has no address."""
    messages = [order(first), order(first + 1), order(first + 2, email=None)]
    return target.run(schema(), *messages, **settings)


def test_after_good_runs(target: Launcher) -> None:
    """All is usual unless there was no run for too long, and nothing in the history is changed."""
    assert send(target, 1).code == 0
    assert send(target, 11).code == 0
    before = target.store_files
    asked = target.ask("health", "--max-age=1")
    assert (asked.code, asked.log) == (0, "")
    assert asked.stdout.startswith("No run failed so far. The last run ended at ")
    assert "4 conversions in the last 24 hours" in asked.stdout
    assert len(asked.stdout.splitlines()) == 1
    asked = target.ask("health", "--max-age=0.0000001")
    assert (asked.code, asked.log) == (3, "")
    assert asked.stdout.startswith("There has been no run for ")
    shown = json.loads(target.ask("report", "--format=json").stdout)
    assert (shown["version"], shown["causes"], shown["months"][0]["delivered"]) == (1, [], 4)
    assert [one["reason"] for one in shown["reasons"]] == ["no_identity"]
    assert target.store_files == before


def test_after_a_failed_run(target: Launcher) -> None:
    """What failed, since when, what to do and the run ID, until a run is good again."""
    send(target, 1)
    for first in (11, 21):
        failed = send(target, first, **WRONG_TOKEN)
        assert failed.code == 1
    asked = target.ask("health")
    assert asked.code == 3
    assert asked.stdout.startswith("The last 2 runs failed: the API denied access")
    assert re.search(r"\(since \d{4}-\d\d-\d\d \d\d:\d\d UTC\)\. Do what the", asked.stdout)
    shown = target.ask("report", "--format=text")
    lines = shown.stdout.splitlines()
    assert (shown.code, len(lines) <= 12) == (0, True)
    assert lines[0].startswith(
        "LiveIntent refused the access key. Account a-1b2c at 127.0.0.1, pixel 12345"
    )
    for words in ("Do what the message says", failed.run_id, "2 conversions in the last 24 hours"):
        assert str(words) in shown.stdout
    assert WRONG_TOKEN["auth_token"] not in shown.stdout
    send(target, 31)
    assert target.ask("health").code == 0


def test_the_page(target: Launcher, sandbox: Sandbox) -> None:
    """It is written from the history alone, to a path or to that of the setting.

    Whoever only looks needs no token, and no folder of the run.
    """
    send(target, 1)
    requests = sandbox.stats.requests
    wrong = {"auth_token": ..., "metrics_path": "/x/y.prom"}
    assert target.ask("health", **wrong, report_path="/x/y.html").code == 0
    for options, name, settings in (
        (("report", "page.html"), "page.html", wrong),
        (("report",), "run.html", {"report_path": "run.html"}),
    ):
        asked = target.ask(*options, **settings)
        assert (asked.code, asked.stdout, asked.log) == (0, f"the report is in {name}", "")
        path = target.folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        page = path.read_text()
        assert "<b>2</b>" in page
        assert "No run failed so far." in page
        assert TOKEN not in page
        assert "@example.com" not in page
        assert not list(target.folder.glob("*.json.tmp"))
    assert sandbox.stats.requests == requests


def test_after_a_run_that_could_not_open_its_files(target: Launcher) -> None:
    """It has failed, and is known as such; without a store, it makes none."""
    absent = {"suppression_path": "absent.txt"}
    assert target.run(schema(), **absent).code == 2
    assert not target.store.exists()
    send(target, 1)
    failed = send(target, 11, **absent)
    assert failed.code == 2
    asked = target.ask("health")
    assert asked.code == 3
    assert asked.stdout.startswith("The last run failed: suppression_path 'absent.txt'")
    send(target, 21)
    assert target.ask("health").code == 0


def test_a_database_that_is_down(target: Launcher) -> None:
    """It is exit code 1, which is neither good health nor bad."""
    store = "postgresql://bob-77:pw-4711@127.0.0.1:1/x"
    asked = target.ask("health", store=store, max_retry_seconds=0)
    assert (asked.code, asked.stdout) == (1, "")
    assert asked.last_line.startswith("the database named in store cannot be used: ")
    assert "4711" not in asked.log

"""`--report` and `--health`: what they say of the history that real runs leave."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import TOKEN, order, schema

if TYPE_CHECKING:
    from pathlib import Path

    from integration_support import Launcher, Running
    from object_store import Door, Store

    from target_liveintent.sandbox import Sandbox

HISTORY = {"history_path": "history"}
WRONG_TOKEN = {"auth_token": "another-t0ken"}


def ask(target: Launcher, *options: str, **settings: Any) -> Running:
    """Run a command over the history with the settings of the runs, to which these are changes."""
    return target.ask(*options, **HISTORY | settings)


def send(target: Launcher, first: int, **settings: Any) -> Running:
    """Send three orders, of which one has no address."""
    messages = [order(first), order(first + 1), order(first + 2, email=None)]
    return target.run(schema(), *messages, **HISTORY | settings)


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "history").iterdir()}


def test_after_good_runs(target: Launcher) -> None:
    """All is usual unless there was no run for too long, and nothing in the history is changed."""
    assert send(target, 1).code == 0
    assert send(target, 11).code == 0
    before = kept(target.folder)
    asked = ask(target, "--health", "--max-age=1")
    assert (asked.code, asked.log) == (0, "")
    assert asked.stdout.startswith("nothing failed, but there is too little history")
    assert "usual: the last run ended at " in asked.stdout
    assert "4 conversions in the last 24 hours" in asked.stdout
    assert len(asked.stdout.splitlines()) == 1
    asked = ask(target, "--health", "--max-age=0.0000001")
    assert (asked.code, asked.log) == (3, "")
    assert asked.stdout.startswith("there has been no run for ")
    shown = json.loads(ask(target, "--report", "--format=json").stdout)
    assert (shown["version"], shown["causes"], shown["months"][0]["delivered"]) == (1, [], 4)
    assert [one["reason"] for one in shown["reasons"]] == ["no_identity"]
    assert kept(target.folder) == before


def test_after_a_failed_run(target: Launcher) -> None:
    """What failed, since when, what to do and the run ID, until a run is good again."""
    send(target, 1)
    for first in (11, 21):
        failed = send(target, first, **WRONG_TOKEN)
        assert failed.code == 1
    asked = ask(target, "--health")
    assert asked.code == 3
    assert asked.stdout.startswith("the last 2 runs failed: the API denied access")
    assert re.search(r"\(since \d{4}-\d\d-\d\d \d\d:\d\d UTC\)$", asked.stdout)
    shown = ask(target, "--report", "--format=text")
    lines = shown.stdout.splitlines()
    assert (shown.code, len(lines) <= 12) == (0, True)
    assert lines[0].startswith("The last run failed. Account a-1b2c at 127.0.0.1, pixel 12345")
    for words in ("What to do: ", failed.run_id, "2 conversions in the last 24 hours"):
        assert str(words) in shown.stdout
    assert WRONG_TOKEN["auth_token"] not in shown.stdout
    send(target, 31)
    assert ask(target, "--health").code == 0


def test_no_run_yet(target: Launcher) -> None:
    """Then nobody can say that all is usual; a page is made all the same."""
    asked = ask(target, "--health")
    assert (asked.code, asked.stdout) == (3, "there is no run in the history")
    assert ask(target, "--report", "--format=text").stdout.startswith("There has been no run yet.")
    assert ask(target, "--report", "page.html").code == 0
    assert not (target.folder / "history").exists()


def test_the_page(target: Launcher, sandbox: Sandbox) -> None:
    """It is written from the history alone, to a path or to that of the setting.

    Whoever only looks needs no token and no valid maps.
    """
    send(target, 1)
    requests = sandbox.stats.requests
    wrong = {"auth_token": ..., "stream_maps": 5, "batch_size_rows": 0}
    assert ask(target, "--health", **wrong, report_path="/x/y.html").code == 0
    for options, name, settings in (
        (("--report", "page.html"), "page.html", wrong),
        (("--report",), "run.html", {"report_path": "run.html"}),
    ):
        asked = ask(target, *options, **settings)
        assert (asked.code, asked.stdout, asked.log) == (0, f"the report is in {name}", "")
        path = target.folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        page = path.read_text()
        assert "<h2>Today against usual</h2>" in page
        assert "LiveIntent has 2 conversions from this run." in page
        assert TOKEN not in page
        assert "@example.com" not in page
        assert not list(target.folder.glob("*.json.tmp"))
    assert not (target.folder / "run.json").exists()
    assert sandbox.stats.requests == requests


def test_the_page_of_a_run(target: Launcher) -> None:
    """With a history, it opens with today against usual, the run itself included."""
    report = {"report_path": "run.html"}
    send(target, 1, **report)
    send(target, 11, **report)
    page = (target.folder / "run.html").read_text()
    assert page.index("Today against usual") < page.index("LiveIntent has 2 conversions")
    assert "4 conversions in the last 24 hours" in page
    assert json.loads((target.folder / "run.json").read_text())["total"]["delivered"] == 2
    send(target, 21, history_path=..., **report)
    assert "Today against usual" not in (target.folder / "run.html").read_text()


def test_only_the_own_pixel(target: Launcher) -> None:
    """Runs of another account or pixel, and files that cannot be read, are not in the answer."""
    send(target, 1)
    (name,) = kept(target.folder)
    bad = name.replace(name[-20:-9], "0" * 11)
    (target.folder / "history" / bad).write_text("{")
    send(target, 11, pixel_id=7, **WRONG_TOKEN)
    asked = ask(target, "--health")
    assert (asked.code, bad in asked.log) == (0, True)
    assert ask(target, "--health", pixel_id=7).code == 3
    assert ask(target, "--health", customer_id="b-0000").stdout == "there is no run in the history"


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        (("--health",), {"history_path": ...}, "setting 'history_path' is not set"),
        (("--report",), {}, "--report needs the path of a file"),
        (("--health",), {"timezone": "Mars/Olympus"}, "timezone"),
        (("--health", "--max-age=0"), {}, "max-age"),
        (("--report", "gs:/x y://"), {}, "--report"),
    ],
)
def test_what_is_wrong(
    target: Launcher, options: tuple[str, ...], settings: dict[str, Any], said: str
) -> None:
    """A wrong setting or option is exit code 2."""
    asked = ask(target, *options, **settings)
    assert (asked.code, asked.stdout) == (2, "")
    assert said in asked.log


def test_a_page_that_cannot_be_written(target: Launcher) -> None:
    asked = ask(target, "--report", "/nowhere/page.html")
    assert (asked.code, asked.stdout) == (1, "")
    assert "the report '/nowhere/page.html' cannot be written: No such file" in asked.last_line


# A history in a bucket


def test_a_history_in_s3(target: Launcher, store: Store, bucket: str) -> None:
    """Health and page are the same as from a folder, and the page can go there as well."""
    where = {"history_path": f"s3://{bucket}/shop/history", "env": store.environment}
    assert send(target, 1, **where).code == 0
    before = store.objects(bucket)
    (key,) = before
    assert key.startswith("shop/history/")
    well = ask(target, "--health", "--max-age=1", **where)
    assert (well.code, well.log) == (0, "")
    assert "2 conversions in the last 24 hours" in well.stdout
    assert store.objects(bucket) == before
    page = f"s3://{bucket}/shop/page.html"
    assert ask(target, "--report", page, **where).stdout == f"the report is in {page}"
    content = store.read(bucket, "shop/page.html").decode()
    assert "<h2>Today against usual</h2>" in content
    assert "LiveIntent has 2 conversions from this run." in content


def test_a_bucket_that_does_not_exist(target: Launcher, store: Store) -> None:
    """Nobody takes that for an empty history, or for good health; it is not created."""
    where = {"history_path": "s3://nobody-made-this/history", "env": store.environment}
    asked = ask(target, "--health", **where)
    assert (asked.code, asked.stdout) == (2, "")
    assert "the bucket 'nobody-made-this' of history_path does not exist" in asked.log
    assert "nobody-made-this" not in store.buckets()


def test_a_store_that_is_down(target: Launcher, door: Door, bucket: str) -> None:
    """It is exit code 1, which is neither good health nor bad."""
    door.before = lambda _: 503
    quick = {"target_liveintent.storage.places:_HISTORY_SECONDS": 0.2}
    where = {"history_path": f"s3://{bucket}/history", "env": door.environment}
    asked = ask(target, "--health", **where, constants=quick)
    assert (asked.code, asked.stdout) == (1, "")
    assert "history_path" in asked.last_line

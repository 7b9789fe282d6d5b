"""Where events are: the JSON, the text, the page, the log and the metrics agree with the store."""

import json
import re
from decimal import Decimal
from typing import Any

from faulty_server import FaultyServer, Reply, refusing
from integration_support import (
    OFTEN,
    WITH_ID,
    Launcher,
    Running,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from store_tables import ask

SCHEMA = schema(columns=WITH_ID)
WORDS = ("arrived", "waits", "can be replayed", "lost", "left out")
PLACES = ("arrived", "waiting", "replayable", "lost", "left_out")
Counts = tuple[int, int, int, int, int]


def places(target: Launcher, **settings: Any) -> Counts:
    """Return where the events are, as all reports say it."""
    report = json.loads(target.ask("report", "--format=json", **settings).stdout)
    ledger = report["ledger"]
    counts = tuple(ledger[place] for place in PLACES)
    assert ledger["read"] == sum(counts)
    assert sum(day["ledger"]["read"] for day in report["days"]) == sum(counts)
    said = " + ".join(f"{word} {n}" for word, n in zip(WORDS, counts, strict=True))
    text = target.ask("report", "--format=text", **settings).stdout
    assert f"In the last 24 hours: read {sum(counts)} = {said}" in text
    assert f"read {sum(counts)} = {said}" in target.ask("dead-letters", **settings).stdout
    assert target.ask("report", "page.html", **settings).code == 0
    html = (target.folder / "page.html").read_text()
    (target.folder / "page.html").unlink()
    row = re.findall(r'<li class="\w+"><b>([\d,]+)</b> ([a-z ]+)', html)
    assert [(word, int(n)) for n, word in row] == [
        ("read", sum(counts)),
        *zip(WORDS, counts, strict=True),
    ]
    by_reason = report["reasons"].values()
    assert sum(one["replayable"] + one["lost"] for one in by_reason) == counts[2] + counts[3]
    return counts


def values(target: Launcher) -> dict[str, dict[str, Decimal]]:
    ledger = json.loads(target.ask("report", "--format=json").stdout)["ledger"]
    sums = ledger["values"].items()
    return {place: {c: Decimal(text) for c, text in one.items()} for place, one in sums if one}


def letters(target: Launcher) -> int:
    ((count,),) = ask(target.store, "SELECT count(*) FROM dead_letter")
    return int(count)


def test_a_replay(to_server: Launcher, server: FaultyServer) -> None:
    """What it delivers has arrived, on the day of its run, and is missing no more."""
    server.answer = refusing("order-1", "order-2", "order-3")
    messages = [*numbered(10), order(98, email=None), order(99, event_time=10**9)]
    run = to_server.run(SCHEMA, *messages, state(1))
    assert places(to_server) == (7, 0, 3, 2, 0)
    assert "in the last 24 hours: read 12 = arrived 7 + waits 0" in run.log
    gauge = (to_server.folder / "run-0.prom").read_text()
    for place, number in zip(PLACES, (7, 0, 3, 2, 0), strict=True):
        assert f'target_liveintent_ledger{{place="{place}"}} {number}.0\n' in gauge
    server.answer = refusing("order-3")
    to_server.ask("replay")
    assert places(to_server) == (9, 0, 1, 2, 0)
    assert letters(to_server) == 2  # The replay has dropped what is too old.
    assert values(to_server) == {
        "arrived": {"USD": Decimal("112.5")},
        "replayable": {"USD": Decimal("12.5")},
        "lost": {"USD": Decimal(25)},
    }
    to_server.ask("dead-letters", "--delete", "no_identity", "--delete", "refused_by_api")
    assert letters(to_server) == 0
    assert places(to_server) == (9, 0, 0, 3, 0)
    assert to_server.ask("health").code == 0


def test_failed_runs(to_server: Launcher, server: FaultyServer) -> None:
    """What two of them read waits once, and the next good run delivers it."""
    server.answer = lambda _: Reply(401)
    for _ in range(2):
        failed = to_server.run(SCHEMA, *numbered(6), state(1))
        assert failed.code == 1
    assert places(to_server) == (0, 6, 0, 0, 0)
    health = to_server.ask("health")
    assert health.code == 3
    assert "Because of it, 6 wait until " in health.stdout
    report = json.loads(to_server.ask("report", "--format=json").stdout)
    (cause,) = report["causes"]
    assert (cause["cause"], cause["ledger"]["waiting"]) == ("failed", 6)
    assert cause["until"] == report["ledger"]["until"]
    server.answer = lambda _: Reply()
    to_server.run(SCHEMA, *numbered(6), state(1))
    assert places(to_server) == (6, 0, 0, 0, 0)
    assert to_server.ask("health").code == 0


def test_a_killed_run(to_server: Launcher, server: FaultyServer) -> None:
    """What it delivered has arrived, and counts once when the run is repeated."""
    killed: Running = to_server.start(batch_size_rows=2, constants=OFTEN)
    killed.send(SCHEMA, *numbered(4), state(1))
    wait_until(lambda: killed.states, "a STATE")
    killed.kill()
    assert places(to_server)[0] == 4
    to_server.run(SCHEMA, *numbered(10), state(1))
    assert len({name for request in server.requests for name in request.processed}) == 10
    assert places(to_server) == (10, 0, 0, 0, 0)


def test_what_is_left_out(to_server: Launcher) -> None:
    """It is not missing; what was sent before, or is over a limit, counts nowhere."""
    maps = {"orders": {"__filter__": "id != 3"}}
    consent = [order(n, consent=n != 4) for n in range(6)]
    messages = [schema(columns=("id", "event_time", "email", "value", "currency", "consent"))]
    canary = to_server.run(*messages, *consent, stream_maps=maps, limit=2)
    assert canary.code == 0
    assert places(to_server) == (2, 0, 0, 0, 0)
    to_server.run(*messages, *consent, stream_maps=maps)
    assert places(to_server) == (4, 0, 0, 0, 2)


def test_two_pixels(to_server: Launcher) -> None:
    """Each has a ledger of its own."""
    to_server.run(schema(), *orders(3))
    to_server.run(schema(), *orders(5), order(9, email=None), pixel_id=4712)
    assert places(to_server) == (3, 0, 0, 0, 0)
    assert places(to_server, pixel_id=4712) == (5, 0, 0, 1, 0)
